"""Mixing of channels before and after a product that works channel by channel: equal irreps, block by block.

A block is (..., component, channel). Components are never mixed, so the map commutes with every group. Weights are
standard normal and are divided by the square root of the number of incoming channels at use.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError
from intertwine.representations import Irreps

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
        self._sources = [[i for i, entry in enumerate(irreps_in) if entry.ir == ir] for ir in irreps_out.irreps]
        if not all(self._sources):
            missing = [str(ir) for ir in irreps_out.irreps if ir not in irreps_in]
            raise RepresentationError(
                f"channels cannot be mixed into {', '.join(missing)}: the input has none",
                got={"in": irreps_in, "out": irreps_out},
                code="E203",
            )
        shapes = [
            (sum(irreps_in[i].mul for i in found), entry.mul)
            for found, entry in zip(self._sources, irreps_out, strict=True)
        ]
        self.weights = nn.ParameterList([torch.randn(*shape, generator=rng) for shape in shapes])

    def forward(self, blocks: "list[Float[Tensor, '*batch _ _']]") -> "list[Float[Tensor, '*batch _ _']]":
        """Return one block an entry of the output."""
        mixed = []
        for found, weight in zip(self._sources, self.weights, strict=True):
            joined = blocks[found[0]] if len(found) == 1 else torch.cat([blocks[i] for i in found], dim=-1)
            mixed.append(joined @ (weight * weight.shape[0] ** -0.5))
        return mixed
