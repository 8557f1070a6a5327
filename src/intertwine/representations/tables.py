"""Modules with exact constant tables: kept in float64, cast once to the dtype the module has."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["TableModule"]


class TableModule(nn.Module):
    """An ``nn.Module`` whose constants survive ``.double()``.

    A buffer that was rounded to float32 keeps float32 digits when the module is cast to float64. Tables added here are
    made anew from their float64 original at every change of dtype or device. They are not part of the state dict.
    """

    def __init__(self) -> None:
        super().__init__()
        self._exact_tables: dict[str, Tensor] = {}

    def add_table(self, name: str, table: Tensor) -> None:
        """Register a float64 table as the buffer ``name``."""
        self._exact_tables[name] = table
        self.register_buffer(name, table.to(torch.get_default_dtype()), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TableModule":
        super()._apply(fn, recurse)
        for name, table in self._exact_tables.items():
            setattr(self, name, table.to(getattr(self, name)))
        return self
