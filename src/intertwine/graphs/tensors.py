"""Moving a batch: all its tensors to a device, those of floating point to a dtype."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

__all__ = ["TensorBatch"]

Batch = TypeVar("Batch", bound="TensorBatch")


@dataclass(frozen=True)
class TensorBatch:
    """Base of frozen dataclasses whose fields are tensors, batches of them, and what stays as it is.

    ``fixed_dtype`` names the fields that keep their dtype.
    """

    fixed_dtype: ClassVar[frozenset[str]] = frozenset()

    def to(
        self: Batch,
        device: torch.device | str | torch.dtype | None = None,
        dtype: torch.dtype | None = None,
        non_blocking: bool = False,
    ) -> Batch:
        """Return the batch on another device, with floating point tensors in another dtype.

        A dtype alone may stand first, as in `torch.Tensor.to`.
        """
        if isinstance(device, torch.dtype):
            device, dtype = None, device
        moved: dict[str, Any] = {}
        for name, value in self._held().items():
            converts = isinstance(value, TensorBatch) or (value.is_floating_point() and name not in self.fixed_dtype)
            moved[name] = value.to(device=device, dtype=dtype if converts else None, non_blocking=non_blocking)
        return replace(self, **moved)

    def pin_memory(self: Batch) -> Batch:
        """Return the batch in page-locked memory, from which copies to a GPU may overlap with computing."""
        return replace(self, **{name: value.pin_memory() for name, value in self._held().items()})

    def _held(self) -> "dict[str, Tensor | TensorBatch]":
        held = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in held.items() if isinstance(value, Tensor | TensorBatch)}
