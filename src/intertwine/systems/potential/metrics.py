"""The errors by which interatomic potentials are compared, as torchmetrics.

Every metric is updated with a model's outputs and the batch they belong to: ``metric.update(outputs,
batch)``. Sums are kept in float64 and add up over batches and processes, so an error over ragged batches is
that of the whole set. Energies are in meV, forces in meV/Å, stress in meV/Å³.
"""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.errors import DataError
from intertwine.graphs import AtomBatch

__all__ = [
    "EnergyMAE",
    "EnergyMAEPerAtom",
    "EnergyRMSE",
    "EnergyRMSEPerAtom",
    "ForceMAE",
    "ForceRMSE",
    "RelativeForceRMSE",
    "StressMAE",
    "StressRMSE",
    "training_metrics",
]

_MILLI = 1000.0


def training_metrics(*, forces: bool = True, stress: bool = False) -> MetricCollection:
    """Return the errors that a table of a potential shows, by name, for the labels that the data have."""
    chosen: dict[str, Metric | MetricCollection] = {
        "energy_rmse": EnergyRMSE(),
        "energy_mae": EnergyMAE(),
        "energy_rmse_per_atom": EnergyRMSEPerAtom(),
        "energy_mae_per_atom": EnergyMAEPerAtom(),
    }
    if forces:
        chosen |= {"force_rmse": ForceRMSE(), "force_mae": ForceMAE(), "force_relative": RelativeForceRMSE()}
    if stress:
        chosen |= {"stress_rmse": StressRMSE(), "stress_mae": StressMAE()}
    # each metric has its own sums: groups would only save a little and share their state
    return MetricCollection(chosen, compute_groups=False)


class _MeanError(Metric):
    """A mean over all entries of a power of the error, and its root."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False
    label = ""
    unit = ""
    power = 2
    total: Tensor
    count: Tensor
    size: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self.add_state("size", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: dict[str, Tensor], batch: AtomBatch) -> None:
        """Add the errors of a batch.

        Raises:
            DataError: if the batch has no such label.
        """
        target = getattr(batch, self.label)
        if target is None:
            raise DataError(
                f"{type(self).__name__} needs structures with {self.label}",
                got=f"a batch without {self.label}",
                fix="leave this metric out for data that do not have the label",
            )
        predicted, target = outputs[self.label].detach().double(), target.double()
        error = self.reduced(predicted - target, batch)
        self.total += error.abs().pow(self.power).sum()
        self.size += self.reduced(target, batch).abs().pow(self.power).sum()
        self.count += error.numel()

    def reduced(self, values: Tensor, batch: AtomBatch) -> Tensor:
        """Return the entries to average; the values themselves unless a subclass divides them."""
        return values

    def compute(self) -> Tensor:
        """Return the error; NaN before the first update."""
        return _MILLI * (self.total / self.count).pow(1 / self.power)


class _PerAtom(_MeanError):
    def reduced(self, values: Tensor, batch: AtomBatch) -> Tensor:
        return values / batch.num_atoms


class EnergyRMSE(_MeanError):
    """Root mean square error of total energies, in meV per structure."""

    label, unit = "energy", "meV"


class EnergyMAE(_MeanError):
    """Mean absolute error of total energies, in meV per structure."""

    label, unit, power = "energy", "meV", 1


class EnergyRMSEPerAtom(_PerAtom):
    """Root mean square over structures of the energy error per atom, in meV/atom."""

    label, unit = "energy", "meV/atom"


class EnergyMAEPerAtom(_PerAtom):
    """Mean over structures of the absolute energy error per atom, in meV/atom."""

    label, unit, power = "energy", "meV/atom", 1


class ForceRMSE(_MeanError):
    """Root mean square error of force components, in meV/Å."""

    label, unit = "forces", "meV/Å"


class ForceMAE(_MeanError):
    """Mean absolute error of force components, in meV/Å."""

    label, unit, power = "forces", "meV/Å", 1


class RelativeForceRMSE(_MeanError):
    """Root mean square error of force components in % of the root mean square of the true ones."""

    label, unit = "forces", "%"

    def compute(self) -> Tensor:
        """Return the error in percent; 100 is as good as predicting zero."""
        return 100.0 * (self.total / self.size).sqrt()


class StressRMSE(_MeanError):
    """Root mean square error of the nine stress components, in meV/Å³."""

    label, unit = "stress", "meV/Å³"


class StressMAE(_MeanError):
    """Mean absolute error of the nine stress components, in meV/Å³."""

    label, unit, power = "stress", "meV/Å³", 1
