"""The error by which classifiers of shapes are compared, as a torchmetrics metric."""

from jaxtyping import Float, Int64
from torch import Tensor
from torchmetrics import MetricCollection

from intertwine.training.metrics import Mean

__all__ = ["ShapeAccuracy", "shape_metrics"]


class ShapeAccuracy(Mean):
    """The part of all point sets whose class has the highest score; of equal scores the first counts.

    It is from 0 to 1. Of two mirror images with equal scores one is always right and the other always wrong.
    """

    higher_is_better = True

    def values(self, scores: Float[Tensor, "sets classes"], labels: Int64[Tensor, " sets"]) -> Tensor:
        """Return 1 for each set that is right, 0 for the others."""
        return (scores.detach().argmax(-1) == labels).double()


def shape_metrics() -> MetricCollection:
    """Return what a table of a classifier shows, by name."""
    return MetricCollection({"accuracy": ShapeAccuracy()}, compute_groups=False)
