"""Mixing of channels before and after a product that works channel by channel: equal irreps, block by block.

A block is (..., component, channel). Components are never mixed, so the map commutes with every group. Weights are
standard normal and are divided by the square root of the number of incoming channels at use.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.representations import Irreps
from intertwine.representations.layout import merge_sources, sources_of

__all__ = ["ChannelMixing", "copies_of"]


def copies_of(irreps: Irreps, channels: int) -> Irreps:
    """Return the same entries with ``channels`` copies each."""
    return Irreps([(channels, ir) for ir in irreps.irreps])


class ChannelMixing(nn.Module):
    """A linear map between blocks of equal irreps, for products that keep their features as blocks.

    Args:
        irreps_in, irreps_out: entries of the blocks; every irrep of the output must be in the input.
        rng: generator of the initial weights.

    Raises:
        RepresentationError: if an output irrep is missing in the input.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self._sources = sources_of(irreps_in, irreps_out)
        shapes = [
            (sum(irreps_in[i].mul for i in found), entry.mul)
            for found, entry in zip(self._sources, irreps_out, strict=True)
        ]
        self.weights = nn.ParameterList([torch.randn(*shape, generator=rng) for shape in shapes])

    def forward(self, blocks: "list[Float[Tensor, '*batch _ _']]") -> "list[Float[Tensor, '*batch _ _']]":
        """Return one block an entry of the output."""
        joined = merge_sources(blocks, self._sources)
        return [block @ (w * w.shape[0] ** -0.5) for block, w in zip(joined, self.weights, strict=True)]
