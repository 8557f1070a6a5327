"""Loss and optimiser groups of EquiformerV2.

loss = w_E mean_g |dE_g| / energy_std + w_F mean_i |dF_i| / force_std, over structures g and free atoms i: energies by
the absolute error, forces by the length of the error, in units of the network. (Liao et al., ICLR 2024.)
"""

from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import MetricCollection

from intertwine.nn import Linear
from intertwine.products.gaunt.channel_mixing import ChannelMixing
from intertwine.products.so2.linear import SO2Linear
from intertwine.systems.equiformer.data import SurfaceBatch, SurfaceData
from intertwine.systems.equiformer.metrics import surface_metrics
from intertwine.systems.equiformer.model import Equiformer
from intertwine.systems.equiformer.model.layers import Dense
from intertwine.systems.equiformer.settings import EquiformerRecipe, LossSettings
from intertwine.training.losses import needed_label, weighted_sum
from intertwine.training.module import TrainingModule
from intertwine.training.settings import TrainingSettings

__all__ = ["EquiformerTraining", "make_module", "surface_loss"]

_SHORTEST = 1e-6
"""Where the length of a force error (in units of the network) is rounded off, so that it has a gradient at zero."""


class EquiformerTraining(TrainingModule):
    """Trains an `Equiformer` on energies and forces."""

    model: Equiformer

    def __init__(self, model: Equiformer, loss: LossSettings, training: TrainingSettings) -> None:
        self._labelled = loss.energy > 0 and loss.forces > 0
        super().__init__(model, training)
        self.loss_settings = loss

    def loss(self, batch: SurfaceBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its unweighted terms."""
        counted = int(batch.free.sum()) if self.loss_settings.free_atoms_only else len(batch.free)
        shares = (self.share(batch.num_graphs), self.share(counted))
        return surface_loss(self.model(**batch.inputs()), batch, self.model, self.loss_settings, shares)

    def validation(self, batch: SurfaceBatch, metrics: MetricCollection | None) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and update the metrics."""
        with torch.no_grad():
            output = self.model(**batch.inputs())
            if metrics is not None:
                metrics.update(output, batch)
            return surface_loss(output, batch, self.model, self.loss_settings)

    def metrics(self) -> MetricCollection | None:
        """The measures of OC20, where the data have both labels."""
        return surface_metrics() if self._labelled else None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weight decay acts on the weights of linear maps only, not on biases, norms and embeddings.

        Those weights are kept at unit variance and divided by the root of their fan-in n at use. With the learning rate
        times sqrt(n) and the decay divided by it, what is used changes as in the published parametrisation.
        """
        others: list[Tensor] = []
        by_fan: dict[int, list[Tensor]] = {}
        fans = _fans(self.model)
        for parameter in self.model.parameters():
            fan = fans.get(id(parameter))
            (others if fan is None else by_fan.setdefault(fan, [])).append(parameter)
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        groups = [
            {"params": found, "lr": rate * fan**0.5, "weight_decay": decay / fan**0.5}
            for fan, found in sorted(by_fan.items())
        ]
        return [{"params": others, "weight_decay": 0.0}, *groups]


def surface_loss(
    output: dict[str, Tensor],
    batch: SurfaceBatch,
    model: Equiformer,
    settings: LossSettings,
    shares: tuple[float, float] = (1.0, 1.0),
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted loss and its terms.

    Args:
        output: what the network returns.
        batch: structures with their labels.
        model: gives the units.
        settings: the weights.
        shares: factors of the means over structures and over atoms, see `TrainingModule.share`.

    Raises:
        ConfigError: if the loss has a weight for a label that the data do not have.
    """
    atoms = batch.atoms
    terms: dict[str, Tensor] = {}
    if settings.energy:
        error = (output["energy"] - needed_label(atoms.energy, "energy", settings)).to(atoms.positions.dtype)
        terms["energy"] = error.abs().mean() / model.energy_std
    if settings.forces:
        error = (output["forces"] - needed_label(atoms.forces, "forces", settings)) / model.force_std
        if settings.free_atoms_only:
            error = error[batch.free]
        lengths = (error.square().sum(-1) + _SHORTEST**2).sqrt() - _SHORTEST
        terms["forces"] = lengths.sum() / max(len(lengths), 1)
    return weighted_sum(terms, settings, {"energy": shares[0], "forces": shares[1]})


def make_module(recipe: EquiformerRecipe, data: SurfaceData, *, rng: torch.Generator) -> EquiformerTraining:
    """Build the untrained network, its constants taken from the recipe and the training data."""
    model = Equiformer(recipe.model, references=data.references, **vars(data.statistics), rng=rng)
    return EquiformerTraining(model, recipe.loss, recipe.training)


def _fans(model: nn.Module) -> dict[int, int]:
    """Return the fan-in that a weight is divided by the root of, by the identity of the parameter."""
    fans: dict[int, int] = {}
    for module in model.modules():
        if isinstance(module, Dense):
            fans[id(module.weight)] = module.weight.shape[0]
        elif isinstance(module, Linear):  # features have equally many channels of every degree
            fans[id(module.weight)] = module.irreps_in[0].mul
        elif isinstance(module, ChannelMixing):
            fans |= {id(weight): weight.shape[0] for weight in module.weights}
        elif isinstance(module, SO2Linear):
            for name, weight in module.named_parameters():
                if name.startswith("weight_"):
                    fans[id(weight)] = weight.shape[0] * (1 if name == "weight_0" else 2)
    return fans
