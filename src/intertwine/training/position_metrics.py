"""The errors by which predicted positions are compared, as torchmetrics.

Every metric is updated with predicted positions and the batch they belong to: ``metric.update(predicted, batch)``.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.errors import DataError
from intertwine.particles import ParticleBatch
from intertwine.training.metrics import Mean

__all__ = ["MeanDistance", "PositionMAE", "PositionMSE", "position_metrics"]


def position_metrics() -> MetricCollection:
    """Return the errors that a table of a predictor shows, by name."""
    chosen: dict[str, Metric | MetricCollection] = {
        "position_mse": PositionMSE(),
        "position_mae": PositionMAE(),
        "mean_distance": MeanDistance(),
    }
    # each metric has its own sums: groups would only save a little and share their state
    return MetricCollection(chosen, compute_groups=False)


class _PositionError(Mean):
    """A mean of numbers that a subclass makes of the errors of positions."""

    higher_is_better = False

    def values(self, predicted: Float[Tensor, "nodes 3"], batch: ParticleBatch) -> Tensor:
        """Return the numbers to average.

        Raises:
            DataError: if the batch has no targets.
        """
        if batch.targets is None:
            raise DataError(
                f"{type(self).__name__} needs later positions to compare with",
                got="a batch without targets",
                fix="use `intertwine predict` for simulations whose future is not known",
            )
        return self.numbers(predicted.detach().double() - batch.targets.double())

    def numbers(self, error: Float[Tensor, "nodes 3"]) -> Tensor:
        """Return the numbers to average."""
        raise NotImplementedError(f"{type(self).__name__} must define numbers(error)")


class PositionMSE(_PositionError):
    """Mean over coordinates of the squared error: the published metric."""

    def numbers(self, error: Float[Tensor, "nodes 3"]) -> Tensor:
        """Return the squared errors."""
        return error.square()


class PositionMAE(_PositionError):
    """Mean over coordinates of the absolute error."""

    def numbers(self, error: Float[Tensor, "nodes 3"]) -> Tensor:
        """Return the absolute errors."""
        return error.abs()


class MeanDistance(_PositionError):
    """Mean over particles of the distance between predicted and true position; a few close encounters weigh less."""

    def numbers(self, error: Float[Tensor, "nodes 3"]) -> Tensor:
        """Return the distances."""
        return torch.linalg.vector_norm(error, dim=-1)
