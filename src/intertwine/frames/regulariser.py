"""How much the outputs of a network still depend on the element: a penalty that makes one element enough.

A network whose outputs, mapped back, are the same for all elements of a frame is equivariant without an average. The
variance over the elements measures how far it is from that; as a penalty in training it makes the stochastic mode, one
element for each call, closer to the average over all.
"""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import ConfigError, ShapeError
from intertwine.frames.average import FrameAverage
from intertwine.frames.folding import weighted_mean
from intertwine.frames.transport import typed_of

__all__ = ["average_with_variance", "frame_variance"]


def frame_variance(
    values: Float[Tensor, "rows frames *shape"],
    weights: Float[Tensor, "rows frames"],
    *,
    mask: Bool[Tensor, "rows points"] | None = None,
    drawn: bool = False,
) -> Float[Tensor, ""]:
    """Return the variance of outputs over the elements of frames, averaged over all that is left.

    Args:
        values: outputs mapped back into the coordinates of the input.
        weights: of the elements, adding up to one.
        mask: which points a cloud has, for outputs with one row for each point; others do not count.
        drawn: whether the elements are independent draws; the estimate is then without bias.

    Raises:
        ShapeError: if weights or mask do not fit the values.
        ConfigError: for a single draw, which has no variance.
    """
    if values.ndim < 2 or weights.shape != values.shape[:2]:
        raise ShapeError(
            "weights do not fit the outputs",
            got={"values": tuple(values.shape), "weights": tuple(weights.shape)},
            expected="(rows, frames, ...) and (rows, frames)",
        )
    count = values.shape[1]
    if drawn and count < 2:
        raise ConfigError("one element has no variance", got=count, expected="at least 2", fix="draw more: samples=2")
    mean = weighted_mean(values, weights).unsqueeze(1)
    variance = weighted_mean((values - mean).abs().square(), weights)
    if drawn:
        variance = variance * (count / (count - 1))
    if mask is None:
        return variance.mean() if variance.numel() else variance.sum()
    if variance.shape[: mask.ndim] != mask.shape:
        raise ShapeError("the mask does not fit the outputs", got=tuple(mask.shape), expected=tuple(variance.shape[:2]))
    counted = variance[mask]
    return counted.mean() if counted.numel() else counted.sum()


def average_with_variance(network: FrameAverage, **inputs: Any) -> tuple[Any, Float[Tensor, ""]]:
    """Return what a call of the network returns, and the variance of its outputs over the elements.

    The backbone runs once. Variances of several outputs are added. With a mask, outputs with a row for each point count
    where there are points; the others, "scalar of graphs" say, count whole.

    Example:
        >>> from intertwine.frames import PCAFrame
        >>> net = FrameAverage(torch.nn.Linear(3, 3), PCAFrame("E(3)"), inputs={"input": "point"}, output="point")
        >>> points = torch.randn(2, 5, 3)
        >>> outputs, variance = average_with_variance(net, input=points)
        >>> loss = (outputs - points).square().mean() + 0.1 * variance
    """
    framed, frames = network.canonicalise(**inputs)
    each = network.each(network.backbone(**framed), frames, **inputs)
    mask = next((inputs[name] for name, kind in network.inputs.items() if kind == "mask" and name in inputs), None)
    drawn = network.mode == "stochastic"

    def variance(kind: str, values: Tensor, weights: Tensor) -> Tensor:
        by_point = mask is not None and typed_of(kind).by_point(values.shape[2:], mask.shape[1])
        return frame_variance(values, weights, mask=mask if by_point else None, drawn=drawn)

    if isinstance(network.output, str):
        return weighted_mean(*each), variance(network.output, *each)
    kinds = list(network.output.values() if isinstance(network.output, Mapping) else network.output)
    pairs = list(each.values() if isinstance(each, Mapping) else each)
    averages = [weighted_mean(*pair) for pair in pairs]
    total = torch.stack([variance(kind, *pair) for kind, pair in zip(kinds, pairs, strict=True)]).sum()
    return dict(zip(each, averages, strict=True)) if isinstance(each, Mapping) else tuple(averages), total
