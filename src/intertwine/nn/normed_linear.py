"""A linear map, batch normalisation and leaky ReLU over rows as one operation, and the running statistics of its norm.

Rows are the points of all clouds. The map may take several inputs, as if they were concatenated, and a shift that all
points of a cloud share, as if it came from a feature of the cloud repeated for each point; neither is copied.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from intertwine.errors import ShapeError
from intertwine.nn.blocks import CloudShift, check_rows, row_blocks, spread

__all__ = ["norm_scale", "normed_linear", "normed_linear_reference", "update_running"]


def normed_linear(
    inputs: Sequence[Float[Tensor, "rows _"]],
    weights: Sequence[Float[Tensor, "out _"]],
    norm: nn.BatchNorm1d,
    *,
    bias: Float[Tensor, " out"] | None = None,
    shift: Float[Tensor, "clouds out"] | None = None,
    sizes: Sequence[int] | None = None,
    slope: float = 0.0,
) -> Float[Tensor, "rows out"]:
    """Return ``leaky_relu(norm(sum_i inputs_i weights_i^T + bias + shift))``.

    It is differentiable once while the norm learns, and any number of times otherwise. The norm has statistics of the
    batch when it is in training, which update its running ones, and those otherwise. In training the bias has no effect
    but on the running mean, and its gradient is exactly zero.

    Args:
        inputs: parts of the features of each row.
        weights: of each part.
        norm: with weights of its own.
        bias: of the linear map.
        shift: what the points of each cloud have in common; needs ``sizes``.
        sizes: points of each cloud.
        slope: of the activation below zero: 0 is ReLU, 1 none.

    Raises:
        ShapeError: if parts do not fit, or a norm is to learn from fewer than two rows.
    """
    _check(inputs, weights, shift, sizes)
    rows = len(inputs[0])
    with torch.autocast(inputs[0].device.type, enabled=False):
        cast = [part.to(weight.dtype) for part, weight in zip(inputs, weights, strict=True)]
        if not norm.training:
            scale, offset = norm_scale(norm, norm.running_mean, norm.running_var)
            offset = offset if bias is None else offset + scale * bias
            total = offset if shift is None else spread(shift * scale + offset, sizes or ())
            for part, weight in zip(cast, weights, strict=True):
                total = torch.addmm(total, part, (weight * scale.unsqueeze(1)).mT)
            return total if slope == 1 else nn.functional.leaky_relu(total, slope, inplace=True)
        if rows < 2:
            raise ShapeError(
                "a batch normalisation cannot learn from fewer than two rows", got=f"{rows} rows", expected="2 or more"
            )
        sized = tuple(sizes or ())
        output, mean, variance = _NormedLinear.apply(
            norm.weight, norm.bias, bias, shift, sized, norm.eps, slope, *cast, *weights
        )
        update_running(norm, mean if bias is None else mean + bias.detach(), variance, rows)
        return output


def normed_linear_reference(
    inputs: Sequence[Float[Tensor, "rows _"]],
    weights: Sequence[Float[Tensor, "out _"]],
    norm: nn.BatchNorm1d,
    *,
    bias: Float[Tensor, " out"] | None = None,
    shift: Float[Tensor, "clouds out"] | None = None,
    sizes: Sequence[int] | None = None,
    slope: float = 0.0,
) -> Float[Tensor, "rows out"]:
    """Return the same as `normed_linear` by its formula, with all copies."""
    _check(inputs, weights, shift, sizes)
    total = nn.functional.linear(torch.cat(list(inputs), dim=1), torch.cat(list(weights), dim=1), bias)
    if shift is not None:
        total = total + spread(shift, sizes or ())
    return nn.functional.leaky_relu(norm(total), slope)


def norm_scale(norm: nn.BatchNorm1d, mean: Tensor | None, variance: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return scale and offset of the affine map that a norm is with these statistics."""
    if mean is None or variance is None:
        raise ShapeError("this norm keeps no running statistics", expected="track_running_stats=True")
    scale = norm.weight * (variance + norm.eps).rsqrt()
    return scale, norm.bias - scale * mean


@torch.no_grad()
def update_running(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int) -> None:
    """Move the running statistics of a norm towards those of a batch, as `torch.nn.BatchNorm1d` does.

    Args:
        norm: to be changed.
        mean, variance: of the batch, the variance divided by the number of rows.
        rows: how many there were.
    """
    if norm.running_mean is None or norm.running_var is None or norm.num_batches_tracked is None:
        return
    norm.num_batches_tracked += 1
    momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
    norm.running_var.lerp_((variance * (rows / (rows - 1))).to(norm.running_var), momentum)


