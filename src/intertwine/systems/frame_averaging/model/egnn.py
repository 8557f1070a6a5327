"""EGNN for particles: the network of Satorras, Hoogeboom, Welling, ICML 2021, with velocities."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import E, SymmetricGroup
from intertwine.nn import EGNNLayer, affine_map
from intertwine.particles import check_particles, particle_symmetry
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["EGNN"]


class EGNN(Pretrained, nn.Module):
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
        super().__init__()
        self.settings = settings
        self.embedding = affine_map(1, settings.hidden, rng=rng)
        self.layers = nn.ModuleList(EGNNLayer(settings.hidden, 2, rng=rng) for _ in range(settings.layers))

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
        features = self.embedding(velocities.norm(dim=-1, keepdim=True))
        for layer in self.layers:
            features, positions = layer(features, positions, edge_index, attributes, velocities)
        return positions
