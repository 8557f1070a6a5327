"""The measures by which networks are compared on OC20, as torchmetrics.

Energies are in meV, forces in meV/Å, on free atoms only: those that a relaxation moves. Every metric is updated with a
network's outputs and the batch they belong to. (Chanussot et al., "Open Catalyst 2020", ACS Catalysis 11,
6059 (2021), section 3.)
"""

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.errors import DataError
from intertwine.systems.equiformer.data.graphs import SurfaceBatch
from intertwine.training.metrics import Mean

__all__ = ["EnergyForcesWithin", "EnergyMAE", "ForceCosine", "ForceMAE", "known", "surface_metrics"]


def known(batch: SurfaceBatch, label: Literal["energy", "forces"]) -> Tensor:
    """Return a label of a batch.

    Raises:
        DataError: if the batch does not have it.
    """
    value = getattr(batch.atoms, label)
    if value is None:
        raise DataError(
            f"the measures of OC20 need structures with {label}",
            got=f"a batch without {label}",
            fix="leave this measure out for data that do not have the label",
        )
    return value


def surface_metrics() -> MetricCollection:
    """Return the four measures, by name."""
    chosen: dict[str, Metric | MetricCollection] = {
        "energy_mae": EnergyMAE(),
        "force_mae": ForceMAE(),
        "force_cosine": ForceCosine(),
        "efwt": EnergyForcesWithin(),
    }
    return MetricCollection(chosen, compute_groups=False)


class EnergyMAE(Mean):
    """Mean absolute error of the energies, in meV."""

    higher_is_better = False
    unit, factor = "meV", 1000.0

    def values(self, outputs: dict[str, Tensor], batch: SurfaceBatch) -> Tensor:
        """Return one error a structure, in eV."""
        return _energy_error(outputs, batch)


class ForceMAE(Mean):
    """Mean absolute error of the force components on free atoms, in meV/Å."""

    higher_is_better = False
    unit, factor = "meV/Å", 1000.0

    def values(self, outputs: dict[str, Tensor], batch: SurfaceBatch) -> Tensor:
        """Return three errors a free atom, in eV/Å."""
        predicted, target = _free_forces(outputs, batch)
        return (predicted - target).abs()


class ForceCosine(Mean):
    """Mean over free atoms of the cosine of the angle between predicted and true force; 0 where one is zero."""

    higher_is_better = True

    def values(self, outputs: dict[str, Tensor], batch: SurfaceBatch) -> Tensor:
        """Return one cosine a free atom."""
        return torch.nn.functional.cosine_similarity(*_free_forces(outputs, batch), dim=-1)


class EnergyForcesWithin(Mean):
    """EFwT: the part of the structures, in %, whose energy and forces are both close enough to be of use.

    The energy is off by 0.02 eV at most, and each force component on a free atom by 0.03 eV/Å at most.
    """

    higher_is_better = True
    unit, factor = "%", 100.0
    energy_limit: ClassVar[float] = 0.02
    force_limit: ClassVar[float] = 0.03

    def values(self, outputs: dict[str, Tensor], batch: SurfaceBatch) -> Tensor:
        """Return 1 for each structure that counts, 0 for the others."""
        predicted, target = _free_forces(outputs, batch)
        largest = (predicted - target).abs().amax(-1)
        worst = torch.zeros(batch.num_graphs, dtype=torch.float64, device=largest.device)
        worst = worst.scatter_reduce(0, batch.atoms.graph_index[batch.free], largest, "amax")
        close = _energy_error(outputs, batch) <= self.energy_limit
        return (close & (worst <= self.force_limit)).double()


def _energy_error(outputs: dict[str, Tensor], batch: SurfaceBatch) -> Tensor:
    return (outputs["energy"].detach().double() - known(batch, "energy")).abs()


def _free_forces(outputs: dict[str, Tensor], batch: SurfaceBatch) -> tuple[Tensor, Tensor]:
    return outputs["forces"].detach().double()[batch.free], known(batch, "forces")[batch.free].double()
