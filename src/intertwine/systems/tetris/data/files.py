"""Point sets in plain files: tables (``.csv``) and XYZ frames (``.xyz``, ``.extxyz``), checked line by line.

A table has the columns ``x``, ``y`` and ``z``, and may have ``set`` (which set a row belongs to), ``type`` and the
class, one point a row. Without ``set``, the rows of a set follow one another and a change of class begins the next one.
An XYZ frame names the class in its header (``shape=corner``) and the type of each point in its first column; a header
with ``Properties`` may order the columns otherwise. Lines count from 1.
"""

import csv
import io
import math
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from intertwine.errors import DataError
from intertwine.systems.tetris.data.sets import PointSet

__all__ = ["read_point_sets"]

_AXES = ("x", "y", "z")


def read_point_sets(path: str | Path, label_key: str = "shape", *, labelled: bool = True) -> list[PointSet]:
    """Return all point sets of a file, in the order in which they begin.

    Args:
        path: a ``.csv``, ``.xyz`` or ``.extxyz`` file.
        label_key: column or header key that names the class.
        labelled: whether every set must have a class; without, sets may lack it.

    Raises:
        DataError: naming file and line, if the file is missing, empty or damaged, lacks a column or a class, or a
            coordinate is not a finite number.
    """
    path = Path(path)
    readers = {".csv": _read_table, ".xyz": _read_frames, ".extxyz": _read_frames}
    if path.suffix.lower() not in readers:
        raise DataError(
            f"{path} is of a kind that cannot be read", got=path.suffix or path.name, expected=", ".join(readers)
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", got=path, expected="a file of point sets") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a text file", got=str(error), expected="text in UTF-8") from error
    try:
        sets = list(readers[path.suffix.lower()](path, text, label_key))
    except csv.Error as error:
        raise DataError(f"{path} is not a table: {error}", got=path, expected="cells separated by commas") from error
    if not sets:
        raise DataError(f"{path} holds no points", got="an empty file", expected="at least one point set")
    missing = next((points for points in sets if points.label is None), None)
    if labelled and missing is not None:
        raise DataError(
            f"{missing.where} does not say its class",
            got=f"no `{label_key}`",
            expected=f"a column `{label_key}` (.csv), or {label_key}=NAME in the header of a frame (.xyz)",
            fix="add it, or name the one that there is with data.label_key",
        )
    return sets


def _read_table(path: Path, text: str, label_key: str) -> Iterator[PointSet]:
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    columns = [name.strip() for name in next(rows, [])]
    twice = sorted({name for name in columns if columns.count(name) > 1})
    absent = [axis for axis in _AXES if axis not in columns]
    if columns and (absent or twice):
        raise DataError(
            f"{path}: the first line does not name the columns",
            got=", ".join(columns)[:160],
            expected=f"{', '.join(_AXES)}, and where known {label_key}, set, type; each once",
            fix=f"add a first line such as {label_key},x,y,z",
        )
    groups: dict[str, list[tuple[int, dict[str, str]]]] = {}
    previous = None
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        line = rows.line_num
        if len(row) != len(columns):
            raise DataError(
                f"{path}, line {line}: the number of columns is wrong",
                got=f"{len(row)}: {', '.join(row)[:80]}",
                expected=f"{len(columns)}: {', '.join(columns)}",
            )
        cells = {name: cell.strip() for name, cell in zip(columns, row, strict=True)}
        if "set" in cells:
            key = cells["set"]
        else:
            label = cells.get(label_key, "")
            if previous is None or label != previous[0]:
                previous = (label, str(len(groups)))
            key = previous[1]
        groups.setdefault(key, []).append((line, cells))
    for name, members in groups.items():
        yield _set_of_rows(path, name, members, label_key)


def _set_of_rows(path: Path, name: str, members: list[tuple[int, dict[str, str]]], label_key: str) -> PointSet:
    first, cells = members[0]
    for line, others in members:
        if others.get(label_key) != cells.get(label_key):
            raise DataError(
                f"{path}, line {line}: a point set has two classes",
                got={f"line {first}": cells[label_key], f"line {line}": others[label_key]},
                expected=f"one class in all rows of the set `{name}`",
            )
    points = [[_number(path, line, axis, row[axis]) for axis in _AXES] for line, row in members]
    types = tuple(row.get("type") or "X" for _, row in members)
    return PointSet(name, np.array(points), types, cells.get(label_key) or None, f"{path}, set {name} (line {first})")


def _read_frames(path: Path, text: str, label_key: str) -> Iterator[PointSet]:
    lines = text.rstrip().splitlines()
    start, number = 0, 0
    while start < len(lines):
        place = f"{path}, frame {number} (line {start + 1})"
        count = int(lines[start]) if lines[start].strip().isdecimal() else 0
        if count < 1:
            raise DataError(
                f"{place}: a frame begins with its number of points",
                got=repr(lines[start][:80]),
                expected="a whole number, at least 1",
                fix=f"check the number of points of frame {number - 1}" if number else None,
            )
        end = start + 2 + count
        if end > len(lines):
            raise DataError(
                f"{place}: the file ends before the frame does",
                got=f"{max(len(lines) - start - 2, 0)} points",
                expected=f"{count} points",
            )
        header = _header(place, lines[start + 1])
        kind, axes, width = _columns(place, header)
        points, types = [], []
        for index in range(start + 2, end):
            cells = lines[index].split()
            if len(cells) < axes + 3 or (width is not None and len(cells) != width):
                raise DataError(
                    f"{path}, line {index + 1}: the number of columns is wrong",
                    got=lines[index][:80],
                    expected="a name and three coordinates" if width is None else f"{width} columns",
                )
            types.append(cells[kind])
            triple = zip(_AXES, cells[axes : axes + 3], strict=True)
            points.append([_number(path, index + 1, axis, cell) for axis, cell in triple])
        label = header.get(label_key)
        yield PointSet(header.get("name", str(number)), np.array(points), tuple(types), label or None, place)
        start, number = end, number + 1


def _header(place: str, line: str) -> dict[str, str]:
    """The ``key=value`` pairs of a comment line; words without ``=`` are comments."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise DataError(
            f"{place}: the header cannot be read: {error}".lower(),
            got=line[:160],
            expected='key=value, key="two words"',
        ) from error
    return dict(word.split("=", 1) for word in words if "=" in word)


def _columns(place: str, header: dict[str, str]) -> tuple[int, int, int | None]:
    """The columns of the type and of x, and how many there are; None where the header does not say."""
    declared = header.get("Properties")
    if declared is None:
        return 0, 1, None
    parts, starts, width = declared.split(":"), {}, 0
    if len(parts) % 3 == 0 and all(size.isdecimal() for size in parts[2::3]):
        for name, size in zip(parts[::3], parts[2::3], strict=True):
            starts[name] = (width, int(size))
            width += int(size)
    if starts.get("species", (0, 0))[1] != 1 or starts.get("pos", (0, 0))[1] != 3:
        raise DataError(
            f"{place}: Properties names no types or no coordinates",
            got=declared[:160],
            expected="species:S:1 and pos:R:3 among its columns",
        )
    return starts["species"][0], starts["pos"][0], width


def _number(path: Path, line: int, axis: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}, line {line}: `{axis}` is not a finite number", got=repr(cell), expected="a number")
    return value
