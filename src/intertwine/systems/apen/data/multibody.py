"""Folders of MultiBodySync: several views of several bodies, with the motion of each part.

``meta.json`` maps names of splits to lists of whole numbers; item k is ``data/%06d.npz`` with ``pc`` (views, points,
3), ``segm`` (views, points), the part of each point from 1, and ``trans``, a pickled mapping with ``cam`` and the
numbers of the parts, each a 4 x 4 matrix for each view.

Source: Huang et al., MultiBodySync, CVPR 2021, and the layout of its data.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.systems.apen.data.dynlab import check_rigid
from intertwine.systems.apen.data.scans import Scan, make_scan
from intertwine.training.pickles import unpickle

__all__ = ["MultiBody", "read_multibody", "read_multibody_item"]

_WHAT = "a mapping of `cam` and the numbers of parts to 4 x 4 matrices, one for each view"


@final
@dataclass(frozen=True)
class MultiBody:
    """One item: several views of the same bodies.

    Args:
        scans: the views.
        cameras: where each view is seen from, camera to world.
        poses: from each part to the world, in each view.
    """

    scans: list[Scan]
    cameras: Float64[Tensor, "views 4 4"]
    poses: Float64[Tensor, "parts views 4 4"]

    def motion(self, part: int, base: int, other: int) -> Float64[Tensor, "4 4"]:
        """Return the rigid motion that takes a part (from 0) from one view to another, in their own coordinates."""
        poses = self.poses[part]
        steps = (self.cameras[base], poses[base].inverse(), poses[other], self.cameras[other].inverse())
        first, second, third, fourth = steps
        return fourth @ third @ second @ first


def read_multibody(folder: str | Path, splits: tuple[str, ...]) -> list[Scan]:
    """Return all views of all items of some splits.

    Raises:
        DataError: if there is no such folder or split, or a file is missing or damaged.
    """
    folder = Path(folder)
    path = folder / "meta.json"
    if not path.is_file():
        raise DataError("this is no MultiBodySync folder", got=folder, expected="meta.json and data/")
    try:
        meta = json.loads(path.read_text("utf-8"))
        right = all(isinstance(ids, list) and all(type(i) is int and i >= 0 for i in ids) for ids in meta.values())
    except (ValueError, AttributeError) as error:
        raise DataError(
            "meta.json is damaged", got=str(error), expected="names of splits and lists of numbers"
        ) from error
    if not right:
        raise DataError("meta.json is damaged", got="other values", expected="names of splits and lists of numbers")
    unknown = [split for split in splits if split not in meta]
    if unknown:
        raise DataError(f"{folder.name} has no such split", got=", ".join(unknown), expected=", ".join(meta))
    found = [read_multibody_item(folder, item) for split in splits for item in meta[split]]
    return [scan for item in found for scan in item.scans]


def read_multibody_item(folder: str | Path, item: int) -> MultiBody:
    """Return one item of a folder. Its pickle is read by `intertwine.training.pickles`, which runs nothing of it.

    Raises:
        DataError: if the file is missing or damaged, lacks an array or a pose, or asks to run something.
    """
    path = Path(folder) / "data" / f"{item:06d}.npz"
    points, parts, motions = _read(path)
    numbers = points.dtype.kind in "fiu" and parts.dtype.kind in "iu"
    fits = points.ndim == 3 and parts.shape == points.shape[:2] and parts.size > 0
    if not numbers or not fits or parts.min() < 1:
        raise DataError(
            f"{path.name}: arrays do not fit",
            got={"pc": f"{points.shape} {points.dtype}", "segm": f"{parts.shape} {parts.dtype}"},
            expected="(views, points, 3) and (views, points) of whole numbers from 1",
        )
    views = len(points)
    names: list[Any] = ["cam", *range(1, int(parts.max()) + 1)]
    absent = [name for name in names if name not in motions]
    if absent:
        raise DataError(f"{path.name} lacks poses", got=f"none of {absent}", expected=_WHAT)
    # parts without points may follow
    names += [name for name in range(len(names), len(motions)) if name in motions]
    matrices = torch.from_numpy(np.stack([_matrices(motions[name], views, path, name) for name in names]))
    check_rigid(matrices, path.name)
    scans = [
        make_scan(f"{item:06d} view {view}", cloud, mine - 1)
        for view, (cloud, mine) in enumerate(zip(points, parts.astype(np.int64), strict=True))
    ]
    return MultiBody(scans, matrices[0], matrices[1:])


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, dict[Any, Any]]:
    if not path.is_file():
        raise DataError("there is no such item", got=path.name, expected=f"a file in {path.parent.name}/")
    try:
        with path.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            absent = [name for name in ("pc", "segm", "trans") if name not in stored.files]
            if absent:
                raise DataError(
                    f"{path.name} lacks {', '.join(absent)}", got=", ".join(stored.files), expected="pc, segm, trans"
                )
            points, parts = stored["pc"], stored["segm"]
        with zipfile.ZipFile(path) as archive:
            content = archive.read("trans.npy")
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} is damaged", got=str(error), expected="pc, segm and trans") from error
    found = unpickle(_after_header(content, path), f"{path.name}, trans", objects=True, what=_WHAT)
    value = found[()] if isinstance(found, np.ndarray) and found.shape == () else found
    if not isinstance(value, dict):
        raise DataError(f"{path.name}: trans is no mapping", got=type(value).__name__, expected=_WHAT)
    return points, parts, value


def _after_header(content: bytes, path: Path) -> bytes:
    """Return the pickle in a stored array of objects."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read(stream)
    except ValueError as error:
        raise DataError(f"{path.name}: trans is damaged", got=str(error), expected=_WHAT) from error
    if not dtype.hasobject:
        raise DataError(f"{path.name}: trans is no mapping", got=f"an array of {dtype}", expected=_WHAT)
    return stream.read()


def _matrices(value: Any, views: int, path: Path, name: Any) -> np.ndarray:
    try:
        found = np.stack([np.asarray(value[view], np.float64) for view in range(views)])
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise DataError(f"{path.name}: poses of {name} are damaged", got=str(error), expected=_WHAT) from error
    if found.shape != (views, 4, 4):
        raise DataError(f"{path.name}: poses of {name} do not fit", got=found.shape, expected=(views, 4, 4))
    return found
