"""A radial field for particles: steps along the lines between them, as in Satorras, Hoogeboom, Welling, ICML 2021."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.nn import RadialFieldLayer
from intertwine.systems.frame_averaging.model.particle_network import ParticleNetwork, pair_attributes
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings

__all__ = ["RadialField"]


class RadialField(ParticleNetwork):
    """Predicts where particles will be, without features of its own.

    Law: predictions move with the particles under E(3) and are permuted with them.

    Args:
        settings: sizes.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__(settings)
        self.layers = nn.ModuleList(RadialFieldLayer(2, settings.hidden, rng=rng) for _ in range(settings.layers))

    def predicted(
        self, positions: Tensor, velocities: Tensor, charges: Tensor, edge_index: Tensor, graph_index: Tensor
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions."""
        attributes = pair_attributes(positions, charges, edge_index)
        for layer in self.layers:
            positions = layer(positions, velocities, edge_index, attributes)
        return positions