class _NormedLinear(torch.autograd.Function):
    """Passes over blocks of rows, so that everything but the products works in the cache."""

    @staticmethod
    def forward(
        ctx: Any,
        gamma: Tensor,
        beta: Tensor,
        bias: Tensor | None,
        shift: Tensor | None,
        sizes: tuple[int, ...],
        epsilon: float,
        slope: float,
        *parts: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        inputs, weights = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        values = inputs[0].new_empty(len(inputs[0]), len(gamma))
        mean, squares, seen = gamma.new_zeros(len(gamma)).double(), gamma.new_zeros(len(gamma)).double(), 0
        shifts = None if shift is None else CloudShift(sizes, shift.device)
        for block in row_blocks(len(values), values.device, shifts.multiple if shifts else 1):
            part = values[block]
            if shift is None or shifts is None:
                torch.mm(inputs[0][block], weights[0].mT, out=part)
            else:
                part.copy_(shifts.rows(shift, block))
                part.addmm_(inputs[0][block], weights[0].mT)
            for features, weight in zip(inputs[1:], weights[1:], strict=True):
                part.addmm_(features[block], weight.mT)
            # moments of blocks are joined in float64: no difference of large numbers
            own = part.mean(0)
            difference, seen = own.double() - mean, seen + len(part)
            mean += difference * (len(part) / seen)
            squares += (part - own).square_().sum(0) + difference**2 * (len(part) * (seen - len(part)) / seen)
        variance = squares / seen
        inverse = (variance + epsilon).rsqrt()
        scale = gamma.double() * inverse
        offset = (beta.double() - mean * scale).to(values.dtype)
        scale = scale.to(values.dtype)
        output = torch.empty_like(values)
        for block in row_blocks(len(values), values.device):
            part = torch.addcmul(offset, values[block], scale, out=output[block])
            if slope != 1:
                nn.functional.leaky_relu_(part, slope)
        ctx.save_for_backward(values, output, scale, mean.to(values.dtype), inverse.to(values.dtype), *parts)
        ctx.slope, ctx.shifts, ctx.has_bias = slope, shifts, bias is not None
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        values, output, scale, mean, inverse, *parts = ctx.saved_tensors
        inputs, weights = parts[: len(parts) // 2], parts[len(parts) // 2 :]
        needed = ctx.needs_input_grad[7 : 7 + len(inputs)]
        count = len(values)
        by_beta, by_gamma = torch.zeros_like(scale).double(), torch.zeros_like(scale).double()
        for block in row_blocks(count, values.device):
            slopes = _through_activation(gradient[block], output[block], ctx.slope)
            by_beta += slopes.sum(0)
            by_gamma += (values[block] - mean).mul_(slopes).sum(0)
        # d values = scale (slopes - mean of slopes - normalised values * mean of (slopes * normalised values))
        by_beta, by_gamma = by_beta.to(scale.dtype), by_gamma.to(scale.dtype) * inverse
        curvature = scale * inverse * by_gamma / count
        constant = curvature * mean - scale * by_beta / count
        by_inputs = [torch.empty_like(x) if need else None for x, need in zip(inputs, needed, strict=True)]
        by_weights = [torch.zeros_like(weight) for weight in weights]
        shifts: CloudShift | None = ctx.shifts
        by_shift = None if shifts is None else scale.new_zeros(len(shifts.sizes), len(scale))
        for block in row_blocks(count, values.device, shifts.multiple if shifts else 1):
            slopes = _through_activation(gradient[block], output[block], ctx.slope)
            slopes = slopes.mul(scale).add_(constant).addcmul_(values[block], curvature, value=-1)
            if by_shift is not None and shifts is not None:
                shifts.add(by_shift, slopes, block)
            for features, weight, by_features, by_weight in zip(inputs, weights, by_inputs, by_weights, strict=True):
                by_weight.addmm_(slopes.mT, features[block])
                if by_features is not None:
                    torch.mm(slopes, weight, out=by_features[block])
        by_bias = torch.zeros_like(scale) if ctx.has_bias else None
        return by_gamma, by_beta, by_bias, by_shift, None, None, None, *by_inputs, *by_weights


def _through_activation(gradient: Tensor, output: Tensor, slope: float) -> Tensor:
    if slope == 1:
        return gradient
    if slope == 0:
        return torch.ops.aten.threshold_backward(gradient, output, 0.0)
    return torch.ops.aten.leaky_relu_backward(gradient, output, slope, True)


def _check(
    inputs: Sequence[Tensor], weights: Sequence[Tensor], shift: Tensor | None, sizes: Sequence[int] | None
) -> None:
    if len(inputs) != len(weights) or not inputs or (shift is None) != (sizes is None):
        raise ShapeError(
            "a linear map needs weights for each of its inputs, and a shift the sizes of the clouds",
            got={
                "inputs": len(inputs),
                "weights": len(weights),
                "shift": shift is not None,
                "sizes": sizes is not None,
            },
        )
    if shift is not None and sizes is not None and len(shift) != len(sizes):
        raise ShapeError("there is not one shift a cloud", got=len(shift), expected=len(sizes))
    for part, weight in zip(inputs, weights, strict=True):
        check_rows(part, weight.shape[1], sizes)
        if len(part) != len(inputs[0]):
            raise ShapeError("parts have different numbers of rows", got=len(part), expected=len(inputs[0]))
