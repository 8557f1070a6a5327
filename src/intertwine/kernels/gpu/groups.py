"""Rows sorted into groups on the device, without atomics and without waiting for the host.

The groups are those of `Groups` of the CPU kernels. A count of rows a group would have to wait for the largest index;
a search in the sorted indices does not.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from intertwine.errors import ShapeError

__all__ = ["Groups", "Tiles", "check_index", "group_rows", "tile_rows"]


class Groups(NamedTuple):
    """Rows ``order[begin[n]] ... order[begin[n + 1] - 1]`` belong to group n, in their original order."""

    order: Int64[Tensor, " rows"]
    begin: Int64[Tensor, " groups_and_one"]


class Tiles(NamedTuple):
    """Groups cut into tiles of bounded size: tile t is the places first[t] to last[t] - 1 of group kind[t].

    The tiles of group n are part[n] to part[n + 1] - 1. There may be empty ones at the end, because their number is
    a bound that does not depend on the data.
    """

    first: Int64[Tensor, " tiles"]
    last: Int64[Tensor, " tiles"]
    kind: Int64[Tensor, " tiles"]
    part: Int64[Tensor, " groups_and_one"]


def group_rows(index: Int64[Tensor, " rows"], count: int) -> Groups:
    """Return the rows grouped by an index below ``count``."""
    order = torch.argsort(index, stable=True)
    ends = torch.arange(count + 1, device=index.device)
    return Groups(order, torch.searchsorted(index[order], ends))


def tile_rows(groups: Groups, size: int) -> Tiles:
    """Return tiles of at most ``size`` rows."""
    begin = groups.begin
    count = begin.shape[0] - 1
    part = torch.zeros_like(begin)
    part[1:] = ((begin[1:] - begin[:-1] + size - 1) // size).cumsum(0)
    tiles = torch.arange(-(-groups.order.shape[0] // size) + count, device=begin.device)
    kind = (torch.searchsorted(part, tiles, right=True) - 1).clamp(0, max(count - 1, 0))
    first = torch.minimum(begin[kind] + (tiles - part[kind]) * size, begin[kind + 1])
    return Tiles(first, torch.minimum(first + size, begin[kind + 1]), kind, part)


def check_index(index: Int64[Tensor, " rows"] | None, count: int, words: str) -> None:
    """Stop if an index names no row: kernels follow indices without looking.

    On a device this does not wait: a wrong index stops the process, as in PyTorch's own indexing there.

    Raises:
        ShapeError: off the device, if an index is out of range.
    """
    if index is None:
        return
    good: Bool[Tensor, ""] = ((index >= 0) & (index < count)).all()
    if index.is_cuda:
        torch._assert_async(good, words)  # pyright: ignore[reportPrivateImportUsage]
    elif not good:
        raise ShapeError(
            words, got={"smallest": int(index.min()), "largest": int(index.max())}, expected=f"0 to {count - 1}"
        )
