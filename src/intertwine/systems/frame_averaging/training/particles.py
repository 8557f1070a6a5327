"""Training of the particles task: the loss of predicted positions, and training samples turned at random."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from intertwine.errors import DataError
from intertwine.groups import SO
from intertwine.particles import ParticleBatch
from intertwine.systems.frame_averaging.metrics.particles import position_metrics
from intertwine.systems.frame_averaging.model.egnn import EGNN
from intertwine.systems.frame_averaging.model.gnn import GNN
from intertwine.systems.frame_averaging.model.linear import StraightLine
from intertwine.systems.frame_averaging.model.radial_field import RadialField
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings
from intertwine.training.module import TrainingModule
from intertwine.training.sampling import generator

__all__ = ["ParticleTraining", "make_module", "make_network", "turn_batch"]

_NETWORKS = {"gnn": GNN, "egnn": EGNN, "radial_field": RadialField, "linear": StraightLine}


def make_network(settings: ParticleModelSettings, *, rng: torch.Generator | None = None) -> nn.Module:
    """Return the untrained network that settings name."""
    return _NETWORKS[settings.network](settings, rng=rng)


def make_module(recipe: Any, data: Any, *, rng: torch.Generator) -> "ParticleTraining":
    """Return the untrained network of a recipe, with its loss."""
    return ParticleTraining(make_network(recipe.particles.model, rng=rng), recipe)


def turn_batch(batch: ParticleBatch, rng: torch.Generator) -> ParticleBatch:
    """Return a batch whose samples are turned, each by its own random rotation about the origin."""
    rotations = SO(3).sample(batch.num_graphs, rng=rng, dtype=torch.float64)
    each = rotations.to(batch.positions).index_select(0, batch.graph_index)

    def turned(vectors: Tensor | None) -> Any:
        return None if vectors is None else (each @ vectors.unsqueeze(-1)).squeeze(-1)

    return replace(
        batch,
        positions=turned(batch.positions),
        velocities=turned(batch.velocities),
        targets=turned(batch.targets),
    )


class ParticleTraining(TrainingModule):
    """Trains a network on later positions.

    Args:
        model: takes what `ParticleBatch.inputs` returns.
        recipe: with a section ``particles``.
    """

    def __init__(self, model: nn.Module, recipe: Any) -> None:
        super().__init__(model, recipe.training)
        self.task = recipe.particles
        self.seed = recipe.seed

    def loss(self, batch: ParticleBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch, turned first where the task says so, in the mean over what the network sees."""
        if self.task.augmentation == "rotations":
            step, rank = (self.global_step, self.global_rank) if self._trainer is not None else (0, 0)
            batch = turn_batch(batch, generator(self.seed, "rotations", step, rank))
        share = self.share(len(batch.positions))
        seen = max(self.task.model.canonical_rotations, 1)
        errors = [self._error(self.model(**batch.inputs()), batch, share) for _ in range(seen)]
        return torch.stack(errors).mean(), {}

    def validation(self, batch: ParticleBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch as it is and update the metrics."""
        with torch.no_grad():
            predicted = self.model(**batch.inputs())
            if metrics is not None:
                metrics.update(predicted, batch)
            return self._error(predicted, batch), {}

    def metrics(self) -> MetricCollection:
        """Errors of the positions."""
        return position_metrics()

    def _error(self, predicted: Tensor, batch: ParticleBatch, share: float = 1.0) -> Tensor:
        if batch.targets is None:
            raise DataError("these particles have no later positions to learn from", got="a batch without targets")
        error = predicted - batch.targets
        return share * (error.square() if self.task.loss == "squared" else error.abs()).mean()
