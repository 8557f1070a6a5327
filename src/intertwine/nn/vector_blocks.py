"""Blocks of vector neurons: a linear map with its norm and activation, and numbers that turns leave as they are.

Source: Deng et al., Vector Neurons, ICCV 2021.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import O
from intertwine.nn.vector_neurons import VNBatchNorm, VNLeakyReLU, VNLinear
from intertwine.representations import AlongAxis, Invariant, Vector
from intertwine.symmetry import Symmetry

__all__ = ["VNInvariants", "vector_block"]


def vector_block(
    inputs: int, outputs: int, *, active: bool = True, rng: torch.Generator | None = None
) -> nn.Sequential:
    """Return a linear map of vectors with batch normalisation of their lengths and an activation.

    Args:
        inputs, outputs: vectors that it takes and gives.
        active: whether it has an activation.
        rng: generator of the initial weights.
    """
    layers: list[nn.Module] = [VNLinear(inputs, outputs, rng=rng), VNBatchNorm(outputs)]
    return nn.Sequential(*layers, *([VNLeakyReLU(outputs, rng=rng)] if active else []))


class VNInvariants(nn.Module):
    """Inner products of vectors with three vectors that are linear in them: three numbers for each channel.

    Law: invariant under O(3).

    Args:
        channels: vectors of the input.
        rng: generator of the initial weights.

    Example:
        >>> VNInvariants(4)(torch.randn(2, 5, 3, 4)).shape
        torch.Size([2, 5, 12])
    """

    symmetry = Symmetry(O(3), inputs={"x": AlongAxis(-2, Vector())}, output=Invariant())

    def __init__(self, channels: int, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.axes = VNLinear(channels, 3, rng=rng)

    def forward(self, x: Float[Tensor, "*batch 3 channels"]) -> Float[Tensor, "*batch numbers"]:
        """Return the inner products, those of one axis after one another."""
        return (self.axes(x).mT @ x).flatten(-2)
