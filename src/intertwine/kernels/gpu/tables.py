"""Reading small constant tensors, such as couplings, into Python: once a tensor, because each reading waits.

A kernel's text depends on the numbers in these tables. The tables are buffers of modules, which stay the same objects;
they are read again when they were written to in place, or are other tensors.
"""

import weakref
from functools import lru_cache
from typing import Any

from torch import Tensor

__all__ = ["Table", "read_table"]


class Table:
    """The rows of a tensor; equal only to itself, so that it is a cheap key. Equal contents share one object."""

    def __init__(self, rows: tuple[Any, ...]) -> None:
        self.rows = rows


_kept: dict[int, tuple[weakref.ref, int, Table]] = {}


def read_table(tensor: Tensor) -> Table:
    """Return the contents of a small tensor."""
    if tensor.is_inference():  # carries no version, so a change could not be seen
        return _table(_rows(tensor))
    key = id(tensor)
    entry = _kept.get(key)
    if entry is not None and entry[0]() is tensor and entry[1] == tensor._version:
        return entry[2]
    table = _table(_rows(tensor))
    _kept[key] = (weakref.ref(tensor, lambda _: _kept.pop(key, None)), tensor._version, table)
    return table


def _rows(tensor: Tensor) -> tuple[Any, ...]:
    return tuple(tuple(row) if isinstance(row, list) else row for row in tensor.tolist())


@lru_cache(maxsize=1024)
def _table(rows: tuple[Any, ...]) -> Table:
    return Table(rows)
