"""Reader of the published OC20 S2EF files: LMDB databases of pickled graphs, keyed by their number as text.

A database holds ``0``, ``1``, ... and, in most files, ``length``. The fields used are ``pos``, ``atomic_numbers``,
``cell``, ``tags``, ``fixed``, ``y`` and ``force``; ``edge_index`` and what else there is are not: neighbours are found
anew. Structures are periodic along all axes, as published. Pickles are read by `unpickle_graph`, which runs nothing.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from intertwine.errors import DataError, MissingExtraError
from intertwine.systems.equiformer.data.pickles import unpickle_graph
from intertwine.systems.equiformer.data.structures import Structure, checked_structure

__all__ = ["LmdbStructures"]

_FIX = "copy the file again from where it came"
_one_at_a_time = threading.Lock()


@final
class LmdbStructures(Sequence[Structure]):
    """The structures of one database or of all of a folder, read one at a time; it may be sent to other processes.

    Args:
        path: an ``.lmdb`` file, or a folder of them, which are taken in the order of their names.

    Raises:
        DataError: if there is no database, or it is cut off or damaged.
        MissingExtraError: if the library ``lmdb`` is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        files = sorted(self.path.glob("*.lmdb")) if self.path.is_dir() else [self.path]
        if not files:
            raise DataError(
                f"{path} holds no database",
                got=sorted(found.name for found in self.path.iterdir())[:8],
                expected="files such as data.0000.lmdb",
            )
        self.parts = [_Database(file) for file in files]
        self.starts = np.cumsum([0, *map(len, self.parts)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]  # refuses what lies outside
        part = int(np.searchsorted(self.starts, place, side="right")) - 1
        return self.parts[part].read(place - int(self.starts[part]))

    def __iter__(self) -> Iterator[Structure]:
        return (self[place] for place in range(len(self)))


class _Database:
    """One file. It is opened for each reading: the library opens a file once a process, and loses it in a fork."""

    def __init__(self, file: Path) -> None:
        self.file = file
        with _opened(file) as environment:
            entries, stored = int(environment.stat()["entries"]), _get(environment, b"length", file)
        length = entries if stored is None else unpickle_graph(stored, f"{file}, `length`")
        if not isinstance(length, int) or not 0 <= length <= entries - (stored is not None):
            raise DataError(
                f"{file} is damaged: it does not hold as many structures as it says",
                got={"length": length, "entries": entries},
                fix=_FIX,
            )
        self.length = length

    def __len__(self) -> int:
        return self.length

    def read(self, index: int) -> Structure:
        """Return one structure."""
        where = f"{self.file}, structure {index}"
        with _opened(self.file) as environment:
            content = _get(environment, str(index).encode("ascii"), self.file)
        if content is None:
            raise DataError(f"{where} is not there", got=f"no key {index}", expected=f"keys 0 to {self.length - 1}")
        return _structure(unpickle_graph(content, where), where)


def _get(environment: Any, key: bytes, file: Path) -> bytes | None:
    try:
        with environment.begin() as transaction:
            return transaction.get(key)
    except _lmdb().Error as error:
        raise DataError(f"{file} is damaged", got=error, fix=_FIX) from error


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    lmdb = _lmdb()
    if not file.is_file():
        raise DataError(f"there is no database {file}", got=file, expected="an .lmdb file, or a folder of them")
    with _one_at_a_time:
        try:
            environment = lmdb.open(
                str(file), subdir=False, readonly=True, lock=False, readahead=False, meminit=False, max_readers=1
            )
        except lmdb.Error as error:
            raise DataError(f"{file} is not an LMDB database, or a damaged one", got=error, fix=_FIX) from error
        with environment:
            # The library maps the file into memory: a page beyond its end would kill the process.
            needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
            size = file.stat().st_size
            if size < needed:
                raise DataError(
                    f"{file} is cut off", got=f"{size} bytes", expected=f"{needed} bytes, as it says itself", fix=_FIX
                )
            yield environment


def _lmdb() -> Any:
    try:
        import lmdb
    except ImportError as error:
        raise MissingExtraError(
            "the OC20 files need the library lmdb", got="no module `lmdb`", fix='pip install "intertwine[oc20]"'
        ) from error
    return lmdb


def _structure(graph: Any, where: str) -> Structure:
    fields = graph if isinstance(graph, dict) else {}
    missing = [name for name in ("pos", "atomic_numbers", "cell") if fields.get(name) is None]
    if missing:
        raise DataError(
            f"{where}: the graph has no {', '.join(missing)}",
            got=", ".join(map(str, fields)) or type(graph).__name__,
            expected="pos, atomic_numbers, cell, and tags, fixed, y, force where they are known",
        )
    names = {"numbers": "atomic_numbers", "positions": "pos", "cell": "cell", "tags": "tags", "fixed": "fixed"}
    names |= {"energy": "y", "forces": "force"}
    values = {name: _array(fields.get(stored), stored, where) for name, stored in names.items()}
    count = fields.get("natoms")
    if count is not None and int(_array(count, "natoms", where).reshape(-1)[0]) != values["numbers"].size:
        raise DataError(f"{where}: `natoms` is not the number of atoms", got=count, expected=values["numbers"].size)
    ids = {name: fields[name] for name in ("sid", "fid") if isinstance(fields.get(name), int | str)}
    return checked_structure(where, pbc=(True, True, True), source=ids, **values)


def _array(value: Any, name: str, where: str) -> Any:
    if value is None:
        return None
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where}: `{name}` does not hold numbers", got=str(array.dtype))
    return array
