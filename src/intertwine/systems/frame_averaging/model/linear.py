"""The straight line: every particle flies on for one learned time, the smallest of the baselines."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.systems.frame_averaging.model.particle_network import ParticleNetwork
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings

__all__ = ["StraightLine"]

_FIRST_TIME = 0.7


class StraightLine(ParticleNetwork):
    """Predicts ``x + t v`` with one learned number t, which begins at 0.7 as published.

    Law: predictions move with the particles under E(3) and are permuted with them.

    Args:
        settings: taken so that all networks are built alike; none of them matters.
        rng: likewise.
    """

    def __init__(self, settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__(settings)
        self.time = nn.Parameter(torch.tensor(_FIRST_TIME))

    def predicted(
        self, positions: Tensor, velocities: Tensor, charges: Tensor, edge_index: Tensor, graph_index: Tensor
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions."""
        return positions + self.time * velocities
