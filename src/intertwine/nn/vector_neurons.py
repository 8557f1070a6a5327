"""Vector neurons: layers whose channels are vectors of R^3, equivariant under O(3).

Features are ``(*batch, 3, channels)``: components slow, channels fast, so that a linear map is one matrix product. No
layer has a bias: adding a constant to vectors breaks the law. Source: Deng et al., Vector Neurons, ICCV 2021.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import O
from intertwine.representations import AlongAxis, Vector
from intertwine.symmetry import Symmetry

__all__ = ["VNBatchNorm", "VNLeakyReLU", "VNLinear", "VNMaxPool", "VNMeanPool", "VectorNeuron"]

_EPSILON = 1e-6
_MEAN_LENGTH = math.sqrt(8 / math.pi) / math.sqrt(3 - 8 / math.pi)
"""Mean over standard deviation of the lengths of normally distributed vectors in space."""


class VectorNeuron(nn.Module):
    """What all layers of vector neurons share: O(3) acts on the axis before the last."""

    symmetry = Symmetry(O(3), inputs={"x": AlongAxis(-2, Vector())}, output=AlongAxis(-2, Vector()))


class VNLinear(VectorNeuron):
    """Mix channels, without bias.

    Args:
        in_channels, out_channels: vectors of input and output.
        rng: generator of the initial weights, uniform up to one over the square root of the channels.

    Example:
        >>> VNLinear(4, 8)(torch.randn(2, 5, 3, 4)).shape
        torch.Size([2, 5, 3, 8])
    """

    def __init__(self, in_channels: int, out_channels: int, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        bound = max(in_channels, 1) ** -0.5
        self.weight = nn.Parameter((2 * torch.rand(out_channels, in_channels, generator=rng) - 1) * bound)

    def forward(self, x: Float[Tensor, "*batch 3 in_channels"]) -> Float[Tensor, "*batch 3 out_channels"]:
        """Return the mixed channels."""
        _check(x, self.in_channels)
        return nn.functional.linear(x, self.weight)

    def extra_repr(self) -> str:
        """Return the sizes, for the text of the module."""
        return f"{self.in_channels}, {self.out_channels}"


class VNLeakyReLU(VectorNeuron):
    """Flatten each vector towards the plane orthogonal to a learned direction, if it points to its back.

    With d the direction and v the vector: v where v.d >= 0, else ``slope v + (1 - slope) (v - (v.d / d.d) d)``. The
    directions are linear in the features, so they turn with them.

    Args:
        channels: vectors of input and output.
        slope: 0 is the vector ReLU, 1 changes nothing.
        shared: one direction for all channels instead of one each.
        rng: generator of the initial weights.
    """

    def __init__(
        self, channels: int, slope: float = 0.2, *, shared: bool = False, rng: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.slope = slope
        self.direction = VNLinear(channels, 1 if shared else channels, rng=rng)

    def forward(self, x: Float[Tensor, "*batch 3 channels"]) -> Float[Tensor, "*batch 3 channels"]:
        """Return the vectors, those at the back of their direction flattened."""
        direction = self.direction(x)
        along = (x * direction).sum(-2, keepdim=True)
        length = direction.square().sum(-2, keepdim=True)
        back = along.clamp(max=0) / (length + _EPSILON)
        return x - (1 - self.slope) * back * direction


class VNBatchNorm(VectorNeuron):
    """Batch normalisation of the lengths of vectors; directions stay.

    Law: equivariant when one element acts on the whole batch, and on each sample alone when it does not learn.
    It learns from all vectors that it is given: of padded clouds give it the points that exist, ``x[mask]``.

    Normalised lengths have a standard deviation of 1 and, at first, the mean that lengths of normally distributed
    vectors then have, 2.37. The published code begins with a mean of 0, where vectors shorter than the mean turn
    around: what a network then learns of directions is slow to come.

    Args:
        channels: vectors of input and output.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        nn.init.constant_(self.norm.bias, _MEAN_LENGTH)

    def forward(self, x: Float[Tensor, "*batch 3 channels"]) -> Float[Tensor, "*batch 3 channels"]:
        """Return vectors with normalised lengths."""
        _check(x, self.norm.num_features)
        # the length of the zero vector has a derivative of zero with this
        length = (x.square().sum(-2) + _EPSILON**2).sqrt()
        scaled = self.norm(length.flatten(0, -2) if length.ndim > 1 else length.unsqueeze(0)).view_as(length)
        return x * (scaled / length).unsqueeze(-2)


class VNMeanPool(VectorNeuron):
    """Mean over items, of those that a mask leaves.

    Args:
        axis: of the items, counted from the end: -3 is the axis before the components.
    """

    def __init__(self, axis: int = -3) -> None:
        super().__init__()
        self.axis = _pool_axis(axis)

    def forward(
        self, x: Float[Tensor, "*batch items 3 channels"], mask: Bool[Tensor, "*batch items"] | None = None
    ) -> Float[Tensor, "*batch 3 channels"]:
        """Return the means; that of no items is zero."""
        if mask is None:
            return x.mean(self.axis)
        present = mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))
        return torch.where(present, x, 0.0).sum(self.axis) / present.sum(self.axis).clamp(min=1)


class VNMaxPool(VectorNeuron):
    """For each channel the vector of the item that reaches furthest along a learned direction.

    Args:
        channels: vectors of input and output.
        axis: of the items, counted from the end.
        rng: generator of the initial weights.
    """

    def __init__(self, channels: int, axis: int = -3, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.axis = _pool_axis(axis)
        self.direction = VNLinear(channels, channels, rng=rng)

    def forward(
        self, x: Float[Tensor, "*batch items 3 channels"], mask: Bool[Tensor, "*batch items"] | None = None
    ) -> Float[Tensor, "*batch 3 channels"]:
        """Return the chosen vectors."""
        reach = (x * self.direction(x)).sum(-2, keepdim=True)
        if mask is not None:
            reach = reach.masked_fill(~mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim)), -torch.inf)
        chosen = reach.argmax(self.axis, keepdim=True)
        return x.gather(self.axis, chosen.expand(*chosen.shape[:-2], 3, -1)).squeeze(self.axis)


def _pool_axis(axis: int) -> int:
    if axis > -3:
        raise ConfigError("vectors are pooled over an axis before their components", got=axis, expected="-3 or less")
    return axis


def _check(x: Tensor, channels: int) -> None:
    if x.shape[-2:] != (3, channels):
        raise ShapeError(
            "these are not the features of a layer of vector neurons",
            got=tuple(x.shape),
            expected=f"(..., 3, {channels})",
        )
