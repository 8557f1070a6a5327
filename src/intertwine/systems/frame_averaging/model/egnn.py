"""EGNN for particles: the network of Satorras, Hoogeboom, Welling, ICML 2021, with velocities."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn import EGNNLayer, affine_map
from intertwine.systems.frame_averaging.model.particle_network import ParticleNetwork, pair_attributes
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings

__all__ = ["EGNN"]


class EGNN(ParticleNetwork):
    """Predicts where particles will be, from speeds, distances and products of charges.

    Law: predictions move with the particles under E(3) and are permuted with them.

    Args:
        settings: sizes.
        rng: generator of the initial weights.

    Example:
        >>> model = EGNN(ParticleModelSettings(network="egnn", hidden=64))
        >>> sum(weight.numel() for weight in model.parameters())
        134020
    """

    def __init__(self, settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__(settings)
        self.embedding = affine_map(1, settings.hidden, rng=rng)
        self.layers = nn.ModuleList(EGNNLayer(settings.hidden, 2, rng=rng) for _ in range(settings.layers))

    def predicted(
        self, positions: Tensor, velocities: Tensor, charges: Tensor, edge_index: Tensor, graph_index: Tensor
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions."""
        attributes = pair_attributes(positions, charges, edge_index)
        features = self.embedding(velocities.norm(dim=-1, keepdim=True))
        for layer in self.layers:
            features, positions = layer(features, positions, edge_index, attributes, velocities)
        return positions
