"""DynLab: real scans of laboratories, 8 scenes in 8 configurations each, whose files the authors distribute.

``<scene>-<configuration>.ply`` holds points with the property ``idx``, the object that each belongs to, and
``<scene>-<configuration>.pose`` how each object lies. The layout of the pose files is not documented; text files are
read with 16 numbers for each object (a 4 x 4 matrix, row by row) or 17 (its number first). Learning needs no poses.

Source: Huang et al., MultiBodySync, CVPR 2021. The authors state no licence.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.points.ply import parse_ply
from intertwine.systems.apen.data.scans import Scan, make_scan

__all__ = ["read_dynlab", "read_poses"]


def read_dynlab(folder: str | Path, scene: int | str) -> list[Scan]:
    """Return the scans of a scene, in the order of their configurations; labels are the numbers of the objects.

    Raises:
        DataError: if there is no such folder or scene, or a file is damaged.
    """
    folder = Path(folder)
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*-*.ply"), key=_natural):
        found.setdefault(path.stem.rpartition("-")[0], []).append(path)
    if str(scene) not in found:
        raise DataError(
            f"{folder.name} has no such scene",
            got=scene,
            expected=", ".join(found) or "files <scene>-<configuration>.ply",
            fix="data.scene names one",
        )
    scans = []
    for path in found[str(scene)]:
        columns = parse_ply(path.read_bytes(), path.name).columns
        absent = [name for name in ("x", "y", "z", "idx") if name not in columns]
        if absent:
            raise DataError(f"{path.name} lacks {', '.join(absent)}", got=", ".join(columns), expected="x, y, z, idx")
        points = np.stack([columns[name] for name in "xyz"], axis=1)
        scans.append(make_scan(path.stem, points, columns["idx"].astype(np.int64)))
    return scans


def read_poses(folder: str | Path, name: str) -> dict[int, Float64[Tensor, "4 4"]]:
    """Return how the objects of a scan lie, by their numbers; those of a file without numbers are counted from 0.

    Args:
        folder: that of the scans.
        name: of the scan, ``<scene>-<configuration>``.

    Raises:
        DataError: if the file is missing, is of another layout, or holds a matrix that is no rigid motion.
    """
    path = Path(folder) / f"{name}.pose"
    if not path.is_file():
        raise DataError("there are no poses of this scan", got=path.name, expected="a file beside its points")
    try:
        rows = [
            [float(cell) for cell in line.replace(",", " ").split()] for line in path.read_text("utf-8").splitlines()
        ]
    except (ValueError, UnicodeDecodeError) as error:
        raise _unknown(path, str(error)) from error
    numbers = [number for row in rows for number in row]
    lengths = {len(row) for row in rows if row}
    numbered = lengths in ({17}, {1, 4}, {1, 16})
    if not numbered and lengths not in ({16}, {4}):
        raise _unknown(path, f"lines of {sorted(lengths)} numbers")
    width = 17 if numbered else 16
    if len(numbers) % width:
        raise _unknown(path, f"{len(numbers)} numbers")
    table = torch.tensor(numbers, dtype=torch.float64).reshape(-1, width)
    matrices = table[:, width - 16 :].reshape(-1, 4, 4)
    check_rigid(matrices, path.name)
    keys = table[:, 0].long().tolist() if numbered else range(len(matrices))
    return dict(zip(keys, matrices, strict=True))


def check_rigid(matrices: Float64[Tensor, "*batch 4 4"], where: str) -> None:
    """Raise DataError unless matrices are rotations (or reflections) with a shift."""
    turns = matrices[..., :3, :3]
    identity, last = torch.eye(3).to(matrices), torch.tensor([0.0, 0, 0, 1]).to(matrices)
    right = (
        torch.isclose(turns.mT @ turns, identity, atol=1e-3).all() and torch.isclose(matrices[..., 3, :], last).all()
    )
    if not right or not matrices.isfinite().all():
        raise DataError(f"{where}: a pose is no rigid motion", got="4 x 4 numbers", expected="[[R, t], [0, 1]]")


def _natural(path: Path) -> tuple[str, int, str]:
    scene, _, configuration = path.stem.rpartition("-")
    return scene, int(configuration) if configuration.isdigit() else -1, configuration


def _unknown(path: Path, got: str) -> DataError:
    return DataError(
        f"{path.name} is not a file of poses that can be read",
        got=got,
        expected="16 numbers for each object, or 17 with its number first",
    )
