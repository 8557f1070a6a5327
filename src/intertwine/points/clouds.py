"""Clouds of points with normals, labels and colours: reading PLY, OBJ, NPZ, CSV and XYZ, writing PLY and NPZ.

Names of columns are ``x, y, z``; ``nx, ny, nz``; ``label``; ``red, green, blue`` from 0 to 255, as in PLY; and
``instance``. Arrays of a ``.npz`` file are ``points``, ``normals``, ``labels``, ``colours``, ``instances``, or the same
in the singular; with one more axis in front they are those of many clouds (`read_clouds`). An OBJ file gives its ``v``
lines, and its ``vn`` lines where there are as many. Tables are ``.csv`` with a header, in upper or lower case, or
``.csv`` and ``.xyz`` with numbers alone: three coordinates, or six numbers of which the last three are a normal if
they have length 1 in every line. Otherwise they are taken for colours, of which such files do not say the range, and
are not used.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

from intertwine.errors import DataError
from intertwine.files import write_bytes
from intertwine.points.arrays import load_arrays
from intertwine.points.ply import parse_ply, ply_bytes

__all__ = ["CLOUD_SUFFIXES", "Cloud", "cloud_bytes", "read_cloud", "read_clouds", "write_cloud", "write_clouds"]

CLOUD_SUFFIXES = (".ply", ".obj", ".npz", ".csv", ".xyz")
"""Endings of the files that `read_cloud` reads."""

_COLUMNS = {
    "points": "x y z",
    "normals": "nx ny nz",
    "labels": "label",
    "colours": "red green blue",
    "instances": "instance",
}
_WHOLE = ("labels", "instances")
_INT32 = np.iinfo(np.int32)
"""Whole numbers of a PLY file."""
_UNIT = 1e-2
"""How far the lengths of normals in a table without header may be from 1: such tables have few decimals."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in space and what is known of each, as an immutable value.

    Args:
        points: coordinates.
        normals: of the surface that the points lie on; of any length but finite.
        labels: one whole number a point, such as its class; stored as int64.
        colours: red, green and blue from 0 to 255; stored as uint8.
        name: says in errors which cloud it is.
        instances: one whole number a point, which says which points belong together.

    Raises:
        DataError: if there is no point, an array has another length, or a number is not finite.
    """

    points: Float[np.ndarray, "points 3"]
    normals: Float[np.ndarray, "points 3"] | None = None
    labels: Integer[np.ndarray, " points"] | None = None
    colours: Integer[np.ndarray, "points 3"] | None = None
    name: str = "cloud"
    instances: Integer[np.ndarray, " points"] | None = None

    def __post_init__(self) -> None:
        points = np.asarray(self.points, np.float64)
        if points.ndim == 2 and points.shape[1] != 3:
            raise DataError(f"{self.name}: points need three coordinates", got=points.shape, expected="(points, 3)")
        if points.ndim != 2 or not len(points):
            raise DataError(f"{self.name} has no points", got=points.shape, expected="(points, 3), at least one")
        found = {
            "points": points,
            "normals": None if self.normals is None else np.asarray(self.normals, np.float64),
            "labels": None if self.labels is None else _whole(self.labels, f"{self.name}: labels"),
            "colours": None if self.colours is None else _bytes(self.colours, f"{self.name}: colours"),
            "instances": None if self.instances is None else _whole(self.instances, f"{self.name}: instances"),
        }
        for key, array in found.items():
            if array is None:
                continue
            wanted = (len(points),) if key in _WHOLE else (len(points), 3)
            if array.shape != wanted:
                raise DataError(f"{self.name}: {key} do not fit the points", got=array.shape, expected=wanted)
            if not np.isfinite(array).all():
                wrong = int(np.argwhere(~np.isfinite(array))[0][0])
                raise DataError(f"{self.name}: {key} of point {wrong} are not finite", got=array[wrong].tolist())
            object.__setattr__(self, key, array)

    def __len__(self) -> int:
        return len(self.points)


def read_cloud(path: str | Path) -> Cloud:
    """Return the points of a file with what it says of them; faces are ignored.

    Raises:
        DataError: if the file is missing, damaged, of another format, has no points, or holds several clouds.
    """
    clouds = read_clouds(path)
    if len(clouds) > 1:
        raise DataError(
            f"{Path(path).name} holds several clouds where one is read",
            got=f"points ({len(clouds)}, {len(clouds[0])}, 3)",
            expected="points (n, 3)",
            fix="choose one, and write it alone: numpy.savez(NAME, points=points[0]); or call read_clouds",
        )
    return clouds[0]


def read_clouds(path: str | Path) -> list[Cloud]:
    """Return the clouds of a file: those of a ``.npz`` file with arrays of many clouds, or the one of any other.

    Arrays of many clouds are ``points`` (clouds, n, 3), ``labels`` (clouds, n) and so on; clouds are named after the
    file and their place in it.

    Raises:
        DataError: if the file is missing, damaged, of another format, or has no points.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such file", got=path, expected=f"points: {', '.join(CLOUD_SUFFIXES)}")
    readers = {".ply": _read_ply, ".obj": _read_obj, ".npz": _read_npz, ".csv": _read_table, ".xyz": _read_table}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name} is not a file of points", got=path.suffix, expected=", ".join(CLOUD_SUFFIXES))
    arrays = reader(path)
    if arrays["points"].ndim != 3:
        return [Cloud(**arrays, name=path.name)]
    count = len(arrays["points"])
    wrong = [key for key, array in arrays.items() if array.shape[:1] != (count,)]
    if not count or wrong:
        raise DataError(
            f"{path.name}: {wrong[0]} do not fit the clouds" if wrong else f"{path.name} has no clouds",
            got={key: array.shape for key, array in arrays.items()},
            expected="points (clouds, n, 3), labels (clouds, n), normals (clouds, n, 3)",
        )
    return [
        Cloud(**{key: array[place] for key, array in arrays.items()}, name=f"{path.name}[{place}]")
        for place in range(count)
    ]


