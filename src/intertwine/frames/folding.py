"""Folding frames into a batch, so that a network runs once on all of them, and unfolding what it gives.

Two layouts: a batch of clouds (the frames of a cloud beside each other), and clouds in one tensor with the cloud of
each item (all clouds in their first element, then all in the second, as graph networks expect).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.transport import Kind
from intertwine.graphs import segment_mean

__all__ = ["DenseFolding", "Folding", "SegmentFolding", "weighted_mean"]


class Folding(ABC):
    """A layout of clouds, and how frames are folded into it."""

    @abstractmethod
    def frames(self, frame: Frame, points: Tensor, rng: torch.Generator | None) -> Frames:
        """Return the frames of the clouds."""

    @abstractmethod
    def into(self, kind: Kind, values: Tensor, frames: Frames) -> Tensor:
        """Return values of a kind as seen from each element, with frames folded into the first axis."""

    @abstractmethod
    def structure(self, kind: str, values: Tensor, count: int) -> Tensor:
        """Return a mask, edges or the cloud of each point, for ``count`` elements."""

    @abstractmethod
    def back(self, kind: Kind, values: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return values mapped back ``(rows, frames, ...)`` and the weights of elements ``(rows, frames)``."""

    def mean(self, kind: Kind, values: Tensor, frames: Frames) -> Tensor:
        """Return the weighted mean over the elements of values that are mapped back."""
        return weighted_mean(*self.back(kind, values, frames))

    @abstractmethod
    def joined(self, parts: Sequence[tuple[Tensor, str, float]]) -> Tensor:
        """Return one cloud made of points and vectors (by kind), each with a weight, about the centroid."""


@final
@dataclass(frozen=True)
class DenseFolding(Folding):
    """A batch of clouds ``(batch, points, d)``, with a mask where they differ in size."""

    batch: int
    mask: Bool[Tensor, "batch points"] | None = None

    def frames(self, frame: Frame, points: Tensor, rng: torch.Generator | None) -> Frames:
        """Return the frames of the clouds; a source made of several parts repeats the mask."""
        mask = self.mask
        if mask is not None and points.ndim == 3 and points.shape[1] != mask.shape[1]:
            mask = mask.repeat(1, points.shape[1] // max(mask.shape[1], 1))
        return frame(points, mask, rng=rng)

    def into(self, kind: Kind, values: Tensor, frames: Frames) -> Tensor:
        """Return ``(batch * frames, ...)``."""
        if not isinstance(values, Tensor) or values.ndim < 1 or len(values) != self.batch:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ShapeError(f"{kind} do not fit the clouds", got=got, expected=f"({self.batch}, ...), a row for each")
        return kind.into(values, frames, None).flatten(0, 1)

    def structure(self, kind: str, values: Tensor, count: int) -> Tensor:
        """Return the mask, repeated."""
        if kind != "mask":
            raise ShapeError(
                f"{kind} are for clouds in one tensor",
                got=f"an input of kind {kind} without one of kind graphs",
                expected="an input of kind graphs, the cloud of each point",
            )
        return values.repeat_interleave(count, dim=0)

    def back(self, kind: Kind, values: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return ``(batch, frames, ...)`` and weights."""
        if len(values) != self.batch * frames.count:
            raise ShapeError(
                "the backbone does not keep the first axis",
                got=tuple(values.shape),
                expected=f"({self.batch * frames.count}, ...), clouds times frames",
            )
        return kind.back(values.unflatten(0, (self.batch, frames.count)), frames, None), frames.weights

    def joined(self, parts: Sequence[tuple[Tensor, str, float]]) -> Tensor:
        """Return ``(batch, parts * points, d)``."""
        points = [values for values, kind, _ in parts if kind == "point"]
        centre = 0.0
        if points:
            known = points[0] if self.mask is None else torch.where(self.mask.unsqueeze(-1), points[0], 0.0)
            sizes = known.shape[1] if self.mask is None else self.mask.sum(1)[:, None, None].clamp(min=1)
            centre = known.sum(1, keepdim=True) / sizes
        clouds = [centre + weight * (values - centre if kind == "point" else values) for values, kind, weight in parts]
        return torch.cat(clouds, dim=1)


@final
@dataclass(frozen=True)
class SegmentFolding(Folding):
    """Clouds in one tensor ``(items, d)``, with the cloud of each item."""

    index: Int64[Tensor, " items"]
    items: int

    def __post_init__(self) -> None:
        if self.index.shape != (self.items,) or self.index.dtype != torch.int64:
            raise ShapeError(
                "the cloud of each point is not given",
                got=f"{tuple(self.index.shape)} of {self.index.dtype}",
                expected=f"({self.items},) of torch.int64",
            )

    @property
    def count(self) -> int:
        """Number of clouds."""
        return int(self.index.max()) + 1 if self.items else 0

    def frames(self, frame: Frame, points: Tensor, rng: torch.Generator | None) -> Frames:
        """Return the frames of the clouds; a source made of several parts repeats the index."""
        return frame.of_segments(points, self.index.repeat(len(points) // max(self.items, 1)), self.count, rng=rng)

    def into(self, kind: Kind, values: Tensor, frames: Frames) -> Tensor:
        """Return ``(frames * items, ...)``; values may also be of clouds, or of edges where they are scalars."""
        index = self.index if len(values) == self.items else None
        if index is None and len(values) != self.count:
            if str(kind) != "scalars":
                raise ShapeError(
                    f"{kind} do not fit the clouds",
                    got=tuple(values.shape),
                    expected=f"({self.items}, ...) or ({self.count}, ...)",
                )
            return values.repeat(frames.count, *[1] * (values.ndim - 1))
        return kind.into(values, frames, index).transpose(0, 1).flatten(0, 1)

    def structure(self, kind: str, values: Tensor, count: int) -> Tensor:
        """Return edges or clouds of points, each element with indices of its own."""
        if kind == "mask":
            raise ShapeError("clouds in one tensor have no mask", got="an input of kind mask", expected="none")
        step = self.items if kind == "edges" else self.count
        shifts = step * torch.arange(count, device=values.device)
        if kind == "edges":
            return (values.unsqueeze(1) + shifts[:, None]).flatten(1)
        return (values + shifts[:, None]).flatten()

    def back(self, kind: Kind, values: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return ``(items, frames, ...)`` or ``(clouds, frames, ...)``, and weights."""
        rows, rest = divmod(len(values), max(frames.count, 1))
        if rest or rows not in (self.items, self.count):
            raise ShapeError(
                "the backbone does not keep the first axis",
                got=tuple(values.shape),
                expected=f"({self.items} or {self.count} times {frames.count} elements, ...)",
            )
        index = self.index if rows == self.items else None
        by_item = values.unflatten(0, (frames.count, rows)).transpose(0, 1)
        weights = frames.weights if index is None else frames.weights.index_select(0, index)
        return kind.back(by_item, frames, index), weights

    def joined(self, parts: Sequence[tuple[Tensor, str, float]]) -> Tensor:
        """Return ``(parts * items, d)``."""
        points = [values for values, kind, _ in parts if kind == "point"]
        centre = segment_mean(points[0], self.index, self.count).index_select(0, self.index) if points else 0.0
        clouds = [centre + weight * (values - centre if kind == "point" else values) for values, kind, weight in parts]
        return torch.cat(clouds)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum over the second axis."""
    return (values * weights.reshape(*weights.shape, *[1] * (values.ndim - 2))).sum(1)
