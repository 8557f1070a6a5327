"""Loss of a classifier of sets of points: the cross entropy, with elements of the frames drawn in every step."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from intertwine.errors import DataError
from intertwine.systems.frame_averaging.data.digits import DigitData, PointSets
from intertwine.systems.frame_averaging.metrics.classes import class_metrics, entropies
from intertwine.systems.frame_averaging.model.set_classifier import SetClassifier
from intertwine.training.module import TrainingModule
from intertwine.training.sampling import generator
from intertwine.training.settings import TrainingSettings

__all__ = ["DigitTraining", "make_module"]


class DigitTraining(TrainingModule):
    """Trains a `SetClassifier`.

    Args:
        model: the network.
        training: how to optimise it.
        seed: the recipe's, which decides what is drawn together with the step.
    """

    model: SetClassifier

    def __init__(self, model: SetClassifier, training: TrainingSettings, *, seed: int = 0) -> None:
        super().__init__(model, training)
        self.seed = seed

    def loss(self, batch: PointSets) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross entropy of a batch."""
        attached = self._trainer is not None
        step, rank = (self.trainer.global_step, self.trainer.global_rank) if attached else (0, 0)
        scores = self.model(batch.points, rng=generator(self.seed, "frames", step, rank))
        return self._entropy(scores, batch) * self.share(batch.num_graphs), {}

    def validation(self, batch: PointSets, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross entropy of a batch, and update the metrics; the same is drawn in every epoch."""
        with torch.no_grad():
            scores = self.model(batch.points, rng=generator(self.seed, "validation frames"))
            if metrics is not None:
                metrics.update(scores, batch.labels)
            return self._entropy(scores, batch), {}

    def metrics(self) -> MetricCollection:
        """The accuracy."""
        return class_metrics()

    @staticmethod
    def _entropy(scores: Tensor, batch: PointSets) -> Tensor:
        if batch.labels is None:
            raise DataError("training needs the class of every set", got="a batch without classes")
        return entropies(scores, batch.labels).mean()


def make_module(recipe: Any, data: DigitData, *, rng: torch.Generator) -> DigitTraining:
    """Build the untrained network."""
    model = SetClassifier(recipe.digits.model, points=recipe.digits.data.points, rng=rng)
    return DigitTraining(model, recipe.training, seed=recipe.seed)
