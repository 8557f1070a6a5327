"""One training step of a PointNet in blocks of rows: the same numbers as layer by layer, with little memory.

Kept for the backward pass are the values before each normalisation, once; activations are made again from them, block
by block, in the cache. The pooled features of a point are never written (see `intertwine.nn.pooled_linear`), their
statistics follow from the covariance of what they are made of (see `intertwine.nn.batch_moments`), and their way into
the head is one map with that of the narrow features. What is small, the maps and statistics of channels, is left to
automatic differentiation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from intertwine.errors import NumericsError
from intertwine.nn.blocks import Buffers, CloudShift, cloud_groups, row_blocks
from intertwine.nn.pooled_linear import largest_points, pool_limit

__all__ = ["Step", "fused_pointnet"]

Norm = tuple[Tensor, Tensor, Tensor]
"""Weight of a linear map, and scale and offset of the normalisation after it."""


@dataclass
class Step:
    """What a step is about besides tensors, and what it found.

    Args:
        sizes: points of each cloud.
        trunk: how many narrow layers there are before the pooled one.
        epsilons: of the norms of all layers, in their order: trunk, pooled one, head.
        buffers: memory of the network.
        statistics: mean and variance of each layer, in the same order, after the step.
    """

    sizes: tuple[int, ...]
    trunk: int
    epsilons: tuple[float, ...]
    buffers: Buffers
    statistics: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def fused_pointnet(rows: Tensor, step: Step, layers: Sequence[Norm]) -> Tensor:
    """Return the last hidden features of each row, ReLU included, while norms learn from the batch.

    The layers are those of the trunk, the pooled one, and the head's; the first of the head has the columns of the
    pooled features, of each trunk layer, and of the pooled layer's features of the point. Biases play no part: the
    norms take them out. Differentiable once.

    Args:
        rows: points of all clouds.
        step: sizes, epsilons and memory; it receives the statistics.
        layers: weight, scale and offset of each.

    Raises:
        NumericsError: in the backward pass, if it is repeated after the memory was used by a later step.
    """
    return _FusedPointNet.apply(rows, step, *[tensor for layer in layers for tensor in layer])


@dataclass
class _Layer:
    """Values before a norm, and the affine map that the norm is."""

    values: Tensor
    scale: Tensor
    offset: Tensor
    mean: Tensor
    inverse: Tensor

    def features(self, block: slice, out: Tensor | None = None) -> Tensor:
        part = self.values[block]
        return torch.addcmul(self.offset, part, self.scale, out=None if out is None else out[: len(part)]).relu_()


@dataclass
class _Pooled:
    """Inputs and outputs of the small graph that leads from the pooled layer into the head."""

    leaves: list[Tensor]
    outputs: list[Tensor]
    signed: Tensor
    sign: Tensor
    places: Tensor
    mean: Tensor


class _FusedPointNet(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor, step: Step, *tensors: Tensor) -> Tensor:
        layers = [tensors[i : i + 3] for i in range(0, len(tensors), 3)]
        wide, first, *hidden = layers[step.trunk :]
        narrow, epsilons = layers[: step.trunk], iter(step.epsilons)
        done: list[_Layer] = []
        for layer in narrow:
            source = done[-1] if done else rows
            done.append(_forward([source], [layer[0]], layer, next(epsilons), step))
        pooled = _pool(done[-1], [layer[0].shape[0] for layer in narrow], wide, first[0], next(epsilons), step)
        *weights, shift = (output.detach() for output in pooled.outputs)
        done.append(_forward(done, weights, first, next(epsilons), step, shift))
        for layer in hidden:
            done.append(_forward([done[-1]], [layer[0]], layer, next(epsilons), step))
        output = done[-1].features(slice(None))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(rows, *tensors)
            ctx.step, ctx.done, ctx.pooled, ctx.weights = step, done, pooled, weights
            ctx.free = False
        else:
            step.buffers.give([layer.values for layer in done])
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, *tensors = ctx.saved_tensors
        step, done, buffers = ctx.step, ctx.done, ctx.step.buffers
        if ctx.free and not buffers.reclaim([layer.values for layer in done]):
            raise NumericsError(
                "a second backward pass needs values that a later step has overwritten",
                fix="call backward twice before the next forward pass, or build the network with fused=False",
            )
        trunk, weights = done[: step.trunk], tensors[::3]
        found: list[tuple[Tensor | None, Tensor, Tensor]] = []
        for index in range(len(done) - 1, step.trunk, -1):
            target, owned = _empty(done[index - 1], buffers), index < len(done) - 1
            by_weights, by_scale, by_offset, _ = _backward(
                done[index],
                gradient,
                [done[index - 1]],
                [weights[index + 1]],
                [target],
                step,
                owned=owned,
            )
            found.insert(0, (by_weights[0], by_scale, by_offset))
            gradient = target
        slopes = [_empty(layer, buffers) for layer in trunk]
        by_weights, by_scale, by_offset, by_shift = _backward(
            done[step.trunk], gradient, trunk, ctx.weights, slopes, step, owned=len(done) > step.trunk + 1, shifted=True
        )
        by_first, by_wide = _unpool(ctx.pooled, trunk[-1], slopes[-1], [*by_weights, by_shift], step)
        found.insert(0, (by_first, by_scale, by_offset))
        found.insert(0, by_wide)
        by_rows = torch.empty_like(rows) if ctx.needs_input_grad[0] else None
        for index in range(step.trunk - 1, -1, -1):
            source, target = (trunk[index - 1], slopes[index - 1]) if index else (rows, by_rows)
            by_weights, by_scale, by_offset, _ = _backward(
                trunk[index], slopes[index], [source], [weights[index]], [target], step, added=index > 0
            )
            found.insert(0, (by_weights[0], by_scale, by_offset))
        buffers.give([layer.values for layer in done])
        ctx.free = True
        return by_rows, None, *[tensor for layer in found for tensor in layer]


def _forward(
    sources: Sequence[Tensor | _Layer],
    weights: Sequence[Tensor],
    layer: Sequence[Tensor],
    epsilon: float,
    step: Step,
    shift: Tensor | None = None,
) -> _Layer:
    """Compute the values of a layer and their statistics."""
    count, width, like = sum(step.sizes), len(layer[1]), layer[1]
    values = step.buffers.take(count, width, like)
    mean, squares, seen = like.new_zeros(width).double(), like.new_zeros(width).double(), 0
    shifts = None if shift is None else CloudShift(step.sizes, like.device)
    scratch = _Scratch(like)
    for block in row_blocks(count, like.device, shifts.multiple if shifts else 1):
        part = values[block]
        if shift is not None and shifts is not None:
            part.copy_(shifts.rows(shift, block))
        for place, (source, weight) in enumerate(zip(sources, weights, strict=True)):
            features = scratch.features(source, block)
            if place or shift is not None:
                part.addmm_(features, weight.mT)
            else:
                torch.mm(features, weight.mT, out=part)
        # moments of blocks are joined in float64: no difference of large numbers
        own = part.mean(0)
        difference, seen = own.double() - mean, seen + len(part)
        mean += difference * (len(part) / seen)
        centred = torch.sub(part, own, out=scratch.like(part))
        squares += centred.square_().sum(0) + difference**2 * (len(part) * (seen - len(part)) / seen)
    variance = squares / seen
    step.statistics.append((mean, variance))
    inverse = (variance + epsilon).rsqrt()
    scale = layer[1].double() * inverse
    offset = layer[2].double() - mean * scale
    return _Layer(values, *(tensor.to(like.dtype) for tensor in (scale, offset, mean, inverse)))


def _backward(
    layer: _Layer,
    gradient: Tensor,
    sources: Sequence[Tensor | _Layer],
    weights: Sequence[Tensor],
    targets: Sequence[Tensor | None],
    step: Step,
    *,
    owned: bool = True,
    added: bool = False,
    shifted: bool = False,
) -> tuple[list[Tensor], Tensor, Tensor, Tensor | None]:
    """Write (or add) the gradients by the features of the sources; return those by weights, scale, offset and shift.

    ``gradient`` is that by the features of the layer; where it is owned it is changed and given back.
    """
    count, like, scratch = len(layer.values), layer.scale, _Scratch(layer.scale)
    masked = gradient if owned else _empty(layer, step.buffers)
    by_offset, by_scale = torch.zeros_like(like).double(), torch.zeros_like(like).double()
    for block in row_blocks(count, like.device):
        part = layer.values[block]
        before = torch.addcmul(layer.offset, part, layer.scale, out=scratch.like(part))
        slopes = masked[block]
        torch.ops.aten.threshold_backward.grad_input(gradient[block], before, 0.0, grad_input=slopes)
        by_offset += slopes.sum(0)
        by_scale += torch.sub(part, layer.mean, out=before).mul_(slopes).sum(0)
    # d values = scale (slopes - mean of slopes - normalised values * mean of (slopes * normalised values))
    by_offset, by_scale = by_offset.to(like.dtype), by_scale.to(like.dtype) * layer.inverse
    curvature = layer.scale * layer.inverse * by_scale / count
    constant = curvature * layer.mean - layer.scale * by_offset / count
    by_weights = [torch.zeros_like(weight) for weight in weights]
    shifts = CloudShift(step.sizes, like.device) if shifted else None
    by_shift = like.new_zeros(len(step.sizes), len(like)) if shifted else None
    for block in row_blocks(count, like.device, shifts.multiple if shifts else 1):
        part = layer.values[block]
        slopes = torch.addcmul(constant, masked[block], layer.scale, out=scratch.like(part, 1))
        slopes.addcmul_(part, curvature, value=-1)
        if by_shift is not None and shifts is not None:
            shifts.add(by_shift, slopes, block)
        for source, weight, target, by_weight in zip(sources, weights, targets, by_weights, strict=True):
            by_weight.addmm_(slopes.mT, scratch.features(source, block))
            if target is None:
                continue
            if added:
                target[block].addmm_(slopes, weight)
            else:
                torch.mm(slopes, weight, out=target[block])
    step.buffers.give([masked])
    return by_weights, by_scale, by_offset, by_shift


def _pool(
    layer: _Layer, widths: Sequence[int], wide: Sequence[Tensor], first: Tensor, epsilon: float, step: Step
) -> _Pooled:
    """Search the largest pooled features, and lead them into the head by a graph of small tensors."""
    weight, like, count, channels = wide[0], layer.scale, len(layer.values), wide[0].shape[1]
    sign = torch.where(wide[1] < 0, -1.0, 1.0).to(like)
    signed = weight * sign.unsqueeze(1)
    tops = like.new_zeros(len(step.sizes), len(weight))
    places = torch.zeros(len(step.sizes), len(weight), dtype=torch.int64, device=like.device)
    total, sums, centre = like.new_zeros(channels, channels), like.new_zeros(channels).double(), None
    scratch, images = _Scratch(like), _Scratch(like)
    width = -(-channels // 4)
    for group in cloud_groups(step.sizes, pool_limit(like.device, len(weight))):
        features = scratch.features(layer, group.rows)
        found = torch.mm(features, signed.mT, out=images.shaped(len(features), len(weight)))
        tops[group.clouds], place = largest_points(found.unflatten(0, (-1, group.size)))
        first_rows = torch.arange(group.rows.start, group.rows.stop, group.size, device=like.device)
        places[group.clouds] = place + first_rows.unsqueeze(1)
        centre = features.mean(0) if centre is None else centre
        features.sub_(centre)
        sums += features.sum(0)
        for start in range(0, channels, width):
            part = slice(start, start + width)
            total[part, start:].addmm_(features[:, part].mT, features[:, start:])
    # about the first clouds' mean: the square of the distance to the mean of all is small beside the variance
    moved = (sums / count).to(like.dtype)
    upper = total.triu()
    covariance = (upper + upper.triu(1).mT) / count - torch.outer(moved, moved)
    mean = moved if centre is None else centre + moved
    leaves = [t.detach().requires_grad_() for t in (*wide, first, mean, covariance, tops)]
    with torch.enable_grad():
        outputs, statistics = _lead_in(leaves, widths, sign, epsilon)
    step.statistics.append(statistics)
    return _Pooled(leaves, outputs, signed, sign, places, mean)


def _lead_in(
    leaves: Sequence[Tensor], widths: Sequence[int], sign: Tensor, epsilon: float
) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
    """Return the weights of the narrow features in the head and the shift of each cloud; and the pooled statistics."""
    weight, gamma, beta, first, mean, covariance, tops = leaves
    centre = weight @ mean
    variance = ((weight @ covariance) * weight).sum(1)
    scale = gamma * (variance + epsilon).rsqrt()
    offset = beta - scale * centre
    of_pooled, *of_narrow, of_wide = first.split([len(weight), *widths, len(weight)], dim=1)
    of_narrow[-1] = of_narrow[-1] + (of_wide * scale) @ weight
    shift = (tops * (scale * sign) + offset) @ of_pooled.mT + of_wide @ offset
    return [*of_narrow, shift], (centre.detach(), variance.detach())


def _unpool(
    pooled: _Pooled, layer: _Layer, target: Tensor, gradients: Sequence[Tensor | None], step: Step
) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Add the gradient by the last narrow features; return those by the head's first weight and the pooled layer."""
    by_weight, by_gamma, by_beta, by_first, by_mean, by_covariance, by_tops = torch.autograd.grad(
        pooled.outputs, pooled.leaves, [g for g in gradients if g is not None], retain_graph=True
    )
    count, scratch = len(layer.values), _Scratch(layer.scale)
    turning = (by_covariance + by_covariance.mT) / count
    constant = by_mean / count - pooled.mean @ turning
    for block in row_blocks(count, target.device):
        target[block].addmm_(scratch.features(layer, block), turning).add_(constant)
    by_signed = torch.zeros_like(pooled.signed)
    for place, slope in zip(pooled.places, by_tops.unsqueeze(-1), strict=True):
        chosen = torch.addcmul(layer.offset, layer.values.index_select(0, place), layer.scale).relu_()
        by_signed.addcmul_(chosen, slope)
        target.index_add_(0, place, pooled.signed * slope)
    return by_first, (by_weight + by_signed * pooled.sign.unsqueeze(1), by_gamma, by_beta)


class _Scratch:
    """Blocks that are written again and again, so that they stay in the cache."""

    def __init__(self, like: Tensor) -> None:
        self._like = like
        self._memory: dict[tuple[int, int], Tensor] = {}

    def shaped(self, rows: int, width: int, number: int = 0) -> Tensor:
        memory = self._memory.get((width, number))
        if memory is None or len(memory) < rows:
            memory = self._memory[width, number] = self._like.new_empty(rows, width)
        return memory[:rows]

    def like(self, part: Tensor, number: int = 0) -> Tensor:
        return self.shaped(part.shape[0], part.shape[1], number)

    def features(self, source: Tensor | _Layer, block: slice) -> Tensor:
        if isinstance(source, Tensor):
            return source[block]
        return source.features(block, self.shaped(block.stop - block.start, len(source.scale), 2))


def _empty(layer: _Layer, buffers: Buffers) -> Tensor:
    return buffers.take(layer.values.shape[0], layer.values.shape[1], layer.scale)
