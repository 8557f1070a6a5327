"""Centroids and covariances of clouds: batches with masks, or segments of one tensor.

The covariance is the sum of outer products of the points seen from their origin, not divided by their number: its
scale does not matter to frames. Sums are in float64.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import NumericsError, ShapeError
from intertwine.graphs import segment_sum

__all__ = ["about_origin", "check_clouds", "cloud_moments", "cloud_rounding", "segment_moments", "segment_rounding"]


def cloud_moments(
    points: Float[Tensor, "batch points d"], mask: Bool[Tensor, "batch points"] | None, *, centred: bool
) -> tuple[Float[Tensor, "batch d"], Float[Tensor, "batch d d"]]:
    """Return the origin and the covariance of each cloud, in float64.

    Args:
        points: of a batch of clouds.
        mask: which entries are points.
        centred: whether the origin is the centroid; it is zero otherwise, and that of a cloud without points.
    """
    origin, seen = about_origin(points, mask, centred=centred)
    return origin, seen.mT @ seen


def about_origin(
    points: Float[Tensor, "batch points d"], mask: Bool[Tensor, "batch points"] | None, *, centred: bool
) -> tuple[Float[Tensor, "batch d"], Float[Tensor, "batch points d"]]:
    """Return the origin of each cloud and its points seen from there, in float64; zeros where there is no point."""
    wide = points.double()
    if mask is not None:
        wide = torch.where(mask.unsqueeze(-1), wide, 0.0)
    origin = wide.new_zeros(wide.shape[0], wide.shape[-1])
    if centred:
        sizes = torch.full_like(origin[:, :1], wide.shape[1]) if mask is None else mask.sum(1, keepdim=True)
        origin = wide.sum(1) / sizes.clamp(min=1)
        wide = wide - origin.unsqueeze(1)
        if mask is not None:
            wide = torch.where(mask.unsqueeze(-1), wide, 0.0)
    return origin, wide


def segment_moments(
    points: Float[Tensor, "points d"],
    index: Int64[Tensor, " points"],
    count: int,
    *,
    centred: bool,
    weights: Float[Tensor, " points"] | None = None,
) -> tuple[Float[Tensor, "count d"], Float[Tensor, "count d d"]]:
    """Return the origin and the covariance of each segment, in float64.

    Args:
        points: of all segments.
        index: the segment of each point.
        count: number of segments.
        centred: as in `cloud_moments`.
        weights: how much each point counts; all alike where not given.
    """
    wide = points.double()
    shares = torch.ones_like(wide[:, :1]) if weights is None else weights.double().unsqueeze(1)
    origin = wide.new_zeros(count, wide.shape[-1])
    if centred:
        total = segment_sum(shares, index, count)
        origin = segment_sum(shares * wide, index, count) / torch.where(total > 0, total, 1.0)
        wide = wide - origin.index_select(0, index)
    return origin, segment_sum((shares * wide).unsqueeze(-1) * wide.unsqueeze(-2), index, count)


@torch.no_grad()
def cloud_rounding(
    points: Float[Tensor, "batch points d"], mask: Bool[Tensor, "batch points"] | None
) -> Float[Tensor, " batch"]:
    """Return how large an eigenvalue of each covariance can be by rounding of the coordinates alone, in float64.

    It grows with the distance from zero: coordinates far away have few digits left for the shape of a cloud.
    """
    known = points if mask is None else torch.where(mask.unsqueeze(-1), points, 0.0)
    flat = known.abs().double().flatten(1)
    reach = flat.amax(1) if flat.shape[1] else flat.new_zeros(len(flat))
    sizes = torch.full_like(reach, points.shape[1]) if mask is None else mask.sum(1)
    return _rounding(reach, sizes, points)


@torch.no_grad()
def segment_rounding(
    points: Float[Tensor, "points d"],
    index: Int64[Tensor, " points"],
    count: int,
    weights: Float[Tensor, " points"] | None = None,
) -> Float[Tensor, " count"]:
    """Return the same as `cloud_rounding` for segments; arguments are those of `segment_moments`."""
    wide = points.double()
    reach = wide.new_zeros(count).scatter_reduce(0, index, wide.abs().amax(-1), "amax")
    shares = torch.ones_like(wide[:, :1]) if weights is None else weights.double().unsqueeze(1)
    return _rounding(reach, segment_sum(shares, index, count).squeeze(1), points)


def _rounding(reach: Tensor, sizes: Tensor, points: Tensor) -> Tensor:
    return sizes * points.shape[-1] * (torch.finfo(points.dtype).eps * reach).square()


def check_clouds(points: Tensor, mask: Tensor | None, dim: int, what: str) -> None:
    """Raise ShapeError unless this is a batch of clouds with ``dim`` coordinates, NumericsError unless it is finite."""
    if points.ndim != 3 or points.shape[-1] != dim or not points.is_floating_point():
        raise ShapeError(
            f"{what} takes a batch of clouds",
            got=f"{tuple(points.shape)} of {points.dtype}",
            expected=f"(batch, points, {dim}) of real numbers",
            fix="one cloud needs a first axis: points.unsqueeze(0)" if points.ndim == 2 else None,
        )
    if mask is not None and (mask.shape != points.shape[:2] or mask.dtype != torch.bool):
        raise ShapeError(
            f"the mask of {what} does not fit its clouds",
            got=f"{tuple(mask.shape)} of {mask.dtype}",
            expected=f"{tuple(points.shape[:2])} of torch.bool",
        )
    if torch.compiler.is_compiling():
        return
    finite = points.isfinite().all(-1)
    broken = ~(finite if mask is None else finite | ~mask).all(-1)
    if broken.any():
        raise NumericsError(
            "clouds have coordinates that are not finite",
            got=f"NaN or infinity in clouds {_listed(broken)}",
            expected="finite coordinates",
            fix="remove these points, or mark them by the mask",
        )


def _listed(chosen: Tensor) -> str:
    places = chosen.nonzero().flatten().tolist()
    return ", ".join(map(str, places[:8])) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
