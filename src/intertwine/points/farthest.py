"""Farthest point sampling: each next point is the one farthest from all points taken before it.

All clouds of a batch advance together, one point a step, on any device.

Source: Eldar et al., The farthest point strategy for progressive image sampling, IEEE TIP 6, 1305 (1997).
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.points.ragged import check_clouds, pad_clouds

__all__ = ["FarthestPoints", "farthest_points"]


@final
@dataclass(frozen=True)
class FarthestPoints:
    """Points taken from each cloud, cloud after cloud, in the order in which they were taken."""

    index: Int64[Tensor, " taken"]
    """Place of each in the tensor of all points."""
    batch: Int64[Tensor, " taken"]
    """Cloud of each."""
    distance: Float[Tensor, " taken"]
    """To the nearest of those taken before it in its cloud; infinite for the first. It never increases."""


@torch.no_grad()
def farthest_points(
    points: Float[Tensor, "points d"],
    count: int | Int64[Tensor, " clouds"],
    batch: Int64[Tensor, " points"] | None = None,
    *,
    rng: torch.Generator | None = None,
) -> FarthestPoints:
    """Take points that cover each cloud evenly; of equally far ones the first in the tensor.

    Coincident points are taken after all others, each once. The work is points × count for each cloud.

    Args:
        points: of all clouds.
        count: how many to take, of each cloud the same or its own; a cloud that has fewer gives all that it has.
        batch: cloud of each point; one cloud where not given.
        rng: draws the first point of each cloud; without, it is the first in the tensor.

    Raises:
        ShapeError: if there is not one cloud for each point.
        NumericsError: if a coordinate is not finite.
        ConfigError: if a count is negative, or not given for each cloud.

    Example:
        >>> farthest_points(torch.tensor([[0.0], [1.0], [9.0], [4.0]]), 3).index
        tensor([0, 2, 3])
    """
    batch = torch.zeros(len(points), dtype=torch.int64, device=points.device) if batch is None else batch
    check_clouds("points", points, batch)
    place, mask = pad_clouds(batch, count.numel() if isinstance(count, Tensor) else None)
    sizes = mask.sum(1)
    wanted = _wanted(count, sizes)
    steps = int(wanted.max()) if len(wanted) else 0
    clouds = points[place].transpose(1, 2).contiguous()
    # a point that is taken, and an entry that is none, must never be the farthest again
    distance = torch.where(mask, float("inf"), -2.0).to(points)
    current = _starts(sizes, rng).unsqueeze(1)
    taken, reached = sizes.new_zeros(len(sizes), steps), distance.new_zeros(len(sizes), steps)
    offset, squared = torch.empty_like(clouds), torch.empty_like(distance)
    for step in range(steps):
        taken[:, step : step + 1] = current
        reached[:, step : step + 1] = distance.gather(1, current)
        here = clouds.gather(2, current.unsqueeze(1).expand(-1, clouds.shape[1], 1))
        torch.sub(clouds, here, out=offset)
        torch.sum(offset.square_(), 1, out=squared)
        torch.minimum(distance, squared, out=distance)
        distance.scatter_(1, current, -1.0)
        current = distance.argmax(1, keepdim=True)
    kept = torch.arange(steps, device=points.device) < wanted.unsqueeze(1)
    cloud = torch.arange(len(sizes), device=points.device).repeat_interleave(wanted)
    return FarthestPoints(place.gather(1, taken)[kept], cloud, reached.sqrt()[kept])


def _wanted(count: int | Tensor, sizes: Tensor) -> Tensor:
    each = torch.as_tensor(count, device=sizes.device)
    wrong = each.is_floating_point() or each.ndim > 1 or (each.ndim == 1 and each.shape != sizes.shape)
    if wrong or (each.numel() and int(each.min()) < 0):
        raise ConfigError(
            "the number of points to take is not one for each cloud",
            got=f"{each.tolist()} for {len(sizes)} clouds",
            expected="a whole number of at least 0, or one for each cloud",
        )
    return torch.minimum(each.expand_as(sizes), sizes)


def _starts(sizes: Tensor, rng: torch.Generator | None) -> Tensor:
    if rng is None:
        return torch.zeros_like(sizes)
    drawn = torch.rand(len(sizes), generator=rng, device=rng.device, dtype=torch.float64).to(sizes.device)
    return torch.minimum((drawn * sizes).long(), (sizes - 1).clamp(min=0))
