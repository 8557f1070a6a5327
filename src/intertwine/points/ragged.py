"""Clouds of points in one tensor: what is checked of them, and where the points of each cloud lie.

``batch`` gives the cloud of each point, from 0, in any order; a cloud without points is allowed.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import NumericsError, ShapeError

__all__ = ["check_clouds", "cloud_sizes", "pad_clouds"]


def check_clouds(name: str, points: Float[Tensor, "points d"], batch: Int64[Tensor, " points"]) -> None:
    """Raise an error unless every point has a cloud and finite coordinates.

    Args:
        name: what the caller calls the points, for the message.
        points, batch: to be checked.

    Raises:
        ShapeError: if there is not one cloud, numbered from 0, for each point.
        NumericsError: if a coordinate is not finite; it names the clouds.
    """
    if points.ndim != 2 or batch.shape != points.shape[:1] or batch.dtype != torch.int64:
        raise ShapeError(
            f"{name} of several clouds need the cloud of each",
            got={name: tuple(points.shape), "batch": f"{tuple(batch.shape)} {batch.dtype}"},
            expected=f"{name} (points, d) and batch (points,) of int64",
            fix="for one cloud give torch.zeros(len(points), dtype=torch.int64)",
        )
    if len(batch) and int(batch.min()) < 0:
        raise ShapeError("clouds are numbered from 0", got=f"batch has {int(batch.min())}", expected="at least 0")
    finite = points.isfinite().all(-1)
    if not bool(finite.all()):
        clouds = batch[~finite].unique().tolist()
        raise NumericsError(
            f"{name} are not finite",
            got=f"{int((~finite).sum())} of {len(points)}, in clouds {clouds[:8]}{' ...' if len(clouds) > 8 else ''}",
            expected="finite coordinates",
            fix="leave those points out, or look for the layer or file that they come from",
        )


def cloud_sizes(batch: Int64[Tensor, " points"], clouds: int | None = None) -> Int64[Tensor, " clouds"]:
    """Return the number of points of each cloud; the last cloud that has a point is the last, where not given."""
    return torch.bincount(batch, minlength=clouds or 0)


def pad_clouds(
    batch: Int64[Tensor, " points"], clouds: int | None = None
) -> tuple[Int64[Tensor, "clouds longest"], Bool[Tensor, "clouds longest"]]:
    """Return where the points of each cloud lie in the one tensor, in their order, and which entries are points.

    Entries that are none hold 0. ``points[index]`` are clouds padded to one length.

    Example:
        >>> pad_clouds(torch.tensor([0, 1, 0]))[0]
        tensor([[0, 2],
                [1, 0]])
    """
    sizes = cloud_sizes(batch, clouds)
    order = torch.argsort(batch, stable=True)
    first = sizes.cumsum(0) - sizes
    place = torch.arange(len(batch), device=batch.device) - first[batch[order]]
    longest = int(sizes.max()) if len(sizes) else 0
    index = batch.new_zeros(len(sizes), longest).index_put((batch[order], place), order)
    return index, torch.arange(longest, device=batch.device) < sizes.unsqueeze(1)
