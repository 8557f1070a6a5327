"""The straight line: every particle flies on for one learned time, the smallest of the baselines."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import E, SymmetricGroup
from intertwine.particles import check_particles, particle_symmetry
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["StraightLine"]

_FIRST_TIME = 0.7


class StraightLine(Pretrained, nn.Module):
    """Predicts ``x + t v`` with one learned number t, which begins at 0.7 as published.

    Law: predictions move with the particles under E(3) and are permuted with them.

    Args:
        settings: taken so that all networks are built alike; none of them matters.
        rng: likewise.
    """

    def __init__(self, settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.time = nn.Parameter(torch.tensor(_FIRST_TIME))

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
        return positions + self.time * velocities
