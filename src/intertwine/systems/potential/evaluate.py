"""The errors of a trained potential on its test sets, and the check of its symmetry."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from intertwine.graphs import AtomGraph, collate
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.potential.data import PotentialData
from intertwine.systems.potential.metrics import training_metrics
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.published import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.metrics import with_units
from intertwine.training.run import Run

__all__ = ["check", "evaluate", "evaluate_graphs"]


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return errors on every test set of the run's recipe, beside a model that predicts zero and published ones.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe names no test set.
    """
    recipe = run.recipe()
    data = PotentialData(recipe)
    data.setup("test")

    def measure(model: Potential, graphs: Sequence[AtomGraph]) -> Measured:
        values, found = evaluate_graphs(model, graphs, recipe.training.evaluation_batch_size)
        return Measured(values, len(graphs), found, {"zero model": _zero_model(found)})

    found = evaluate_sets(run, data.test_graphs, measure, device=device)
    return replace(found, paper=published(run.versions()["recipe"], tuple(data.test_graphs)))


def evaluate_graphs(
    model: Potential, graphs: Sequence[AtomGraph], batch_size: int
) -> tuple[dict[str, tuple[float, str]], dict[str, np.ndarray]]:
    """Return errors with their units, and predictions beside references as arrays.

    Forces and stress are measured where the structures have them.
    """
    has_forces, has_stress = graphs[0].forces is not None, graphs[0].stress is not None
    metrics = training_metrics(forces=has_forces, stress=has_stress)
    dtype, device = next(model.parameters()).dtype, next(model.parameters()).device
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(graphs), batch_size):
        batch = collate(list(graphs[start : start + batch_size])).to(device=device, dtype=dtype)
        with torch.no_grad():
            output = model(**batch.inputs(), compute_stress=has_stress)
        metrics.update(output, batch)
        found = {"energy": output["energy"], "energy_reference": batch.energy, "atoms": batch.num_atoms}
        if has_forces:
            found |= {"forces": output["forces"], "forces_reference": batch.forces}
        found["numbers"] = torch.tensor(model.species, device=device)[batch.species]
        for name, value in found.items():
            parts.setdefault(name, []).append(value.cpu())
    return with_units(metrics), {name: torch.cat(tensors).numpy() for name, tensors in parts.items()}


def _zero_model(arrays: dict[str, np.ndarray]) -> dict[str, float]:
    """Errors of predicting no force and the mean energy: what any trained model has to beat."""
    found = {"energy_rmse": float(arrays["energy_reference"].std()) * 1e3}
    if "forces_reference" in arrays:
        found["force_rmse"] = float(np.sqrt(np.square(arrays["forces_reference"], dtype=float).mean())) * 1e3
    return found


def check(run: Run, *, trials: int = 8, rng: torch.Generator, frames: int = 2) -> CheckReport:
    """Measure symmetry and conservation of the run's model in float64, on structures of its own data.

    Energies are taken without the constants of the elements: beside 10^4 eV a wrong energy would look like rounding.

    Args:
        run: a finished run.
        trials: group elements drawn of each kind.
        rng: source of the elements.
        frames: structures to check on, the first of the validation set.
    """
    data = PotentialData(run.recipe())
    data.setup("fit")
    model = run.model()
    model.atomic_energies, model.shift = dict.fromkeys(model.atomic_energies, 0.0), 0.0
    batch = collate(data.validation_graphs[:frames])
    periodic = bool(batch.cell.any())
    inputs = batch.inputs() | {"compute_stress": periodic}
    return check_module(model, inputs, name=run.name, trials=trials, rng=rng)
