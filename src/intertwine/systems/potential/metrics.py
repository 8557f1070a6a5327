"""The errors by which interatomic potentials are compared, as torchmetrics.

Every metric is updated with a model's outputs and the batch they belong to: ``metric.update(outputs,
batch)``. Energies are in meV, forces in meV/Å, stress in meV/Å³.
"""

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.errors import DataError
from intertwine.graphs import AtomBatch
from intertwine.training.metrics import Mean

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


class _MeanError(Mean):
    """A mean over all entries of a power of the error, and its root."""

    higher_is_better = False
    factor = _MILLI
    label = ""
    power = 2

    def values(self, outputs: dict[str, Tensor], batch: AtomBatch) -> Tensor:
        """Return the power of the errors of a batch.

        Raises:
            DataError: if the batch has no such label.
        """
        predicted = outputs[self.label].detach().double()
        return self.reduced(predicted - self.target(batch), batch).abs().pow(self.power)

    def target(self, batch: AtomBatch) -> Tensor:
        """Return the label of a batch."""
        target = getattr(batch, self.label)
        if target is None:
            raise DataError(
                f"{type(self).__name__} needs structures with {self.label}",
                got=f"a batch without {self.label}",
                fix="leave this metric out for data that do not have the label",
            )
        return target.double()

    def reduced(self, values: Tensor, batch: AtomBatch) -> Tensor:
        """Return the entries to average; the values themselves unless a subclass divides them."""
        return values

    def compute(self) -> Tensor:
        """Return the error; NaN before the first update."""
        return self.factor * (self.total / self.count).pow(1 / self.power)


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

    label, unit, factor = "forces", "%", 100.0
    size: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("size", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, outputs: dict[str, Tensor], batch: AtomBatch) -> None:
        """Add the errors of a batch, and the size of what they are compared with."""
        super().update(outputs, batch)
        self.size += self.target(batch).square().sum()

    def compute(self) -> Tensor:
        """Return the error in percent; 100 is as good as predicting zero."""
        return self.factor * (self.total / self.size).sqrt()


class StressRMSE(_MeanError):
    """Root mean square error of the nine stress components, in meV/Å³."""

    label, unit = "stress", "meV/Å³"


class StressMAE(_MeanError):
    """Mean absolute error of the nine stress components, in meV/Å³."""

    label, unit, power = "stress", "meV/Å³", 1
