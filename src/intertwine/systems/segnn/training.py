"""Loss of the prediction of positions: the mean squared error of their coordinates, as published."""

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from intertwine.errors import DataError
from intertwine.particles import ParticleBatch
from intertwine.systems.segnn.data import ParticleData
from intertwine.systems.segnn.metrics import position_metrics
from intertwine.systems.segnn.model import SEGNN
from intertwine.systems.segnn.settings import SegnnRecipe
from intertwine.training.module import TrainingModule

__all__ = ["SegnnTraining", "make_module", "position_loss"]


class SegnnTraining(TrainingModule):
    """Trains a `SEGNN` on later positions."""

    model: SEGNN

    def loss(self, batch: ParticleBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch."""
        return position_loss(self.model(**batch.inputs()), batch, self.share(len(batch.positions))), {}

    def validation(self, batch: ParticleBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and update the metrics."""
        with torch.no_grad():
            predicted = self.model(**batch.inputs())
            if metrics is not None:
                metrics.update(predicted, batch)
            return position_loss(predicted, batch), {}

    def metrics(self) -> MetricCollection:
        """Errors of the positions."""
        return position_metrics()


def position_loss(predicted: Tensor, batch: ParticleBatch, share: float = 1.0) -> Tensor:
    """Return the mean squared error of the coordinates.

    Args:
        predicted: positions (nodes, 3).
        batch: particles with their targets.
        share: factor of the mean over particles, see `TrainingModule.share`.

    Raises:
        DataError: if the batch has no targets.
    """
    if batch.targets is None:
        raise DataError("these particles have no later positions to learn from", got="a batch without targets")
    return share * (predicted - batch.targets).square().mean()


def make_module(recipe: SegnnRecipe, data: ParticleData, *, rng: torch.Generator) -> SegnnTraining:
    """Build the untrained network."""
    return SegnnTraining(SEGNN(recipe.model, rng=rng), recipe.training)
