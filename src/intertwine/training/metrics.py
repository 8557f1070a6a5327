"""Means over a whole test set, as torchmetrics: the base of the systems' metrics, and their numbers with units.

Sums are kept in float64 and add up over batches and processes, so a mean over ragged batches is that of the whole set.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

__all__ = ["Mean", "with_units"]


class Mean(Metric):
    """A mean of the numbers that a subclass makes of predictions and batches, times a factor.

    ``metric.update(predictions, batch)`` adds a batch. A subclass defines `values`, and sets ``unit``, ``factor`` and
    ``higher_is_better``.
    """

    is_differentiable = False
    full_state_update = False
    unit: ClassVar[str] = ""
    factor: ClassVar[float] = 1.0
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predictions: Any, batch: Any, /) -> None:
        """Add a batch; errors are those of `values`."""
        values = self.values(predictions, batch).detach()
        self.total += values.sum(dtype=torch.float64)
        self.count += values.numel()

    def values(self, predictions: Any, batch: Any, /) -> Tensor:
        """Return the numbers to average, of any shape; what they are made of is to be converted to float64 first."""
        raise NotImplementedError(f"{type(self).__name__} must define values(predictions, batch)")

    def compute(self) -> Tensor:
        """Return the mean; NaN before the first update."""
        return self.factor * self.total / self.count


def with_units(metrics: MetricCollection) -> dict[str, tuple[float, str]]:
    """Return the number of each metric, and its unit where it has one."""
    units = {name: str(getattr(metric, "unit", "")) for name, metric in metrics.items()}
    return {name: (float(value), units[name]) for name, value in metrics.compute().items()}
