"""Passing tensors to compiled functions: addresses of memory, and the suffix of the function for a dtype."""

import ctypes
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["address", "integers", "suffix", "threads"]

_SUFFIXES = {torch.float32: "f32", torch.float64: "f64"}


_NOTHING = (ctypes.c_char * 64)()
"""Where an empty tensor lies: its own address is null, which means that a tensor is not given."""


def address(tensor: Tensor | None) -> ctypes.c_void_p:
    """Return the address of a contiguous tensor's memory, null for None."""
    if tensor is None:
        return ctypes.c_void_p(None)
    return ctypes.c_void_p(tensor.data_ptr() or ctypes.addressof(_NOTHING))


def integers(values: Sequence[int]) -> ctypes.Array:
    """Return integers as an array of int64."""
    return (ctypes.c_int64 * len(values)).from_buffer(array("q", values))


def suffix(dtype: torch.dtype) -> str:
    """Return the ending of a compiled function's name for a dtype."""
    return _SUFFIXES[dtype]


def threads() -> ctypes.c_int:
    """Return the number of threads that torch computes with."""
    return ctypes.c_int(torch.get_num_threads())
