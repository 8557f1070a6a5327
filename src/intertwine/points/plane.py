"""The plane that most points of a cloud lie near, such as the floor of a room.

Source: Fischler, Bolles, Random Sample Consensus, CACM 24, 381 (1981).
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from intertwine.errors import ConfigError, NumericsError, ShapeError

__all__ = ["Plane", "ransac_plane"]

_ENTRIES = 2**21
"""Distances that are held at once."""
_STEEPEST, _BELOW = 10.0, 0.02
"""Angle in degrees between a floor and the horizontal, and share of the points that may lie below it, at most."""
_SINE = 1e-6
"""Sine of the angle between two edges of a triple of points below which they count as lying on a line."""


@final
@dataclass(frozen=True)
class Plane:
    """A plane and the points near it.

    Args:
        normal: unit vector; it points up if it is known where that is.
        offset: ``normal @ x`` of every point x of the plane.
        near: which points are within the distance that was asked for.
    """

    normal: Float64[Tensor, "3"]
    offset: Float64[Tensor, ""]
    near: Bool[Tensor, " points"]


@torch.no_grad()
def ransac_plane(
    points: Float[Tensor, "points 3"],
    distance: float,
    iterations: int = 1000,
    *,
    up: Float[Tensor, "3"] | None = None,
    rng: torch.Generator,
) -> Plane:
    """Return the plane through three of the points that most points are near; of equals the one drawn first.

    The plane with most points need not be the floor of a room: tables and sofas have large ones. Where it is known what
    is up, only floors count: planes that are horizontal within 10 degrees, and have at most 2 % of the points below;
    triples are then drawn from the lowest quarter of the points, for a floor may have a small share of all.

    With the same draws it moves with the cloud. The work is points × iterations, in float64.

    Args:
        points: a cloud.
        distance: how far from the plane a point may be that is near it, in the unit of the points.
        iterations: how many triples of points are drawn.
        up: a vector that points up, of any length; any plane will do where not given.
        rng: draws the triples.

    Raises:
        ShapeError: if there are not three points in space.
        NumericsError: if a coordinate is not finite, or no triple that was drawn gives such a plane.
        ConfigError: if the distance is negative, nothing is drawn, or ``up`` has no direction.

    Example:
        >>> square = torch.tensor([[0.0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 0, 5]])
        >>> ransac_plane(square, 0.1, rng=torch.Generator().manual_seed(0)).near.tolist()
        [True, True, True, True, False]
    """
    _check(points, distance, iterations, up)
    exact = points.double()
    drawn = _lowest(exact, up)
    corner, one, other = drawn[_triples(len(drawn), iterations, rng).to(points.device)].unbind(1)
    normals = torch.linalg.cross(one - corner, other - corner)
    area = normals.norm(dim=1)
    chosen = area > _SINE * (one - corner).norm(dim=1) * (other - corner).norm(dim=1)
    normals = normals / area.clamp(min=torch.finfo(torch.float64).tiny).unsqueeze(1)
    if up is not None:
        height = normals @ (up.to(exact) / up.to(exact).norm())
        normals = torch.where(height < 0, -1.0, 1.0).unsqueeze(1) * normals
        chosen &= height.abs() >= math.cos(math.radians(_STEEPEST))
    normals, offsets = normals[chosen], (normals * corner).sum(1)[chosen]
    counts = [corner.new_zeros(0)]
    rows = max(_ENTRIES // len(points), 1)
    for some, offset in zip(normals.split(rows), offsets.split(rows), strict=True):
        above = exact @ some.T - offset
        near = (above.abs() <= distance).sum(0)
        low = (above < -distance).sum(0) > _BELOW * len(points)
        counts.append(near if up is None else torch.where(low, -1, near))
    count = torch.cat(counts)
    best = int(count.argmax()) if len(count) else -1
    if best < 0 or count[best] < 0:
        raise NumericsError(
            "no plane was found" if up is None else "no floor was found",
            got=f"{iterations} triples of {len(points)} points",
            expected="points that do not all lie on a line, and a floor below them where it is sought",
            fix="draw more triples" if up is None else "draw more triples, or say which direction is up",
        )
    return Plane(normals[best], offsets[best], (exact @ normals[best] - offsets[best]).abs() <= distance)


def _check(points: Tensor, distance: float, iterations: int, up: Tensor | None) -> None:
    if points.ndim != 2 or points.shape[1] != 3 or len(points) < 3:
        raise ShapeError("a plane lies through three points", got=tuple(points.shape), expected="(3 or more, 3)")
    if not distance >= 0 or iterations < 1:
        raise ConfigError(
            "a plane is sought with a distance and a number of draws",
            got={"distance": distance, "iterations": iterations},
            expected="a distance of at least 0, and at least 1 draw",
        )
    if up is not None and (up.shape != (3,) or not bool(up.isfinite().all()) or not bool(up.any())):
        raise ConfigError("up is a direction", got=up.tolist(), expected="three finite numbers that are not all zero")
    if not bool(points.isfinite().all()):
        wrong = int((~points.isfinite().all(-1)).sum())
        raise NumericsError("points are not finite", got=f"{wrong} of {len(points)}", expected="finite coordinates")


def _lowest(points: Float64[Tensor, "points 3"], up: Tensor | None) -> Float64[Tensor, "some 3"]:
    """Return the quarter of the points that is lowest, but at least three; all where no direction is up."""
    if up is None:
        return points
    return points[(points @ up.to(points)).argsort(stable=True)[: max(len(points) // 4, 3)]]


def _triples(count: int, iterations: int, rng: torch.Generator) -> Int64[Tensor, "iterations 3"]:
    """Draw three different numbers below ``count``, again and again."""
    first, second, third = (
        torch.randint(count - taken, (iterations,), generator=rng, device=rng.device) for taken in range(3)
    )
    second = second + (second >= first)
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    third = third + (third >= low)
    return torch.stack([first, second, third + (third >= high)], dim=1)
