"""Equivariant graph attention: messages by SO(2) convolutions in the frames of edges, weighed by a softmax.

For each edge the features of source and destination, side by side, are seen in the edge's frame and mixed by a map of
each m (`SO2Linear`) whose inputs are scaled by a network of the edge's invariants. The same map writes, from m = 0, the
invariants from which attention weights are computed, and those that steer the activation. A second map makes the
values. Components with |m| > mmax are left out: that commutes with turns about the edge, so it costs expressive power,
not equivariance. (Liao et al., "EquiformerV2", ICLR 2024; Passaro and Zitnick, ICML 2023.)
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.graphs import segment_softmax, segment_sum
from intertwine.products.so2.edge_frames import EdgeFrame, EdgeFrameMap
from intertwine.products.so2.linear import SO2Linear
from intertwine.representations import Irreps
from intertwine.systems.equiformer.model.activation import Activation
from intertwine.systems.equiformer.model.layers import LAYOUT, EdgeNetwork, IrrepsLinear, features
from intertwine.systems.equiformer.settings import ModelSettings

__all__ = ["AttentionWeights", "GraphAttention"]


@final
class GraphAttention(nn.Module):
    """What each atom gathers from its neighbours.

    Law: SO(3) acts on features by their irreps, and on the edges that the frames are of; with the activation on the
    grid up to its aliasing.

    Args:
        settings: sizes.
        irreps_out: irreps to write.
        edge_size: number of invariants of an edge.
        rng: generator of the initial weights.
    """

    def __init__(
        self, settings: ModelSettings, irreps_out: Irreps, edge_size: int, rng: torch.Generator | None = None
    ) -> None:
        super().__init__()
        lmax, mmax, heads = settings.lmax, settings.mmax, settings.heads
        self.channels, self.heads, self.value = settings.channels, heads, settings.attention_value
        self.alphas = heads * settings.attention_alpha
        pair, hidden = features(2 * settings.channels, lmax), features(settings.attention_hidden, lmax)
        # a force has no use for values of other degrees than its own
        wanted = Irreps([(heads * settings.attention_value, ir) for _, ir in irreps_out])
        kind = settings.attention_activation
        self.activation = Activation(kind, settings.attention_hidden, lmax, mmax, settings.grid_degree)
        self.first = SO2Linear(pair, hidden, mmax, extra=self.alphas + self.activation.num_gates, rng=rng)
        width = settings.edge_channels
        self.radial = EdgeNetwork([edge_size, width, width, self.first.factor_numel], rng)
        self.second = SO2Linear(hidden, wanted, mmax, rng=rng)
        self.weigh = AttentionWeights(heads, settings.attention_alpha, settings.alpha_dropout, rng)
        self.map_in, self.map_out = EdgeFrameMap(pair, mmax, LAYOUT), EdgeFrameMap(wanted, mmax, LAYOUT)
        self.project = IrrepsLinear(wanted, irreps_out, rng)

    def forward(
        self,
        x: Float[Tensor, "atoms dim"],
        invariants: Float[Tensor, "edges size"],
        frame: EdgeFrame,
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "atoms dim_out"]:
        """Return the features that attention writes; an atom without edges gets the bias only."""
        source, destination = edge_index
        nodes = x.unflatten(-1, (-1, self.channels))
        pair = torch.cat([nodes.index_select(0, source), nodes.index_select(0, destination)], dim=-1)
        mixed = self.first(self.map_in.into(pair.flatten(-2), frame), self.radial(invariants))
        alphas, gates, hidden = mixed.split(
            [self.alphas, self.activation.num_gates, self.first.so2_irreps_out.dim], dim=-1
        )
        values = self.second(self.activation(hidden, gates))
        weights = self.weigh(alphas, destination, x.shape[0])
        weighed = values.unflatten(-1, (-1, self.heads, self.value)) * weights[:, None, :, None]
        messages = self.map_out.out_of(weighed.flatten(1), frame)
        return self.project(segment_sum(messages, destination, x.shape[0]))


@final
class AttentionWeights(nn.Module):
    """Weights of the edges of each atom, one for each head; those of an atom add up to one.

    Args:
        heads: number of heads.
        size: invariants of a head.
        dropout: chance that a weight is dropped in training.
        rng: generator of the initial weights.
    """

    def __init__(self, heads: int, size: int, dropout: float, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.heads, self.size, self.dropout = heads, size, dropout
        self.norm = nn.LayerNorm(size)
        self.direction = nn.Parameter(torch.randn(heads, size, generator=rng))

    def forward(
        self, alphas: Float[Tensor, "edges invariants"], destination: Int[Tensor, " edges"], count: int
    ) -> Float[Tensor, "edges heads"]:
        """Return the weights of edges to ``count`` atoms."""
        x = self.norm(alphas.unflatten(-1, (self.heads, self.size)))
        # a leaky ReLU of slope 0.2 with a smooth bend
        x = 0.6 * x + 0.4 * x * (2 * torch.sigmoid(x) - 1)
        scores = (x * (self.direction * self.size**-0.5)).sum(-1)
        return nn.functional.dropout(segment_softmax(scores, destination, count), self.dropout, self.training)