def write_cloud(path: str | Path, cloud: Cloud, *, text: bool = False) -> Path:
    """Write a cloud to a PLY or NPZ file, whole or not at all, and return the path.

    Args:
        path: ends with ``.ply`` or ``.npz``.
        cloud: to be written, coordinates and normals in float32 in a PLY file and in float64 in a NPZ file.
        text: a PLY file as text instead of binary.

    Raises:
        DataError: if the path has another ending.
    """
    path = Path(path)
    if path.suffix.lower() not in (".ply", ".npz"):
        raise DataError(f"{path.name}: clouds are written as PLY or NPZ", got=path.suffix, expected=".ply or .npz")
    kind = "npz" if path.suffix.lower() == ".npz" else "ply-text" if text else "ply"
    return write_bytes(path, cloud_bytes(cloud, kind))


def write_clouds(path: str | Path, clouds: Sequence[Cloud]) -> Path:
    """Write clouds to one file that `read_clouds` reads again, whole or not at all, and return the path.

    Args:
        path: ends with ``.npz``, or also ``.ply`` where there is one cloud.
        clouds: of one number of points, and with the same things known of them.

    Raises:
        DataError: if there is none, the path has another ending, or the clouds do not fit together.
    """
    path = Path(path)
    if len(clouds) == 1:
        return write_cloud(path, clouds[0])
    known = {tuple((key, array.shape) for key, array in _arrays(cloud).items()) for cloud in clouds}
    if len(known) != 1 or path.suffix.lower() != ".npz":
        raise DataError(
            f"{path.name} cannot hold these clouds",
            got=[len(cloud) for cloud in clouds],
            expected="a .npz file, and clouds with one number of points and the same arrays",
        )
    stacked = {key: np.stack([getattr(cloud, key) for cloud in clouds]) for key in _arrays(clouds[0])}
    return write_bytes(path, _packed(stacked))


def cloud_bytes(cloud: Cloud, kind: Literal["ply", "ply-text", "npz"] = "ply") -> bytes:
    """Return the bytes of the file that holds a cloud.

    Raises:
        DataError: if a label or instance is too large for a PLY file.
    """
    arrays = _arrays(cloud)
    if kind == "npz":
        return _packed(arrays)
    columns: dict[str, np.ndarray] = {}
    for key, array in arrays.items():
        dtype = np.int32 if key in _WHOLE else np.uint8 if key == "colours" else np.float32
        if key in _WHOLE and (array.min() < _INT32.min or array.max() > _INT32.max):
            raise DataError(
                f"{cloud.name}: {key} do not fit a PLY file",
                got=f"{array.min()} to {array.max()}",
                expected=f"{_INT32.min} to {_INT32.max}",
                fix="write a .npz file, or number them anew",
            )
        values = array.reshape(len(array), -1).astype(dtype)
        columns |= {name: values[:, i] for i, name in enumerate(_COLUMNS[key].split())}
    return ply_bytes(columns, text=kind == "ply-text")


