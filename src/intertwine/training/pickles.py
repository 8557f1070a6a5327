"""Tensors, arrays and plain containers out of pickles, without running what a pickle asks for.

A pickle is a program, and some published data are pickles. The reader here knows the few names that such files need
(tensors, numpy arrays, and classes that a caller names, whose objects become plain mappings) and refuses every other
name before anything of it runs.
"""

import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import Any, final

import numpy as np
import torch
from torch._utils import _rebuild_tensor_v2

from intertwine.errors import DataError

__all__ = ["Record", "unpickle"]

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


def unpickle(
    content: bytes,
    where: str,
    *,
    records: Collection[tuple[str, str]] = (),
    objects: bool = False,
    what: str = "tensors, numpy arrays and plain containers",
) -> Any:
    """Return what a pickle holds: mappings, lists, numbers, texts, tensors and arrays.

    Args:
        content: the pickle.
        where: names it in errors.
        records: classes, as (module, name), whose objects become a `Record` of their values.
        objects: whether arrays may hold objects, each of which is read in the same way; otherwise only numbers.
        what: says in errors what is expected.

    Raises:
        DataError: if it is damaged, or asks for anything else.
    """
    try:
        return _Reader(content, where, frozenset(records), objects, what).load()
    except DataError:
        raise
    except Exception as error:  # damaged bytes can make anything of an unpickler
        raise DataError(
            f"{where} is damaged: its pickle cannot be read",
            got=f"{type(error).__name__}: {error}",
            expected=what,
            fix="copy the file again from where it came",
        ) from error


@final
class Record:
    """Stands in for an object of a class: it keeps the named values, as ``values``, and has no behaviour."""

    __slots__ = ("values",)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise TypeError(f"an object is stored as named values, not as {type(state).__name__}")
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

    __slots__ = ("objects", "order", "text")

    def __init__(self, text: str, objects: bool) -> None:
        self.text, self.order, self.objects = text, "=", objects

    def __setstate__(self, state: Any) -> None:
        self.order = str(state[1])

    def numeric(self) -> np.dtype:
        """Return the type, of numbers and truth values only."""
        found = np.dtype(str(self.text))
        found = found.newbyteorder(">") if self.order == ">" else found
        if found.kind not in "biufc":
            raise TypeError("an array of such a file holds numbers")
        return found

    def holds_objects(self) -> bool:
        """Return whether it is the type of objects, and may be."""
        return self.objects and np.dtype(str(self.text)) == np.dtype(object)


@final
class _Array(np.ndarray):
    """An array that takes its shape, type and bytes from a pickle."""

    def __setstate__(self, state: Any) -> None:
        version, shape, dtype, is_fortran, content = state
        if dtype.holds_objects():
            if type(content) is not list:
                raise TypeError("an array of objects is stored as a list of them")
            super().__setstate__((version, shape, np.dtype(object), is_fortran, content))
        else:
            super().__setstate__((version, shape, dtype.numeric(), is_fortran, content))


@final
class _Reader(pickle.Unpickler):
    """An unpickler that knows the names of arrays and tensors, and those it is given."""

    def __init__(
        self, content: bytes, where: str, records: frozenset[tuple[str, str]], objects: bool, what: str
    ) -> None:
        super().__init__(io.BytesIO(content))
        self.where, self.records, self.objects, self.what = where, records, objects, what

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; called for every name in the file."""
        key = (module, name)
        if key in self.records:
            return Record
        if key in _TYPES:
            return _TYPES[key]
        if key in _METHODS:
            return _Call(getattr(self, _METHODS[key]))
        raise DataError(
            f"{self.where} asks for `{module}.{name}`, which such a file does not need; nothing of it was run",
            got=f"{module}.{name}",
            expected=self.what,
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
        return _Dtype(text, self.objects)

    def _array(self, *_: Any) -> np.ndarray:
        return np.empty(0, np.int8).view(_Array)

    def _array_of_buffer(self, buffer: Any, dtype: _Dtype, shape: Any, order: Any = "C", *_: Any) -> np.ndarray:
        return np.frombuffer(buffer, dtype=dtype.numeric()).reshape(shape, order=order)

    def _scalar(self, dtype: _Dtype, content: bytes) -> Any:
        return np.frombuffer(content, dtype=dtype.numeric(), count=1)[0]
