"""The error by which classifiers of shapes are compared, as a torchmetrics metric."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import Metric, MetricCollection

__all__ = ["ShapeAccuracy", "shape_metrics"]


class ShapeAccuracy(Metric):
    """The part of all point sets whose class has the highest score; of equal scores the first counts.

    So of two mirror images with equal scores one is always right and the other always wrong.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    right: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("right", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, scores: Float[Tensor, "sets classes"], labels: Int64[Tensor, " sets"]) -> None:
        """Add the sets of a batch."""
        self.right += (scores.detach().argmax(-1) == labels).sum()
        self.count += len(labels)

    def compute(self) -> Tensor:
        """Return the accuracy, from 0 to 1; NaN before the first update."""
        return self.right.double() / self.count


def shape_metrics() -> MetricCollection:
    """Return what a table of a classifier shows, by name."""
    return MetricCollection({"accuracy": ShapeAccuracy()}, compute_groups=False)
