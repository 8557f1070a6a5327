"""Loss and optimiser groups of an interatomic potential.

loss = w_E mean_g (dE_g^2 / N_g) + w_F mean (dF^2) + w_S mean_g ((V dS)^2 / N_g^2), in eV and Å: the loss of the 3BPA
experiment (Luo, Chen, Krishnapriyan, ICLR 2024), with stress added.
"""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import MetricCollection

from intertwine.graphs import AtomBatch
from intertwine.systems.potential.data import PotentialData
from intertwine.systems.potential.metrics import training_metrics
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.settings import LossSettings, PotentialRecipe
from intertwine.training.losses import needed_label, weighted_sum
from intertwine.training.module import TrainingModule
from intertwine.training.settings import TrainingSettings

__all__ = ["PotentialTraining", "make_module", "potential_loss"]


class PotentialTraining(TrainingModule):
    """Trains a `Potential` on energies and forces, and on stress where the loss has a weight for it."""

    model: Potential

    def __init__(self, model: Potential, loss: LossSettings, training: TrainingSettings) -> None:
        self._has_forces = loss.forces > 0
        super().__init__(model, training)
        self.loss_settings = loss

    def loss(self, batch: AtomBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its unweighted terms."""
        shares = (self.share(batch.num_graphs), self.share(len(batch.positions)))
        return potential_loss(self._predict(batch), batch, self.loss_settings, shares)

    def validation(self, batch: AtomBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and update the metrics; no graph is kept for the forces."""
        with torch.no_grad():
            output = self._predict(batch)
            if metrics is not None:
                metrics.update(output, batch)
            return potential_loss(output, batch, self.loss_settings)

    def _predict(self, batch: AtomBatch) -> dict[str, Tensor]:
        settings = self.loss_settings
        return self.model(**batch.inputs(), compute_forces=settings.forces > 0, compute_stress=settings.stress > 0)

    def metrics(self) -> MetricCollection:
        """Energy and force errors in meV and meV/Å."""
        return training_metrics(forces=self._has_forces)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay acts on the mixing and product weights only, not on embedding, radial network and readout."""
        decays, others = [], []
        for name, parameter in self.model.named_parameters():
            mixes = ".mix" in name or ".contraction." in name
            (decays if mixes else others).append(parameter)
        return [{"params": decays}, {"params": others, "weight_decay": 0.0}]


def potential_loss(
    output: dict[str, Tensor],
    batch: AtomBatch,
    settings: LossSettings,
    shares: tuple[float, float] = (1.0, 1.0),
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted loss and its terms; labels that the batch lacks are an error where they have a weight.

    Args:
        output: what the model returns.
        batch: structures with their labels.
        settings: the weights.
        shares: factors of the means over structures and over atoms, see `TrainingModule.share`.

    Raises:
        ConfigError: if the loss has a weight for a label that the data do not have.
    """
    sizes = batch.num_atoms
    terms: dict[str, Tensor] = {}
    if settings.energy:
        # the difference of two large energies is taken in float64, then joins the others
        error = (output["energy"] - needed_label(batch.energy, "energy", settings)).to(batch.positions.dtype)
        terms["energy"] = (error.square() / sizes).mean()
    if settings.forces:
        terms["forces"] = (output["forces"] - needed_label(batch.forces, "forces", settings)).square().mean()
    if settings.stress:
        stress, volume = needed_label(batch.stress, "stress", settings), torch.linalg.det(batch.cell).abs()
        virial = (output["stress"] - stress) * volume[:, None, None]
        terms["stress"] = (virial.square().mean((-2, -1)) / sizes.square()).mean()
    return weighted_sum(terms, settings, {"energy": shares[0], "forces": shares[1], "stress": shares[0]})


def make_module(recipe: PotentialRecipe, data: PotentialData, *, rng: torch.Generator) -> PotentialTraining:
    """Build the untrained model, its constants taken from the training data."""
    model = Potential(
        recipe.model,
        atomic_energies=data.atomic_energies,
        shift=data.shift,
        scale=data.scale,
        mean_neighbours=data.mean_neighbours,
        rng=rng,
    )
    return PotentialTraining(model, recipe.loss, recipe.training)
