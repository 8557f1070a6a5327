"""Training of the normals task: the published loss, which does not see signs, and the penalty of T-nets."""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from intertwine.systems.frame_averaging.data.normals import NormalsBatch
from intertwine.systems.frame_averaging.metrics.normals import normal_errors, normals_metrics
from intertwine.systems.frame_averaging.model.dgcnn import DGCNNNormals
from intertwine.systems.frame_averaging.model.local_pointnet import LocalPointNetNormals
from intertwine.systems.frame_averaging.model.pointnet import PointNetNormals, transform_penalty
from intertwine.systems.frame_averaging.model.vn_dgcnn import VNDGCNNNormals
from intertwine.systems.frame_averaging.model.vn_pointnet import VNPointNetNormals
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings
from intertwine.training.module import TrainingModule

__all__ = ["NormalsTraining", "make_module", "make_network"]

_NETWORKS = {
    "pointnet": PointNetNormals,
    "local_pointnet": LocalPointNetNormals,
    "dgcnn": DGCNNNormals,
    "vn_pointnet": VNPointNetNormals,
    "vn_dgcnn": VNDGCNNNormals,
}


def make_network(settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> nn.Module:
    """Return the untrained network that settings name."""
    return _NETWORKS[settings.network](settings, rng=rng)


def make_module(recipe: Any, data: Any, *, rng: torch.Generator) -> "NormalsTraining":
    """Return the untrained network of a recipe, with its loss."""
    return NormalsTraining(make_network(recipe.normals.model, rng=rng), recipe)


class NormalsTraining(TrainingModule):
    """Trains a network on normals.

    Args:
        model: takes what `NormalsBatch.inputs` returns.
        recipe: with a section ``normals``.
    """

    def __init__(self, model: nn.Module, recipe: Any) -> None:
        super().__init__(model, recipe.training)
        self.task = recipe.normals

    def loss(self, batch: NormalsBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the error of a batch and, with T-nets, the penalty of their maps of features."""
        transforms = None
        if isinstance(self.model, PointNetNormals):
            predicted, transforms = self.model.with_transforms(**batch.inputs())
        else:
            predicted = self.model(**batch.inputs())
        error = self.share(batch.num_graphs) * normal_errors(predicted, batch.normals).mean()
        if transforms is None:
            return error, {}
        penalty = transform_penalty(transforms, self.task.regulariser_form)
        return error + self.task.regulariser * penalty, {"penalty": penalty}

    def validation(self, batch: NormalsBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the error of a batch and update the metrics."""
        with torch.no_grad():
            predicted = self.model(**batch.inputs())
            if metrics is not None:
                metrics.update(predicted, batch)
            return normal_errors(predicted, batch.normals).mean(), {}

    def metrics(self) -> MetricCollection:
        """Errors of the normals."""
        return normals_metrics()
