"""Graph isomorphism networks, also with the places of the nodes in an order as their identities (GIN+ID).

Layer: ``h_i <- activation(W ((1 + eps) h_i + sum_j A_ij h_j) + b)``, with a learned eps.
Source: Xu et al., How Powerful are Graph Neural Networks?, ICLR 2019; with identities Puny et al., ICLR 2022.
"""

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.groups import SymmetricGroup
from intertwine.nn import affine_map
from intertwine.representations import Invariant, Permuted
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.model.graph_mlp import node_numbers

__all__ = ["GIN"]


class GIN(nn.Module):
    """From graphs to numbers, by messages between neighbours and a pool over the nodes.

    Without identities it is invariant under renaming of the nodes, and cannot tell apart what colour refinement
    cannot. With them it sees the order in which the nodes stand, and has no symmetry of its own.

    Args:
        channels: features of a node beside its degree; without any, a constant takes their place.
        widths: of the layers.
        activation: after every layer.
        pooling: over the nodes.
        max_nodes: number of places, for identities; None leaves them out.
        rng: generator of the initial weights; each eps is drawn from it too, uniform in (0, 1).
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        activation: type[nn.Module],
        pooling: Literal["mean", "sum"],
        *,
        max_nodes: int | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.pooling, self.max_nodes = pooling, max_nodes
        sizes = [max(channels, 1) + 1 + (max_nodes or 0), *widths]
        self.layers = nn.ModuleList([affine_map(a, b, rng=rng) for a, b in pairwise(sizes)])
        self.eps = nn.Parameter(torch.rand(len(widths), generator=rng))
        self.activation = activation()

    @property
    def symmetry(self) -> Symmetry | None:
        """S_n renames the nodes; None with identities."""
        if self.max_nodes is not None:
            return None
        return Symmetry(
            SymmetricGroup(None),
            inputs={"adjacency": Permuted((1, 2)), "features": Permuted((1,)), "mask": Permuted((1,))},
            output=Invariant(),
        )

    def forward(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"],
        mask: Bool[Tensor, "graphs nodes"],
    ) -> Float[Tensor, "graphs width"]:
        """Return numbers of the graphs."""
        graphs, nodes = mask.shape
        there = mask.unsqueeze(-1).to(adjacency)
        if features.shape[-1] == 0:
            features = there
        h = node_numbers(adjacency, features)
        if self.max_nodes is not None:
            places = torch.eye(nodes, self.max_nodes, dtype=h.dtype, device=h.device)
            h = torch.cat([h, places.expand(graphs, -1, -1) * there], dim=-1)
        for layer, eps in zip(self.layers, self.eps, strict=True):
            h = self.activation(layer((1 + eps) * h + adjacency @ h)) * there
        total = h.sum(1)
        return total / there.sum(1).clamp(min=1) if self.pooling == "mean" else total
