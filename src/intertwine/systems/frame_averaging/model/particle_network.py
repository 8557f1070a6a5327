"""What the networks of particles share: their arguments, their saving, and what they know of each pair."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import E, SymmetricGroup
from intertwine.particles import check_particles, particle_symmetry
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["ParticleNetwork", "pair_attributes"]


class ParticleNetwork(Pretrained, nn.Module, ABC):
    """Predicts where particles will be; it can be saved, loaded and called on batches of systems.

    Law: predictions move with the particles under E(3) and are permuted with them.

    Args:
        settings: sizes.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings

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
        """Return the predicted positions.

        Args:
            positions, velocities, charges: of all particles of a batch.
            edge_index: source and destination of the edges; no edge leads from one system to another.
            graph_index: the system of each particle, numbered from 0.

        Raises:
            ShapeError: if the arguments do not describe one batch of particles.
            NumericsError: if a position is not finite, with frames.
        """
        check_particles(positions, velocities, charges, graph_index)
        return self.predicted(positions, velocities, charges, edge_index, graph_index)

    @abstractmethod
    def predicted(
        self, positions: Tensor, velocities: Tensor, charges: Tensor, edge_index: Tensor, graph_index: Tensor
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions; the arguments of `forward`, checked."""


def pair_attributes(
    positions: Float[Tensor, "nodes 3"],
    charges: Float[Tensor, " nodes"],
    edge_index: Int[Tensor, "2 edges"],
    *,
    distances: bool = True,
) -> Float[Tensor, "edges attributes"]:
    """Return the product of the charges of each pair, and its squared distance."""
    source, destination = edge_index
    known = [charges.index_select(0, source) * charges.index_select(0, destination)]
    if distances:
        between = positions.index_select(0, destination) - positions.index_select(0, source)
        known.append(between.square().sum(-1))
    return torch.stack(known, dim=-1)
