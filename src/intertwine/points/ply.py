"""The vertices of PLY files: columns of numbers by name, read and written, binary or as text."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from intertwine.errors import DataError

__all__ = ["PlyVertices", "parse_ply", "ply_bytes"]

_NAMES = {
    "i1": "char int8", "u1": "uchar uint8", "i2": "short int16", "u2": "ushort uint16", "i4": "int int32",
    "u4": "uint uint32", "f4": "float float32", "f8": "double float64",
}  # fmt: skip
_TYPES = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_FORMATS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class PlyVertices:
    """What a PLY file says of its vertices.

    Args:
        columns: numbers by the name of the property, in the order of the file.
        faces: how many faces the file has besides.
    """

    columns: dict[str, np.ndarray]
    faces: int


def parse_ply(content: bytes, where: str) -> PlyVertices:
    """Return the vertices of a PLY file.

    Args:
        content: all bytes of the file.
        where: names the file in errors.

    Raises:
        DataError: if it is not a PLY file with vertices first, or is cut off.
    """
    form, elements, start = _header(content, where)
    name, count, properties = elements[0]
    faces = next((size for kind, size, _ in elements if kind == "face"), 0)
    if name != "vertex" or any(kind is None for kind, _ in properties):
        raise DataError(
            f"{where}: the first element is not `vertex` with one number a property",
            got=name,
            expected="element vertex, with properties x, y, z",
        )
    order = _FORMATS[form]
    dtype = np.dtype([(label, f"{order}{kind}") for kind, label in properties])
    if form == "ascii":
        rows = content[start:].split(b"\n")[:count]
        try:
            table = np.array([[float(cell) for cell in row.split()] for row in rows], float).reshape(
                -1, len(properties)
            )
        except ValueError as error:
            raise _cut_off(where, count, str(error)) from error
        if len(table) != count:
            raise _cut_off(where, count, len(table))
        columns = {label: table[:, i].astype(kind) for i, (kind, label) in enumerate(properties) if kind is not None}
        return PlyVertices(columns, faces)
    if len(content) - start < count * dtype.itemsize:
        raise _cut_off(where, count, f"{len(content) - start} bytes of {count * dtype.itemsize}")
    table = np.frombuffer(content, dtype, count, start)
    return PlyVertices({label: table[label].astype(kind) for kind, label in properties if kind is not None}, faces)


def ply_bytes(columns: Mapping[str, np.ndarray], *, text: bool = False) -> bytes:
    """Return the bytes of a PLY file of vertices.

    Args:
        columns: numbers by the name of the property, all of one length.
        text: as numbers that one can read, instead of little-endian binary.

    Raises:
        DataError: if a column has another length, or numbers that PLY does not know.
    """
    sizes = {name: len(column) for name, column in columns.items()}
    kinds = {name: column.dtype.newbyteorder("=").str[1:] for name, column in columns.items()}
    unknown = {name: column.dtype for name, column in columns.items() if kinds[name] not in _NAMES}
    if len(set(sizes.values())) != 1 or unknown:
        raise DataError(
            "these columns do not make a PLY file",
            got=unknown or sizes,
            expected=f"columns of one length, of types {', '.join(_NAMES)}",
        )
    count = next(iter(sizes.values()))
    lines = ["ply", f"format {'ascii' if text else 'binary_little_endian'} 1.0", f"element vertex {count}"]
    lines += [f"property {_NAMES[kind].split()[0]} {name}" for name, kind in kinds.items()]
    header = "\n".join([*lines, "end_header"]).encode("ascii") + b"\n"
    table = np.empty(count, [(name, f"<{kind}") for name, kind in kinds.items()])
    for name, column in columns.items():
        table[name] = column
    if not text:
        return header + table.tobytes()
    body = io.StringIO()
    for row in table.tolist():
        body.write(" ".join(map(_number, row, kinds.values())) + "\n")
    return header + body.getvalue().encode("ascii")


def _number(value: float | int, kind: str) -> str:
    return str(np.float32(value)) if kind == "f4" else repr(value)


def _header(content: bytes, where: str) -> tuple[str, list[tuple[str, int, list[tuple[str | None, str]]]], int]:
    """Return the format, the elements (name, count, properties as (type or None for a list, name)), and the body."""
    end = content.find(b"end_header")
    start = content.find(b"\n", end) + 1
    form, elements = "", []
    try:
        if not content.startswith(b"ply") or end < 0 or start == 0:
            raise ValueError("no header that begins with `ply` and ends with `end_header`")
        for line in content[:end].decode("ascii").splitlines()[1:]:
            words = line.split()
            if words[:1] == ["format"]:
                form = words[1]
            elif words[:1] == ["element"]:
                elements.append((words[1], int(words[2]), []))
            elif words[:1] == ["property"]:
                kind = None if words[1] == "list" else _TYPES[words[1]]
                elements[-1][2].append((kind, words[-1]))
        if form not in _FORMATS or not elements:
            raise ValueError(f"format {form!r} and elements {[name for name, *_ in elements]}")
        labels = [label for _, label in elements[0][2]]
        if len(set(labels)) != len(labels) or elements[0][1] < 0:
            raise ValueError(f"element {elements[0][0]} {elements[0][1]} with properties {labels}")
    except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where} is damaged, or not a PLY file",
            got=f"{type(error).__name__}: {error}",
            expected=f"a PLY header with a format ({', '.join(_FORMATS)}) and elements",
        ) from error
    return form, elements, start


def _cut_off(where: str, count: int, got: object) -> DataError:
    return DataError(f"{where} is cut off", got=got, expected=f"{count} vertices")
