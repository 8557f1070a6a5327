"""Mechanisms: chains of boxes in two poses, exactly rigid by pieces, whose motions are known."""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.groups import SO

__all__ = ["Mechanism", "chain"]


@final
@dataclass(frozen=True)
class Mechanism:
    """The same points of bodies in two poses.

    Args:
        first, second: the points in both.
        part: the body of each point.
        motions: rigid motions with ``second = R first + t`` on each body, as homogeneous matrices.
    """

    first: Float64[Tensor, "points 3"]
    second: Float64[Tensor, "points 3"]
    part: Int64[Tensor, " points"]
    motions: Float64[Tensor, "parts 4 4"]


def chain(boxes: int, points: int, seed: int, *, joint: Literal["free", "hinge"] = "free") -> Mechanism:
    """Return a chain of boxes with random joints, posed twice.

    Half-extents are uniform in [0.1, 0.4]. The centre of the +x face of a box is joined to that of the -x face of the
    next one, which is turned by a random rotation (``free``), or about a random axis by a random angle of at most 90
    degrees (``hinge``); the axis of a joint is the same in both poses. The first box stays where it is.

    Args:
        boxes: number of boxes.
        points: drawn from the surface of each, uniformly by area.
        seed: of everything.
        joint: what joints allow.

    Raises:
        ConfigError: if there is no box or a number of points is negative.
    """
    if boxes < 1 or points < 0:
        raise ConfigError(
            "a chain needs boxes and points", got=f"{boxes} boxes, {points} points", expected="at least 1"
        )
    rng = torch.Generator().manual_seed(seed)
    half = 0.1 + 0.3 * torch.rand(boxes, 3, generator=rng, dtype=torch.float64)
    own = torch.stack([_box_surface(extent, points, rng) for extent in half])
    axes = SO(3).sample(boxes, rng=rng, dtype=torch.float64)[:, :, 0]
    poses = []
    for _ in range(2):
        turns = SO(3).sample(boxes, rng=rng, dtype=torch.float64)
        if joint == "hinge":
            angles = torch.pi * (torch.rand(boxes, 1, generator=rng, dtype=torch.float64) - 0.5)
            turns = SO(3).exp(angles * axes)
        pose = [torch.eye(4, dtype=torch.float64)]
        for box in range(1, boxes):
            pose.append(pose[-1] @ _joined(turns[box], half[box - 1], half[box]))
        poses.append(torch.stack(pose))
    placed = [(pose[:, None, :3, :3] @ own.unsqueeze(-1)).squeeze(-1) + pose[:, None, :3, 3] for pose in poses]
    part = torch.arange(boxes).repeat_interleave(points)
    return Mechanism(placed[0].flatten(0, 1), placed[1].flatten(0, 1), part, poses[1] @ poses[0].inverse())


def _joined(turn: Tensor, before: Tensor, own: Tensor) -> Float64[Tensor, "4 4"]:
    """Return where a box lies in the one before it: turned about the point where their faces meet."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = turn
    pose[:3, 3] = turn[:, 0] * own[0]
    pose[0, 3] += before[0]
    return pose


def _box_surface(half: Tensor, points: int, rng: torch.Generator) -> Float64[Tensor, "points 3"]:
    """Return points of the surface of a box, from the six sides by their areas."""
    area = (half.prod() / half).repeat_interleave(2)
    sides = area.cumsum(0)
    drawn = torch.rand(points, generator=rng, dtype=torch.float64) * sides[-1]
    side = torch.searchsorted(sides, drawn, right=True).clamp(max=5)
    found = (2 * torch.rand(points, 3, generator=rng, dtype=torch.float64) - 1) * half
    across = side // 2
    found[torch.arange(points), across] = (2 * (side % 2) - 1) * half[across]
    return found
