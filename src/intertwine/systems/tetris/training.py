"""Loss of a classifier of point patterns: the cross entropy of its scores, each set turned anew in every step."""

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from intertwine.errors import DataError
from intertwine.groups import SO
from intertwine.systems.tetris.data import PointBatch, PointData
from intertwine.systems.tetris.metrics import shape_metrics
from intertwine.systems.tetris.model import ShapeClassifier
from intertwine.systems.tetris.settings import TetrisRecipe
from intertwine.training.module import TrainingModule
from intertwine.training.sampling import generator
from intertwine.training.settings import TrainingSettings

__all__ = ["ShapeTraining", "make_module"]


class ShapeTraining(TrainingModule):
    """Trains a `ShapeClassifier`.

    The model is exactly invariant, so turning the sets changes a loss by rounding alone; it is done because the
    experiment does it, and because it would uncover a model that is not.

    Args:
        model: the network.
        training: how to optimise it.
        rotate: whether to turn every set in every training step.
        seed: the recipe's, which decides the rotations together with the step.
    """

    model: ShapeClassifier

    def __init__(
        self, model: ShapeClassifier, training: TrainingSettings, *, rotate: bool = True, seed: int = 0
    ) -> None:
        super().__init__(model, training)
        self.rotate, self.seed = rotate, seed

    def loss(self, batch: PointBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross entropy of a batch."""
        if self.rotate and self.training:
            batch = batch.moved(self._rotations(batch))
        return self._entropy(self.model(**batch.inputs()), batch) * self.share(batch.num_graphs), {}

    def validation(self, batch: PointBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the cross entropy of a batch as it is, and update the metrics."""
        with torch.no_grad():
            scores = self.model(**batch.inputs())
            if metrics is not None:
                metrics.update(scores, batch.labels)
            return self._entropy(scores, batch), {}

    def metrics(self) -> MetricCollection:
        """The accuracy."""
        return shape_metrics()

    def _rotations(self, batch: PointBatch) -> Tensor:
        attached = self._trainer is not None
        step, rank = (self.trainer.global_step, self.trainer.global_rank) if attached else (0, 0)
        rng = generator(self.seed, "rotations", step, rank)
        return SO(3).sample(batch.num_graphs, rng=rng, dtype=batch.positions.dtype)

    @staticmethod
    def _entropy(scores: Tensor, batch: PointBatch) -> Tensor:
        if batch.labels is None:
            raise DataError("training needs the class of every point set", got="a batch without classes")
        return torch.nn.functional.cross_entropy(scores, batch.labels)


def make_module(recipe: TetrisRecipe, data: PointData, *, rng: torch.Generator) -> ShapeTraining:
    """Build the untrained model for the classes and point types of the training sets."""
    model = ShapeClassifier(
        recipe.model,
        classes=data.table.names,
        mirror_pairs=data.table.pairs,
        point_types=data.point_types,
        rng=rng,
    )
    return ShapeTraining(model, recipe.training, rotate=recipe.data.rotate, seed=recipe.seed)
