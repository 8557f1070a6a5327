"""A radial field for particles: steps along the lines between them, as in Satorras, Hoogeboom, Welling, ICML 2021."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import E, SymmetricGroup
from intertwine.nn import RadialFieldLayer
from intertwine.particles import check_particles, particle_symmetry
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["RadialField"]


class RadialField(Pretrained, nn.Module):
    """Predicts where particles will be, without features of its own.

    Law: predictions move with the particles under E(3) and are permuted with them.

    Args:
        settings: sizes.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(RadialFieldLayer(2, settings.hidden, rng=rng) for _ in range(settings.layers))

    @property
    def symmetry(self) -> Symmetry:
        """E(3) acts on space, S_n on the particles."""
        return particle_symmetry(E(3) * SymmetricGroup(None))

    def forward(
        self,
        positions: Float[Tensor, "nodes 3"],
        velocities: Float[Tensor, "nodes 3"],
        charges: Float[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions; arguments and errors are those of `GNN`."""
        check_particles(positions, velocities, charges, graph_index)
        source, destination = edge_index
        products = charges.index_select(0, source) * charges.index_select(0, destination)
        between = positions.index_select(0, destination) - positions.index_select(0, source)
        attributes = torch.stack([products, between.square().sum(-1)], dim=-1)
        for layer in self.layers:
            positions = layer(positions, velocities, edge_index, attributes)
        return positions
