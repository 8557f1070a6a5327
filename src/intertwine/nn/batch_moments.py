"""Mean and covariance of rows: from them the statistics of any linear image of the rows follow exactly.

The mean of ``x W^T`` is ``W mean`` and its variance ``diag(W covariance W^T)``, so batch normalisation after a wide
linear map needs no wide tensor.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from intertwine.nn.blocks import row_blocks

__all__ = ["batch_moments", "batch_moments_reference"]

_PARTS = 4
"""Blocks of columns: the covariance is symmetric, and only blocks on and above the diagonal are computed."""


def batch_moments(
    rows: Float[Tensor, "rows channels"],
) -> tuple[Float[Tensor, " channels"], Float[Tensor, "channels channels"]]:
    """Return the mean of the rows and their covariance, divided by the number of rows; differentiable once."""
    return _Moments.apply(rows)


def batch_moments_reference(
    rows: Float[Tensor, "rows channels"],
) -> tuple[Float[Tensor, " channels"], Float[Tensor, "channels channels"]]:
    """Return the same as `batch_moments` by its formula, differentiable any number of times."""
    mean = rows.mean(0)
    centred = rows - mean
    return mean, centred.mT @ centred / len(rows)


class _Moments(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> tuple[Tensor, Tensor]:
        count, channels = rows.shape
        mean = rows.mean(0)
        total = rows.new_zeros(channels, channels)
        width = -(-channels // _PARTS)
        for block in row_blocks(count, rows.device):
            centred = rows[block] - mean
            for start in range(0, channels, width):
                part = slice(start, start + width)
                total[part, start:].addmm_(centred[:, part].mT, centred[:, start:])
        upper = total.triu()
        covariance = (upper + upper.triu(1).mT) / count
        ctx.save_for_backward(rows, mean)
        return mean, covariance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_mean: Tensor, by_covariance: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, mean = ctx.saved_tensors
        turning = (by_covariance + by_covariance.mT) / len(rows)
        return torch.addmm(by_mean / len(rows) - mean @ turning, rows, turning)
