"""Graphs out of pickles, without running what a pickle asks for: only tensors, arrays and plain containers are rebuilt.

A pickle is a program, and the published OC20 files are pickles. The reader here knows the few names that such a file
needs (tensors, numpy arrays, ``torch_geometric``'s ``Data`` and its storage, which become plain mappings) and refuses
every other name before anything of it runs.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch._utils import _rebuild_tensor_v2

from intertwine.errors import DataError

__all__ = ["unpickle_graph"]

_RECORDS = {
    ("torch_geometric.data.data", "Data"),
    ("torch_geometric.data.data", "DataEdgeAttr"),
    ("torch_geometric.data.data", "DataTensorAttr"),
    ("torch_geometric.data.storage", "GlobalStorage"),
}
"""Classes that hold named values; what they are called differs between versions of torch_geometric."""

_TYPES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("numpy", "ndarray"): "numpy.ndarray",  # only ever an argument: the class itself could make arrays of any memory
}
_METHODS = {
    ("torch._utils", "_rebuild_tensor_v2"): "_tensor",
    ("torch.storage", "_load_from_bytes"): "_storage",
    ("_codecs", "encode"): "_encoded",
    ("__builtin__", "bytes"): "_no_bytes",
    ("numpy", "dtype"): "_dtype",
    **{
        (f"numpy.{core}.{module}", name): method
        for core in ("core", "_core")
        for module, name, method in (
            ("multiarray", "_reconstruct", "_array"),
            ("multiarray", "scalar", "_scalar"),
            ("numeric", "_frombuffer", "_array_of_buffer"),
        )
    },
}


def unpickle_graph(content: bytes, where: str) -> Any:
    """Return what a pickle holds: mappings, numbers, tensors and arrays.

    An object of torch_geometric becomes the mapping of its values.

    Args:
        content: the pickle.
        where: names it in errors.

    Raises:
        DataError: if it is damaged, or asks for anything that a graph does not need.
    """
    try:
        return _plain(_Reader(content, where).load())
    except DataError:
        raise
    except Exception as error:  # damaged bytes can make anything of an unpickler
        raise DataError(
            f"{where} is damaged: its pickle cannot be read",
            got=f"{type(error).__name__}: {error}",
            expected="a pickled graph with pos, atomic_numbers and cell",
            fix="copy the file again from where it came",
        ) from error


@final
class _Record:
    """Stands in for an object of torch_geometric: it keeps the named values, and has no behaviour."""

    __slots__ = ("values",)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise TypeError(f"a graph is stored as named values, not as {type(state).__name__}")
        self.values = dict(state)


@final
class _Call:
    """Something to be called and not to be changed: a pickle may set the state of all that it names."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise TypeError("a function has no state to set")


@final
class _Dtype:
    """Stands in for a type of arrays. The state of a real one can be forged, so that numbers are taken for pointers."""

    __slots__ = ("order", "text")

    def __init__(self, text: str) -> None:
        self.text, self.order = text, "="

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def numeric(self) -> np.dtype:
        """Return the type, of numbers and truth values only."""
        found = np.dtype(str(self.text))
        found = found.newbyteorder(">") if self.order == ">" else found
        if found.kind not in "biufc":
            raise TypeError("an array of a graph holds numbers")
        return found


@final
class _Array(np.ndarray):
    """An array that takes its shape, type and bytes from a pickle."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, is_fortran, content = state
        super().__setstate__((version, shape, dtype.numeric(), is_fortran, content))


@final
class _Reader(pickle.Unpickler):
    """An unpickler that knows the names of a graph and no others."""

    def __init__(self, content: bytes, where: str) -> None:
        super().__init__(io.BytesIO(content))
        self.where = where

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; called for every name in the file."""
        key = (module, name)
        if key in _RECORDS:
            return _Record
        if key in _TYPES:
            return _TYPES[key]
        if key in _METHODS:
            return _Call(getattr(self, _METHODS[key]))
        raise DataError(
            f"{self.where} asks for `{module}.{name}`, which is no part of a graph; nothing of it was run",
            got=f"{module}.{name}",
            expected="tensors, numpy arrays and graphs of torch_geometric",
            fix="do not use this file unless you know who wrote it: a pickle can run any program",
        )

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> torch.Tensor:
        if not isinstance(storage, torch.TypedStorage) or len(size) != len(stride):
            raise TypeError("a tensor needs a storage, sizes and strides")
        whole = _rebuild_tensor_v2(storage, 0, (0,), (1,), False, {})
        length = whole.untyped_storage().nbytes() // whole.element_size()
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        negative = any(type(n) is not int or n < 0 for n in (offset, *size, *stride))
        if negative or (all(size) and last >= length):
            raise ValueError("a tensor reaches beyond its storage")
        return whole.set_(whole.untyped_storage(), offset, size, stride)

    def _storage(self, content: bytes) -> Any:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)

    def _encoded(self, text: str, encoding: str = "latin1") -> bytes:
        if encoding not in ("latin1", "latin-1"):
            raise ValueError(f"bytes of arrays are stored as latin1, not {encoding}")
        return text.encode("latin1")

    def _no_bytes(self) -> bytes:
        return b""

    def _dtype(self, text: str, *_: Any) -> _Dtype:
        return _Dtype(text)

    def _array(self, *_: Any) -> np.ndarray:
        return np.empty(0, np.int8).view(_Array)

    def _array_of_buffer(self, buffer: Any, dtype: _Dtype, shape: Any, order: Any = "C", *_: Any) -> np.ndarray:
        return np.frombuffer(buffer, dtype=dtype.numeric()).reshape(shape, order=order)

    def _scalar(self, dtype: _Dtype, content: bytes) -> Any:
        return np.frombuffer(content, dtype=dtype.numeric(), count=1)[0]


def _plain(value: Any) -> Any:
    """Return the mapping that a record stands for: old ones hold the values, new ones a storage that does."""
    if not isinstance(value, _Record):
        return value
    values = value.values
    store = values.get("_store")
    if isinstance(store, _Record):
        mapping = store.values.get("_mapping")
        if not isinstance(mapping, dict):
            raise TypeError("the storage of a graph has no mapping")
        return dict(mapping)
    return {name: item for name, item in values.items() if not name.startswith("_")}
