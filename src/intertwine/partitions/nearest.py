"""The nearest of a few centres, for points of many clouds, without a table of all distances."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.points import pad_clouds

__all__ = ["nearest_centres"]

_ENTRIES = 2**21
"""Distances that are held at once."""


@torch.no_grad()
def nearest_centres(
    points: Float[Tensor, "points d"],
    batch: Int64[Tensor, " points"],
    centres: Float[Tensor, "centres d"],
    cloud: Int64[Tensor, " centres"],
    count: int = 1,
) -> Int64[Tensor, "points count"]:
    """Return the nearest centres of each point among those of its cloud, the nearest first.

    Of two that are equally near, the one that is first in ``centres`` is the nearest. Where a cloud has fewer centres
    than ``count``, the places that are left hold -1.

    Args:
        points, batch: points and the cloud of each.
        centres, cloud: centres and the cloud of each.
        count: how many to find.
    """
    found = batch.new_full((len(points), count), -1)
    if not len(points) or not len(centres):
        return found
    clouds = int(torch.maximum(batch.max(), cloud.max())) + 1
    rows, row_mask = pad_clouds(batch, clouds)
    columns, column_mask = pad_clouds(cloud, clouds)
    width = columns.shape[1]
    height = min(rows.shape[1], max(_ENTRIES // width, 1))
    depth = max(_ENTRIES // (width * height), 1)
    for low in range(0, clouds, depth):
        some = slice(low, low + depth)
        padded = centres[columns[some]]
        for top in range(0, rows.shape[1], height):
            index, mask = rows[some, top : top + height], row_mask[some, top : top + height]
            # differences and no expanded square: equal distances are then equal to the last bit
            distance = torch.cdist(points[index], padded, compute_mode="donot_use_mm_for_euclid_dist")
            if not bool(column_mask[some].all()):
                distance.masked_fill_(~column_mask[some].unsqueeze(1), float("inf"))
            # torch.min with its index is several times slower than argmin
            single = count == 1
            place = distance.argmin(-1, keepdim=True) if single else distance.topk(min(count, width), largest=False)[1]
            chosen = columns[some].unsqueeze(1).expand_as(distance).gather(2, place)
            chosen = torch.where(distance.gather(2, place) < float("inf"), chosen, -1)
            found[index[mask], : chosen.shape[-1]] = chosen[mask]
    return found
