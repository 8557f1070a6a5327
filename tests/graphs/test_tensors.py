from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from intertwine.graphs import TensorBatch


@dataclass(frozen=True)
class Inner(TensorBatch):
    fixed_dtype: ClassVar[frozenset[str]] = frozenset({"exact"})
    places: torch.Tensor
    exact: torch.Tensor
    absent: torch.Tensor | None = None


@dataclass(frozen=True)
class Outer(TensorBatch):
    inner: Inner
    index: torch.Tensor
    count: int


def make():
    ones = torch.ones(3, dtype=torch.float64)
    return Outer(Inner(ones, ones), torch.arange(3), 3)


@pytest.mark.parametrize("move", [lambda b: b.to(torch.float32), lambda b: b.to("cpu", torch.float32)])
def test_floating_point_tensors_change_their_dtype_and_nothing_else_does(move):
    before = make()
    moved = move(before)
    assert moved.inner.places.dtype == torch.float32
    assert moved.inner.exact.dtype == torch.float64
    assert moved.inner.absent is None
    assert (moved.index.dtype, moved.count) == (torch.int64, 3)
    assert before.inner.places.dtype == torch.float64


def test_everything_moves_to_a_device_with_its_dtype():
    moved = make().to("meta", non_blocking=True)
    assert {t.device.type for t in (moved.inner.places, moved.inner.exact, moved.index)} == {"meta"}
    assert moved.inner.places.dtype == torch.float64


@pytest.mark.gpu
def test_everything_is_pinned():
    pinned = make().pin_memory()
    assert all(t.is_pinned() for t in (pinned.inner.places, pinned.inner.exact, pinned.index))
