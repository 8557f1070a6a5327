"""What an edge tells: its length and its two elements; and the first features of an atom, from its edges.

The direction of an edge enters by its frame, the rotation that turns it onto the polar axis (`EdgeFrames`). With R that
rotation, the components m = 0 seen in the frame are D(R)^T e_0 outside, a multiple of the harmonics of the direction.
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.graphs import segment_sum
from intertwine.nn import GaussianBasis
from intertwine.products.so2.edge_frames import EdgeFrame
from intertwine.systems.equiformer.model.layers import EdgeNetwork
from intertwine.systems.equiformer.settings import ModelSettings

__all__ = ["EdgeDegreeEmbedding", "EdgeInvariants"]


@final
class EdgeInvariants(nn.Module):
    """Gaussians of the length of an edge, and embeddings of the elements at its ends.

    Args:
        settings: sizes.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ModelSettings, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.basis = GaussianBasis(settings.cutoff, settings.distance_basis)
        elements, width = settings.elements, settings.edge_channels
        self.source = nn.Parameter(torch.randn(elements, width, generator=rng))
        self.destination = nn.Parameter(torch.randn(elements, width, generator=rng))
        self.size = settings.distance_basis + 2 * width

    def forward(
        self,
        vectors: Float[Tensor, "edges 3"],
        species: Int[Tensor, " atoms"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "edges size"]:
        """Return the invariants of every edge; no edge has length zero."""
        source, destination = species[edge_index[0]], species[edge_index[1]]
        ends = [self.source.index_select(0, source), self.destination.index_select(0, destination)]
        return torch.cat([self.basis(vectors.square().sum(-1).sqrt()), *ends], dim=-1)


@final
class EdgeDegreeEmbedding(nn.Module):
    """Features of an atom from its edges: in the frame of each, invariants as m = 0 of every degree, and summed.

    Law: SO(3) acts on the output by its irreps. (Liao et al., ICLR 2024, appendix; as in eSCN.)

    Args:
        settings: sizes.
        size: number of invariants of an edge.
        mean_neighbours: what the sum is divided by.
        rng: generator of the initial weights.
    """

    def __init__(
        self, settings: ModelSettings, size: int, mean_neighbours: float, rng: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.channels, self.lmax, self.mean_neighbours = settings.channels, settings.lmax, mean_neighbours
        width = settings.edge_channels
        self.network = EdgeNetwork([size, width, width, (settings.lmax + 1) * settings.channels], rng)

    def forward(
        self,
        invariants: Float[Tensor, "edges size"],
        frame: EdgeFrame,
        edge_index: Int[Tensor, "2 edges"],
        count: int,
    ) -> Float[Tensor, "atoms dim"]:
        """Return the features of ``count`` atoms."""
        radial = self.network(invariants).unflatten(-1, (self.lmax + 1, self.channels)).unbind(-2)
        blocks = [
            frame.matrices[degree][:, degree, :, None] * radial[degree][:, None] for degree in range(self.lmax + 1)
        ]
        summed = segment_sum(torch.cat(blocks, dim=-2).flatten(-2), edge_index[1], count)
        return summed * (1 / self.mean_neighbours)
