"""Reading simulations of charged particles from files: the published layout, ``.npz`` and ``.csv``.

``loc_NAME.npy`` (samples, frames, 3, particles), with ``vel_NAME.npy`` of the same shape, ``charges_NAME.npy``
(samples, particles, 1) and, if it is there, ``edges_NAME.npy`` (samples, particles, particles) of products of charges
beside it: what the published generators write. ``.npz`` with ``charges`` and one of
- ``positions``, ``velocities``: (samples, frames, particles, 3), or without the axis of frames;
- ``loc``, ``vel``: the axes of the published layout;
- ``loc0``, ``vel0`` and, if known, ``loc1``: (samples, particles, 3), start and later positions.

``.csv`` with columns ``simulation, particle, charge, x, y, z, vx, vy, vz`` and, for trajectories, ``frame``, in upper
or lower case.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from intertwine.errors import DataError
from intertwine.files import read_columns
from intertwine.particles.samples import Samples

__all__ = ["read_samples", "read_table"]

_FORMATS = "loc_*.npy with its siblings, .npz or .csv"
_COLUMNS = ("simulation", "particle", "charge", "x", "y", "z", "vx", "vy", "vz")


def read_samples(path: str | Path, start_frame: int, end_frame: int, *, targets: bool = True) -> Samples:
    """Return the samples of a file: states at one frame, positions at a later one.

    Args:
        path: of a file in one of the formats that the module's page lists.
        start_frame: frame from which to predict; of a file with one frame it is that one.
        end_frame: frame of the targets.
        targets: whether they must be known; otherwise they are left out where the file ends before.

    Raises:
        DataError: if the file is missing, damaged, of another format, or does not reach the frames.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such file", got=path, expected=_FORMATS)
    ending = path.suffix.lower()
    if ending == ".npy":
        arrays = _published(path)
    elif ending == ".npz":
        arrays = _load(path)
    elif ending == ".csv":
        arrays = _table(path)
    else:
        raise DataError(f"{path.name} is of a format that cannot be read", got=path.suffix, expected=_FORMATS)
    samples = _samples(arrays, path.name, start_frame, end_frame)
    if targets:
        samples.known_targets()
    return samples


def read_table(path: str | Path) -> dict[str, np.ndarray]:
    """Return the columns of a table by their names in lower case, see `intertwine.files.read_columns`."""
    return {name.strip().lower(): column for name, column in read_columns(path).items()}


def _samples(arrays: Mapping[str, np.ndarray], where: str, start: int, end: int) -> Samples:
    """Cut start and target out of arrays with the names that ``.npz`` files have."""
    found = {name: np.asarray(array, dtype=np.float64) for name, array in arrays.items() if _is_number(array)}
    charges = found.get("charges")
    if charges is None:
        raise _names(where, arrays, "charges")
    if charges.ndim == 3 and charges.shape[2] == 1:
        charges = charges[:, :, 0]
    if "loc0" in found and "vel0" in found:
        return Samples(found["loc0"], found["vel0"], charges, found.get("loc1"), where)
    if "loc" in found and "vel" in found:
        places, speeds = found["loc"], found["vel"]
        if places.ndim != 4 or places.shape[2] != 3 or speeds.shape != places.shape:
            raise DataError(
                f"{where}: `loc` and `vel` are not trajectories of the published layout",
                got={"loc": places.shape, "vel": speeds.shape},
                expected="(samples, frames, 3, particles) for both",
                fix="arrays with the axes (samples, frames, particles, 3) are called `positions` and `velocities`",
            )
        places, speeds = places.swapaxes(2, 3), speeds.swapaxes(2, 3)
    elif "positions" in found and "velocities" in found:
        places, speeds = found["positions"], found["velocities"]
        if places.ndim == 3 and speeds.shape == places.shape:
            places, speeds = places[:, None], speeds[:, None]
    else:
        raise _names(where, arrays, "positions and velocities, loc and vel, or loc0 and vel0")
    if places.ndim != 4 or speeds.shape != places.shape:
        raise DataError(
            f"{where}: positions and velocities do not fit together",
            got={"positions": places.shape, "velocities": speeds.shape},
            expected="(samples, frames, particles, 3) for both",
        )
    frames = places.shape[1]
    start = 0 if frames == 1 else start
    if start >= frames:
        raise DataError(
            f"{where}: there is no frame {start} to start from",
            got=f"frames 0 to {frames - 1}",
            expected=f"frame {start}, and frame {end} to compare with",
            fix="choose data.start_frame and data.end_frame that the file has",
        )
    later = places[:, end] if end < frames else None
    return Samples(places[:, start], speeds[:, start], charges, later, where)


