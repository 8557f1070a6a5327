"""The largest value over the points of each cloud of a linear map, without the map of all points in memory.

A network that pools wide features of points over clouds needs them nowhere else: of ``(points, out)`` numbers one a
cloud and channel is kept. Blocks of them are made, searched and forgotten, and the gradient touches the points that
were largest alone.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from intertwine.nn.blocks import check_rows, cloud_groups

__all__ = ["cloud_maxima", "largest_points", "pool_limit", "pooled_linear", "pooled_linear_reference"]

_STEP = 8

_LIMIT = {"cpu": 2**21}
"""Numbers of a block: 8 MB in float32 on a CPU."""


def pooled_linear(
    rows: Float[Tensor, "rows in"],
    weight: Float[Tensor, "out in"],
    bias: Float[Tensor, " out"],
    sizes: Sequence[int],
) -> Float[Tensor, "clouds out"]:
    """Return the maximum over the points of each cloud of ``weight x + bias``; differentiable once.

    Where several points reach the maximum, the gradient goes to the first. A cloud without points gives zeros.

    Args:
        rows: points of all clouds, one cloud after another.
        weight, bias: of the map; a batch normalisation is folded into them by its user, so that a negative scale
            turns weights around before the maximum is taken.
        sizes: points of each cloud.

    Raises:
        ShapeError: if the rows do not fit the weights or the sizes.
    """
    check_rows(rows, weight.shape[1], sizes)
    return _PooledLinear.apply(rows, weight, bias, tuple(sizes))


def pooled_linear_reference(
    rows: Float[Tensor, "rows in"],
    weight: Float[Tensor, "out in"],
    bias: Float[Tensor, " out"],
    sizes: Sequence[int],
) -> Float[Tensor, "clouds out"]:
    """Return the same as `pooled_linear` from the map of all points."""
    check_rows(rows, weight.shape[1], sizes)
    return cloud_maxima(torch.nn.functional.linear(rows, weight, bias), sizes)


def cloud_maxima(rows: Float[Tensor, "rows channels"], sizes: Sequence[int]) -> Float[Tensor, "clouds channels"]:
    """Return the maximum over the points of each cloud; where several are largest, they share the gradient.

    A cloud without points gives zeros.
    """
    if len(set(sizes)) == 1 and sizes[0] > 0:
        return rows.unflatten(0, (-1, sizes[0])).amax(1)
    none = rows.new_zeros(rows.shape[1])
    found = [cloud.amax(0) if len(cloud) else none for cloud in rows.split(list(sizes))]
    return torch.stack(found) if found else rows.new_zeros(0, rows.shape[1])


class _PooledLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, sizes: tuple[int, ...]) -> Tensor:
        width = len(weight)
        largest = rows.new_zeros(len(sizes), width)
        places = torch.zeros(len(sizes), width, dtype=torch.int64, device=rows.device)
        for group in cloud_groups(sizes, pool_limit(rows.device, width)):
            images = (rows[group.rows] @ weight.mT).unflatten(0, (-1, group.size))
            values, place = largest_points(images)
            largest[group.clouds] = values + bias
            first = torch.arange(group.rows.start, group.rows.stop, group.size, device=rows.device)
            places[group.clouds] = place + first.unsqueeze(1)
        ctx.save_for_backward(rows, weight, places)
        ctx.sizes = sizes
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, weight, places = ctx.saved_tensors
        by_weight, by_bias = torch.zeros_like(weight), weight.new_zeros(len(weight))
        by_rows = torch.zeros_like(rows) if ctx.needs_input_grad[0] else None
        for group in cloud_groups(ctx.sizes, pool_limit(rows.device, weight.shape[1])):
            slope = gradient[group.clouds].unsqueeze(-1)
            by_bias += slope.sum((0, 2))
            for place, one in zip(places[group.clouds], slope, strict=True):
                by_weight.addcmul_(rows.index_select(0, place), one)
                if by_rows is not None:
                    by_rows.index_add_(0, place, weight * one)
        return by_rows, by_weight, by_bias, None


def largest_points(values: Float[Tensor, "clouds points out"]) -> tuple[Tensor, Tensor]:
    """Return maxima over points and the first places where they are.

    Level by level, from maxima of maxima down to the points: a maximum alone is many times faster than one with its
    place, so places are sought among few.
    """
    levels = [values]
    while levels[-1].shape[1] > 2 * _STEP:
        levels.append(_maxima(levels[-1]))
    place = levels[-1].argmax(1, keepdim=True)
    offsets = torch.arange(_STEP, device=values.device).unsqueeze(1)
    for level in reversed(levels[:-1]):
        near = (place * _STEP + offsets).clamp(max=level.shape[1] - 1)
        place = near.gather(1, level.gather(1, near).argmax(1, keepdim=True))
    return values.gather(1, place).squeeze(1), place.squeeze(1)


def _maxima(values: Tensor) -> Tensor:
    """Return the maxima of `_STEP` points after another; the last of what is left."""
    whole = values.shape[1] - values.shape[1] % _STEP
    tops = values[:, :whole].unflatten(1, (-1, _STEP)).amax(2)
    if whole < values.shape[1]:
        tops = torch.cat([tops, values[:, whole:].amax(1, keepdim=True)], dim=1)
    return tops


def pool_limit(device: torch.device, width: int) -> int:
    """Return how many rows of a width are made at once."""
    return _LIMIT.get(device.type, 2**27) // max(width, 1)