def _arrays(cloud: Cloud) -> dict[str, np.ndarray]:
    return {key: getattr(cloud, key) for key in _COLUMNS if getattr(cloud, key) is not None}


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    return stream.getvalue()


def _read_ply(path: Path) -> dict[str, np.ndarray]:
    return _from_columns(parse_ply(path.read_bytes(), path.name).columns, path.name)


def _read_obj(path: Path) -> dict[str, np.ndarray]:
    rows: dict[str, list[list[float]]] = {"v": [], "vn": []}
    try:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            word, *cells = line.split() or [""]
            if word in rows:
                rows[word].append([float(cell) for cell in cells[:3]])
                if len(cells) < 3:
                    raise ValueError(f"line {number}: {line.strip()}")
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path.name} is damaged, or not an OBJ file", got=str(error), expected="v x y z") from error
    points, normals = (np.array(rows[word], float).reshape(-1, 3) for word in ("v", "vn"))
    return {"points": points} | ({"normals": normals} if len(points) == len(normals) else {})


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    stored = load_arrays(path)
    arrays = {name: stored.get(name, stored.get(name.removesuffix("s"))) for name in _COLUMNS}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    if "points" not in arrays:
        raise DataError(
            f"{path.name} lacks an array",
            got=", ".join(stored) or "no array",
            expected="points (n, 3) or (clouds, n, 3)",
        )
    wrong = [name for name, array in arrays.items() if array.dtype.kind not in "fiub"]
    if wrong:
        raise DataError(f"{path.name}: {wrong[0]} are not numbers", got=arrays[wrong[0]].dtype, expected="numbers")
    return arrays


def _read_table(path: Path) -> dict[str, np.ndarray]:
    try:
        lines = [line for line in path.read_text("utf-8-sig").replace(",", " ").splitlines() if line.strip()]
        header = lines[0].lower().split() if lines and not _is_number(lines[0].split()[0]) else []
        cells = [[float(cell) for cell in line.split()] for line in lines[bool(header) :]]
        width = len(header) or (len(cells[0]) if cells else 3)
        if any(len(row) != width for row in cells) or (not header and width not in (3, 6)):
            raise ValueError(f"lines of {sorted({len(row) for row in cells})} numbers")
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path.name} is not a table of points",
            got=str(error),
            expected="3 numbers in each line, or 6 with normals or colours; or a header with x, y, z",
        ) from error
    table = np.array(cells, float).reshape(-1, width)
    unit = np.abs(np.linalg.norm(table[:, 3:6], axis=1) - 1) <= _UNIT
    names = header or ["x", "y", "z", *(["nx", "ny", "nz"] if unit.all() else ["-"] * 3)][:width]
    return _from_columns({name: table[:, i] for i, name in enumerate(names)}, path.name)


def _from_columns(columns: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Put columns together to the arrays of a cloud; those of other names are left out."""
    if not all(name in columns for name in "xyz"):
        raise DataError(f"{where} lacks coordinates", got=", ".join(columns) or "no column", expected="x, y, z")
    found = {
        key: np.stack([columns[name] for name in names.split()], axis=1)
        for key, names in _COLUMNS.items()
        if all(name in columns for name in names.split())
    }
    for key in _WHOLE:
        if key in found:
            found[key] = found[key][:, 0]
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _whole(values: np.ndarray, where: str) -> np.ndarray:
    values = np.asarray(values)
    whole = values.astype(np.int64) if values.dtype.kind in "iu" else np.rint(np.nan_to_num(values, nan=0.5))
    if not (whole == values).all():
        raise DataError(f"{where} are not whole numbers", got=values.dtype, expected="whole numbers")
    return whole.astype(np.int64)


def _bytes(values: np.ndarray, where: str) -> np.ndarray:
    whole = _whole(values, where)
    if whole.size and (whole.min() < 0 or whole.max() > 255):
        raise DataError(f"{where} are out of range", got=f"{whole.min()} to {whole.max()}", expected="0 to 255")
    return whole.astype(np.uint8)
