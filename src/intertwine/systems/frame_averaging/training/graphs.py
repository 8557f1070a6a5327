"""Loss of a classifier of graphs: the cross entropy of its scores, with elements of the frames drawn in every step."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from intertwine.errors import DataError
from intertwine.frames.ordered_partition import draw_keys
from intertwine.systems.frame_averaging.data.graphs import GraphData, LabelledGraphs
from intertwine.systems.frame_averaging.metrics.classes import class_metrics, entropies
from intertwine.systems.frame_averaging.model.graph_classifier import GraphClassifier
from intertwine.training.module import TrainingModule
from intertwine.training.sampling import generator
from intertwine.training.settings import TrainingSettings

__all__ = ["GraphTraining", "make_module"]


class GraphTraining(TrainingModule):
    """Trains a `GraphClassifier`.

    Args:
        model: the network.
        training: how to optimise it.
        seed: the recipe's, which decides what is drawn together with the step.
    """

    model: GraphClassifier

    def __init__(self, model: GraphClassifier, training: TrainingSettings, *, seed: int = 0) -> None:
        super().__init__(model, training)
        self.seed = seed

    def loss(self, batch: LabelledGraphs) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross entropy of a batch."""
        attached = self._trainer is not None
        step, rank = (self.trainer.global_step, self.trainer.global_rank) if attached else (0, 0)
        scores = self._scores(batch, generator(self.seed, "frames", step, rank))
        return self._entropy(scores, batch) * self.share(batch.num_graphs), {}

    def validation(self, batch: LabelledGraphs, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean cross entropy of a batch, and update the metrics; the same is drawn in every epoch."""
        with torch.no_grad():
            scores = self._scores(batch, generator(self.seed, "validation frames"))
            if metrics is not None:
                metrics.update(scores, batch.labels)
            return self._entropy(scores, batch), {}

    def metrics(self) -> MetricCollection:
        """The accuracy."""
        return class_metrics()

    def _scores(self, batch: LabelledGraphs, rng: torch.Generator) -> Tensor:
        keys = draw_keys(batch.num_graphs, self.model.settings.samples, batch.mask.shape[1], rng=rng)
        return self.model(**batch.inputs(), keys=keys.to(batch.mask.device))

    @staticmethod
    def _entropy(scores: Tensor, batch: LabelledGraphs) -> Tensor:
        if batch.labels is None:
            raise DataError("training needs the class of every graph", got="a batch without classes")
        return entropies(scores, batch.labels).mean()


def make_module(recipe: Any, data: GraphData, *, rng: torch.Generator) -> GraphTraining:
    """Build the untrained network for the classes and features of the training graphs."""
    model = GraphClassifier(
        recipe.graphs.model, classes=data.classes, channels=data.channels, max_nodes=data.max_nodes, rng=rng
    )
    return GraphTraining(model, recipe.training, seed=recipe.seed)
