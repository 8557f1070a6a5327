"""Scans of generated rooms: several scenes, each in several configurations of the same furniture.

An archive holds ``n_scenes``, ``n_configs``, ``kind_names``, and for each scene s ``points_s`` (configurations, points,
3) in metres, z up, ``labels_s`` (0 is floor and walls, others are objects, the same in all configurations),
``poses_s`` (configurations, objects, 4, 4), object to room, and ``kinds_s``, the kind of furniture of each object.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Float

from intertwine.errors import DataError
from intertwine.points.arrays import load_arrays
from intertwine.systems.apen.data.scans import Scan, make_scan

__all__ = ["Scene", "read_scene"]


@final
@dataclass(frozen=True)
class Scene:
    """A room in several configurations.

    Args:
        scans: one for each configuration.
        class_names: of the labels.
        poses: from each object to the room.
    """

    scans: list[Scan]
    class_names: tuple[str, ...]
    poses: Float[torch.Tensor, "configurations objects 4 4"]


def read_scene(path: str | Path, scene: int | str) -> Scene:
    """Return a scene of an archive of rooms.

    Raises:
        DataError: if the file is damaged or lacks an array, there is no such scene, or a label means no object.
    """
    path = Path(path)
    arrays = load_arrays(path)
    known = sorted(name.removeprefix("points_") for name in arrays if name.startswith("points_"))
    if str(scene) not in known:
        raise DataError(
            f"{path.name} has no such scene", got=scene, expected=", ".join(known) or "points_0, ...", fix="data.scene"
        )
    needed = ("kind_names", *(f"{key}_{scene}" for key in ("labels", "poses", "kinds")))
    absent = [name for name in needed if name not in arrays]
    if absent:
        raise DataError(f"{path.name} lacks {', '.join(absent)}", got=", ".join(arrays), expected=", ".join(needed))
    points, labels, poses, kinds = (arrays[f"{key}_{scene}"] for key in ("points", "labels", "poses", "kinds"))
    fits = points.ndim == 3 and labels.shape == points.shape[:2] and poses.shape == (len(points), len(kinds), 4, 4)
    numbers = labels.dtype.kind in "iu" and kinds.dtype.kind in "iu" and poses.dtype.kind == points.dtype.kind == "f"
    if not fits or not numbers or not np.isfinite(poses).all():
        raise DataError(
            f"{path.name}: arrays of scene {scene} do not fit",
            got={"points": points.shape, "labels": labels.shape, "poses": poses.shape, "kinds": kinds.shape},
            expected="(c, n, 3), (c, n), (c, m, 4, 4), (m,)",
        )
    if labels.max(initial=0) > len(kinds):
        raise DataError(
            f"{path.name}: scene {scene} has a label without an object",
            got=int(labels.max()),
            expected=f"0 to {len(kinds)}",
        )
    scans = [
        make_scan(f"scene {scene}, configuration {place}", cloud, mine.astype(np.int64))
        for place, (cloud, mine) in enumerate(zip(points, labels, strict=True))
    ]
    names = ("floor and walls", *(str(arrays["kind_names"][kind]).replace("_", " ") for kind in kinds))
    return Scene(scans, names, torch.from_numpy(poses).double())
