"""A block of EquiformerV2: attention and a feed-forward network, each a residual branch of the normalised features.

Where the settings say so, a third branch multiplies the features with themselves, as functions on the sphere:
`SelfMix`, a linear map and the Gaunt product of two others, with weights for each channel and degree of both factors
and of the result. (Luo, Chen, Krishnapriyan, ICLR 2024; its place in the block is not published.)
"""

from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import SO
from intertwine.products.gaunt.parity import SelfMix
from intertwine.products.so2.edge_frames import EdgeFrame
from intertwine.representations.actions import IrrepsTensor
from intertwine.symmetry import Symmetry
from intertwine.systems.equiformer.model.activation import Activation, GridNetwork
from intertwine.systems.equiformer.model.attention import GraphAttention
from intertwine.systems.equiformer.model.layers import LAYOUT, Dense, IrrepsLinear, features, make_norm
from intertwine.systems.equiformer.settings import ModelSettings

__all__ = ["Block", "FeedForward", "drop_path"]

_INITIAL_GAIN = 0.1
"""Weight of the product in a new self-interaction: small, so that training begins nearly as without it."""


@final
class FeedForward(nn.Module):
    """Linear, nonlinearity, linear, on the features of each atom.

    Args:
        settings: sizes and the kind of nonlinearity.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ModelSettings, rng: torch.Generator | None = None) -> None:
        super().__init__()
        lmax, width = settings.lmax, settings.feed_forward
        self.channels = settings.channels
        self.irreps = features(settings.channels, lmax)
        self.first = IrrepsLinear(self.irreps, features(width, lmax), rng)
        if settings.feed_forward_activation == "grid":
            self.activation: Activation | GridNetwork = GridNetwork(width, lmax, settings.grid_degree, rng)
        else:
            kind = settings.feed_forward_activation
            self.activation = Activation(kind, width, lmax, None, settings.grid_degree)
        self.gates = Dense(settings.channels, self.activation.num_gates, rng=rng)
        self.second = IrrepsLinear(features(width, lmax), self.irreps, rng)

    @property
    def symmetry(self) -> Symmetry:
        """SO(3) acts on features by their irreps."""
        rep = IrrepsTensor(self.irreps, LAYOUT)
        return Symmetry(SO(3), inputs={"x": rep}, output=rep)

    def forward(self, x: Float[Tensor, "atoms dim"]) -> Float[Tensor, "atoms dim"]:
        """Return what the branch adds."""
        return self.second(self.activation(self.first(x), self.gates(x[..., : self.channels])))


@final
class Block(nn.Module):
    """Attention, feed-forward network and, where wanted, self-interaction, each added to the features.

    Law: that of `GraphAttention`.

    Args:
        settings: sizes, and where the self-interaction is.
        edge_size: number of invariants of an edge.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ModelSettings, edge_size: int, rng: torch.Generator | None = None) -> None:
        super().__init__()
        irreps = features(settings.channels, settings.lmax)
        self.rate, self.place = settings.drop_path, settings.self_mix
        self.attention_norm = make_norm(settings.norm, irreps)
        self.attention = GraphAttention(settings, irreps, edge_size, rng)
        self.feed_forward_norm = make_norm(settings.norm, irreps)
        self.feed_forward = FeedForward(settings, rng)
        if self.place != "none":
            self.mix_norm = make_norm(settings.norm, irreps)
            backend = settings.self_mix_backend
            self.mix = SelfMix(
                irreps, residual=False, initial_gain=_INITIAL_GAIN, backend=backend, layout=LAYOUT, rng=rng
            )

    def forward(
        self,
        x: Float[Tensor, "atoms dim"],
        invariants: Float[Tensor, "edges size"],
        frame: EdgeFrame,
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, " atoms"],
        num_graphs: int,
    ) -> Float[Tensor, "atoms dim"]:
        """Return the features of the next block."""

        def kept(branch: Tensor) -> Tensor:
            return drop_path(branch, graph_index, num_graphs, self.rate) if self.training and self.rate else branch

        if self.place == "before_attention":
            x = x + kept(self.mix(self.mix_norm(x)))
        x = x + kept(self.attention(self.attention_norm(x), invariants, frame, edge_index))
        if self.place == "after_attention":
            x = x + kept(self.mix(self.mix_norm(x)))
        x = x + kept(self.feed_forward(self.feed_forward_norm(x)))
        if self.place == "after_feed_forward":
            x = x + kept(self.mix(self.mix_norm(x)))
        return x


def drop_path(
    x: Float[Tensor, "atoms dim"], graph_index: Int[Tensor, " atoms"], num_graphs: int, rate: float
) -> Float[Tensor, "atoms dim"]:
    """Return the branch, left out for whole structures by chance, and enlarged for the others by as much."""
    chance = torch.rand(num_graphs, dtype=x.dtype, device=x.device)
    return x * ((chance >= rate).to(x.dtype) / (1 - rate))[graph_index, None]