def _published(path: Path) -> dict[str, np.ndarray]:
    """Read ``loc_NAME.npy`` and the files that belong to it."""
    kind, _, name = path.name.partition("_")
    if kind != "loc" or not name:
        raise DataError(
            f"{path.name} is not the file of positions",
            got=path.name,
            expected="loc_NAME.npy, with vel_NAME.npy and charges_NAME.npy beside it",
        )
    beside = {kind: path.with_name(f"{kind}_{name}") for kind in ("loc", "vel", "charges", "edges")}
    missing = [beside[kind].name for kind in ("vel", "charges") if not beside[kind].is_file()]
    if missing:
        raise DataError(f"{path.name} lacks files beside it", got=path.parent, expected=", ".join(missing))
    arrays = {kind: _load(file)["array"] for kind, file in beside.items() if file.is_file()}
    charges, edges = arrays["charges"], arrays.pop("edges", None)
    if edges is not None:
        products = charges.reshape(*charges.shape[:2], 1) * charges.reshape(charges.shape[0], 1, -1)
        if edges.shape != products.shape or not np.array_equal(edges, products):
            raise DataError(
                f"{beside['edges'].name} does not hold the products of the charges",
                got={"edges": edges.shape, "charges": charges.shape},
                expected="edges[s, i, j] = charges[s, i] * charges[s, j]",
                fix="keep the four files of one generation together",
            )
    return arrays


def _load(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of an ``.npz`` file by name, or the one of an ``.npy`` file as ``array``."""
    try:
        with path.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                return {"array": stored}
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path.name} is damaged, or not a file of arrays", got=str(error), expected="arrays of numbers from numpy"
        ) from error


def _table(path: Path) -> dict[str, np.ndarray]:
    """Return positions, velocities and charges of a table with one line for each particle at each frame."""
    columns = read_table(path)
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"{path.name} lacks columns",
            got=", ".join(columns) or "an empty file",
            expected=", ".join((*_COLUMNS, "frame (for trajectories)")),
            fix=f"add {', '.join(missing)}",
        )
    if not columns["x"].size:
        raise DataError(f"{path.name} has no line", got=", ".join(columns), expected="one line for each particle")
    columns.setdefault("frame", np.zeros_like(columns["x"]))
    keys = [np.unique(columns[name], return_inverse=True) for name in ("simulation", "frame", "particle")]
    sizes = tuple(len(values) for values, _ in keys)
    place = np.ravel_multi_index([inverse.reshape(-1) for _, inverse in keys], sizes)
    counts = np.bincount(place, minlength=int(np.prod(sizes)))
    if (counts != 1).any():
        wrong = np.unravel_index(int(np.argmax(counts != 1)), sizes)
        names = ("simulation", "frame", "particle")
        where = {name: f"{values[i]:g}" for name, (values, _), i in zip(names, keys, wrong, strict=True)}
        raise DataError(
            f"{path.name} does not have one line for each particle at each frame of each simulation",
            got=where | {"lines": int(counts[np.ravel_multi_index(wrong, sizes)])},
            expected="1 line",
            fix="write simulations of other sizes into files of their own",
        )
    order = np.argsort(place)

    def grid(*names: str) -> np.ndarray:
        return np.stack([columns[name][order] for name in names], axis=-1).reshape(*sizes, len(names))

    charges = grid("charge")[..., 0]
    if (charges != charges[:, :1]).any():
        raise DataError(f"{path.name}: a charge changes between frames", expected="one charge for each particle")
    return {"positions": grid("x", "y", "z"), "velocities": grid("vx", "vy", "vz"), "charges": charges[:, 0]}


def _is_number(array: np.ndarray) -> bool:
    return np.issubdtype(array.dtype, np.number)


def _names(where: str, arrays: Mapping[str, np.ndarray], expected: str) -> DataError:
    return DataError(f"{where} lacks arrays", got=", ".join(arrays) or "no array", expected=expected)
