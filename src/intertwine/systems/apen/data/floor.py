"""Leaving out the floor of rooms, for networks that cannot tell objects from what they stand on.

The floor is the horizontal plane below all else that most points of a scan are near. Its points are not seen by the
network, neither when it learns nor afterwards. Scores of points and of parts count them all the same: they are given
class 0, the background, and a part of their own, so that points of objects that lie in the plane are mistakes. Losses
do not count them.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import DataError, NumericsError, ShapeError
from intertwine.points import ransac_plane
from intertwine.systems.apen.data.scans import Scan
from intertwine.systems.apen.settings import DataSettings
from intertwine.training.sampling import generator

__all__ = ["find_floor", "find_floors"]


def find_floor(
    name: str, points: Float[Tensor, "points 3"], settings: DataSettings, rng: torch.Generator
) -> Bool[Tensor, " points"]:
    """Return which points of a scan are floor.

    Raises:
        DataError: if there is no floor, or nothing else is left of the scan.
        NumericsError: if a coordinate is not finite.
    """
    if not bool(points.isfinite().all()):
        wrong = int((~points.isfinite().all(-1)).sum())
        raise NumericsError(
            f"{name}: points are not finite", got=f"{wrong} of {len(points)}", expected="finite coordinates"
        )
    up = torch.eye(3)["xyz".index(settings.up)]
    try:
        floor = ransac_plane(points, settings.floor_distance, up=up, rng=rng).near
    except (NumericsError, ShapeError) as error:
        raise DataError(
            f"{name} has no floor that could be left out",
            got=f"{len(points)} points: {error.got}",
            expected="a horizontal plane below all else",
            fix="data.up says which coordinate grows upward; or data.remove_floor false",
        ) from error
    if bool(floor.all()):
        raise DataError(
            f"{name} is nothing but a floor",
            got=f"{len(floor)} points in one plane",
            expected="objects on it",
            fix="data.remove_floor false, or a smaller data.floor_distance",
        )
    return floor


def find_floors(scans: Sequence[Scan], settings: DataSettings) -> list[Scan]:
    """Return scans that know which of their points are floor; errors are those of `find_floor`.

    Draws of a scan depend on the seed of the split and on its name only.
    """
    return [
        replace(scan, floor=find_floor(scan.name, scan.points, settings, generator(settings.seed, "floor", scan.name)))
        for scan in scans
    ]
