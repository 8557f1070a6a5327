"""Nearest neighbours in batches of clouds, by comparing all pairs."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import NumericsError, ShapeError
from intertwine.points.ragged import pad_clouds

__all__ = ["nearest_neighbours", "ragged_neighbours"]

_FEW = 8
"""Coordinates up to which distances are sums of squared differences, exact for coincident points; beyond it the sum of
products |x|^2 + |y|^2 - 2 x.y is much faster, about the centroid so that little cancels."""


@torch.no_grad()
def nearest_neighbours(
    points: Float[Tensor, "batch points d"],
    k: int,
    mask: Bool[Tensor, "batch points"] | None = None,
    *,
    include_self: bool = True,
    chunk: int = 2**24,
) -> Int64[Tensor, "batch points k"]:
    """Return the ``k`` nearest points of each point in its own cloud, nearest first.

    Invariant under isometries, up to the order of neighbours at exactly equal distance. It has no gradient.

    Args:
        points: coordinates or features, one cloud for each entry of the batch.
        k: how many neighbours.
        mask: which points a cloud has; those that it has not are nobody's neighbours, and their own rows mean nothing.
        include_self: whether a point is the first of its own neighbours (even where others coincide with it), or none.
        chunk: distances held at once.

    Raises:
        ShapeError: if a cloud has too few points for ``k`` neighbours; it names the first such cloud.
        NumericsError: if a coordinate of a point is not finite.
    """
    if points.ndim != 3 or (mask is not None and mask.shape != points.shape[:2]):
        raise ShapeError(
            "neighbours are sought in a batch of clouds",
            got={"points": tuple(points.shape), "mask": None if mask is None else tuple(mask.shape)},
            expected="(batch, points, d) and (batch, points)",
        )
    batch, count, _ = points.shape
    _check_sizes(points, k, mask, include_self)
    if mask is not None:
        points = torch.where(mask.unsqueeze(-1), points, 0.0)
    if not points.isfinite().all():
        cloud = int((~points.isfinite()).flatten(1).any(1).nonzero()[0])
        raise NumericsError(f"cloud {cloud} has a coordinate that is not finite", got="NaN or infinity")
    found = torch.empty(batch, count, k, dtype=torch.int64, device=points.device)
    rows = max(1, min(count, chunk // max(count, 1)))
    clouds = max(1, chunk // max(count * rows, 1))
    for first in range(0, batch, clouds):
        part = points[first : first + clouds]
        absent = None if mask is None else ~mask[first : first + clouds].unsqueeze(1)
        for start in range(0, count, rows):
            distances = _squared_distances(part[:, start : start + rows], part)
            if absent is not None:
                distances.masked_fill_(absent, torch.inf)
            # distances below zero, from rounding, stay behind the point itself
            distances.diagonal(start, 1, 2).fill_(-torch.inf if include_self else torch.inf)
            found[first : first + clouds, start : start + rows] = distances.topk(k, dim=-1, largest=False).indices
    return found


def ragged_neighbours(
    points: Float[Tensor, "points d"], k: int, batch: Int64[Tensor, " points"]
) -> Int64[Tensor, "points k"]:
    """Return the ``k`` nearest points of each point in its own cloud, itself first, for clouds in one tensor.

    Args:
        points: coordinates or features of all clouds.
        k: how many neighbours.
        batch: the cloud of each point.

    Returns:
        Places in the tensor of all points. Errors are those of `nearest_neighbours`.

    Example:
        >>> ragged_neighbours(torch.tensor([[0.0], [5.0], [1.0], [7.0]]), 2, torch.tensor([0, 1, 0, 1]))
        tensor([[0, 2],
                [1, 3],
                [2, 0],
                [3, 1]])
    """
    index, mask = pad_clouds(batch)
    found = batch.new_empty(len(points), k)
    if len(points):
        near = nearest_neighbours(points[index], k, mask)
        found[index[mask]] = index.gather(1, near.flatten(1)).view_as(near)[mask]
    return found


def _squared_distances(
    queries: Float[Tensor, "batch queries d"], points: Float[Tensor, "batch points d"]
) -> Float[Tensor, "batch queries points"]:
    if points.shape[-1] <= _FEW:
        # square roots keep the order
        return torch.cdist(queries, points, compute_mode="donot_use_mm_for_euclid_dist")
    centre = points.mean(1, keepdim=True)
    queries, points = queries - centre, points - centre
    squares = points.square().sum(-1).unsqueeze(1)
    # |query|^2 is the same for all points: the order does not need it
    return torch.baddbmm(squares, queries, points.mT, alpha=-2.0)


def _check_sizes(points: Tensor, k: int, mask: Tensor | None, include_self: bool) -> None:
    batch, count, _ = points.shape
    others = 0 if include_self else 1
    sizes = torch.full((batch,), count) if mask is None else mask.sum(1)
    enough = sizes >= k + others
    # an empty cloud of a padded batch has no point that could miss a neighbour
    if mask is not None:
        enough = enough | (sizes == 0)
    if k < 1 or k + others > max(count, 1) or not enough.all():
        smallest = int(enough.logical_not().nonzero()[0]) if not enough.all() else 0
        size = int(sizes[smallest]) if batch else count
        raise ShapeError(
            f"a cloud has too few points for {k} neighbours" if k >= 1 else "at least one neighbour is sought",
            got={"k": k, "points": size, "cloud": smallest, "include_self": include_self},
            expected=f"k from 1 to {max(size - others, 0)}",
            fix="take a smaller k, or clouds with more points",
        )
