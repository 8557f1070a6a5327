"""Losses: classes by cross-entropy, votes by their distance to the centres of the true parts, and shares of parts.

Source: Atzmon et al., Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, section 5; the mean over
points and all weights are this library's.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torchmetrics import MetricCollection

from intertwine.errors import ConfigError, DataError
from intertwine.systems.apen.data import ApenData, PartBatch, restore
from intertwine.systems.apen.metrics import cloud_metrics, segmentation_metrics
from intertwine.systems.apen.model import APEN, DGCNN, Baseline, PointNet, VNPointNet
from intertwine.systems.apen.settings import ApenRecipe, LossSettings, ModelSettings
from intertwine.systems.apen.training.matching import matched_parts
from intertwine.training.module import TrainingModule
from intertwine.training.settings import TrainingSettings

__all__ = ["ApenTraining", "build_network", "make_module", "vote_loss"]


class ApenTraining(TrainingModule):
    """Trains a network on the classes of points or clouds and, where it divides clouds, on the centres of parts."""

    model: APEN | Baseline

    def __init__(self, model: APEN | Baseline, settings: TrainingSettings, loss: LossSettings) -> None:
        self.task = model.settings.task
        super().__init__(model, settings)
        self.weights = loss

    def loss(self, batch: PartBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its terms."""
        return self._terms(self._outputs(batch), batch)

    def validation(self, batch: PartBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return loss and terms of a batch and update the metrics."""
        with torch.no_grad():
            found = self._outputs(batch)
            if metrics is not None:
                complete, whole = restore(found, batch, segments=self.task == "segment")
                metrics.update(complete["logits"], whole)
            return self._terms(found, batch)

    def metrics(self) -> MetricCollection:
        """Return the metrics of the task."""
        return segmentation_metrics() if self.task == "segment" else cloud_metrics()

    def _outputs(self, batch: PartBatch) -> dict[str, Tensor]:
        if self.model.settings.partition == "oracle" and isinstance(self.model, APEN):
            return self.model(**batch.inputs(), true_part=batch.instances)
        return self.model(**batch.inputs())

    def _terms(self, found: dict[str, Tensor], batch: PartBatch) -> tuple[Tensor, dict[str, Tensor]]:
        truth = batch.labels if self.task == "segment" else batch.subjects
        if truth is None:
            raise DataError(f"these clouds have no classes to {self.task}", got="a batch without labels")
        total = cross_entropy(found["logits"], truth)
        logs = {"classes_term": total}
        if isinstance(self.model, APEN) and self.model.divides:
            if self.weights.votes:
                logs["votes_term"] = vote_loss(found["votes"], batch)
                total = total + self.weights.votes * logs["votes_term"]
            if self.weights.instances:
                logs["instances_term"] = self._instances(batch)
                total = total + self.weights.instances * logs["instances_term"]
        return total, logs

    def _instances(self, batch: PartBatch) -> Tensor:
        """Return the cross-entropy of the shares of the last layer against the true parts they are matched with."""
        if batch.instances is None or not isinstance(self.model, APEN):
            raise DataError("the loss of instances needs true parts", got="a batch without instances")
        return matched_parts(self.model.divide(**batch.inputs())[-1], batch.instances)


def vote_loss(votes: Tensor, batch: PartBatch) -> Tensor:
    """Return the sum over layers of the mean distance (sum of coordinates) of votes from the centres of their parts.

    Args:
        votes: (layers, points, 3).
        batch: with the centres.

    Raises:
        DataError: if the batch has no centres.
    """
    if batch.centres is None:
        raise DataError("votes learn from the centres of true parts", got="a batch without parts")
    return (votes - batch.centres).abs().sum(-1).mean(-1).sum()


def build_network(settings: ModelSettings, *, rng: torch.Generator | None = None) -> APEN | Baseline:
    """Return the untrained network that settings name.

    Raises:
        ConfigError: if there is no such network.
    """
    if settings.network == "apen":
        return APEN(settings, rng=rng)
    if settings.network == "fa_pointnet":
        return APEN(replace(settings, initial="whole", partition="fixed", variant="hard"), rng=rng)
    baselines = {"pointnet": PointNet, "dgcnn": DGCNN, "vn_pointnet": VNPointNet}
    if settings.network not in baselines:
        expected = ", ".join(("apen", "fa_pointnet", *baselines))
        raise ConfigError("there is no such network", got=settings.network, expected=expected)
    return baselines[settings.network](settings, rng=rng)


def make_module(recipe: ApenRecipe, data: ApenData, *, rng: torch.Generator) -> ApenTraining:
    """Build the untrained network with its losses."""
    return ApenTraining(build_network(recipe.model, rng=rng), recipe.training, recipe.loss)
