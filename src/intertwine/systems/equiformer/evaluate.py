"""The errors of a trained network on its test sets, and the check of what it keeps of its symmetry."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import replace
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from intertwine.graphs import segment_sum
from intertwine.reporting import Evaluation, EvaluationRow
from intertwine.symmetry import CheckReport, check_forces, equivariance_error, localise
from intertwine.symmetry.conservative import ConservativenessReport
from intertwine.symmetry.report import rounding_limit
from intertwine.systems.equiformer.data import SurfaceBatch, SurfaceData, collate_surfaces
from intertwine.systems.equiformer.data.module import GraphSet
from intertwine.systems.equiformer.metrics import known, surface_metrics
from intertwine.systems.equiformer.model import Equiformer
from intertwine.systems.equiformer.published import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.metrics import with_units
from intertwine.training.run import Run

__all__ = ["GRID_TOLERANCE", "check", "check_batch", "check_model", "evaluate", "evaluate_batches"]

GRID_TOLERANCE = 0.05
"""Largest error of rotations, relative to the largest output, that counts as the aliasing of a sphere grid."""

_KEPT = 5000
"""Structures of a test set whose predictions are kept for pictures."""


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return the measures of OC20 on every test set of the run's recipe, and their means over the sets.

    Beside them stand a network that predicts the mean energy and no force, and published figures where they apply.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe has no test set.
    """
    data = SurfaceData(run.recipe())
    data.setup("test")

    def measure(model: Equiformer, graphs: GraphSet) -> Measured:
        values, arrays, trivial = evaluate_batches(model, data.loader(graphs))
        return Measured(values, len(graphs), arrays, {"zero model": trivial})

    found = evaluate_sets(run, data.test_sets, measure, device=device)
    names = tuple(data.test_sets)
    means = _means(found.rows) if len(names) > 1 else []
    versions = run.versions()
    return replace(found, rows=(*found.rows, *means), paper=published(versions["recipe"], versions["scale"], names))


def evaluate_batches(
    model: Equiformer, batches: Iterable[SurfaceBatch]
) -> tuple[dict[str, tuple[float, str]], dict[str, np.ndarray], dict[str, float]]:
    """Return measures with their units, predictions beside references as arrays, and the measures of a zero model.

    The arrays are for pictures, and of the first structures only: OC20's splits have a million each.

    Args:
        model: the network.
        batches: with labels.
    """
    metrics, trivial = surface_metrics(), surface_metrics()
    parameter = next(model.parameters())
    parts: dict[str, list[Tensor]] = {}
    kept = 0
    for batch in batches:
        moved = batch.to(parameter.device, parameter.dtype)
        with torch.no_grad():
            output = model(**moved.inputs())
        metrics.update(output, moved)
        constant = segment_sum(model.reference_energy(moved.atoms.species), moved.atoms.graph_index, moved.num_graphs)
        nothing = {"energy": constant + model.energy_mean, "forces": torch.zeros_like(output["forces"])}
        trivial.update(nothing, moved)
        if kept >= _KEPT:
            continue
        kept += batch.num_graphs
        found = {"energy": output["energy"], "energy_reference": known(moved, "energy"), "atoms": moved.atoms.num_atoms}
        found |= {"forces": output["forces"][moved.free], "forces_reference": known(moved, "forces")[moved.free]}
        found["numbers"] = moved.atoms.species[moved.free] + 1
        for name, value in found.items():
            parts.setdefault(name, []).append(value.cpu())
    arrays = {name: torch.cat(tensors).numpy() for name, tensors in parts.items()}
    return with_units(metrics), arrays, {name: float(value) for name, value in trivial.compute().items()}


def _means(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    metrics = dict.fromkeys((row.metric, row.unit) for row in rows)
    return [
        EvaluationRow(
            "mean",
            metric,
            fmean(row.value for row in rows if row.metric == metric),
            unit,
            sum(row.frames or 0 for row in rows if row.metric == metric),
        )
        for metric, unit in metrics
    ]


def check(run: Run, *, trials: int = 8, rng: torch.Generator, structures: int = 2) -> CheckReport:
    """Measure the symmetry of the run's network in float64, on structures of its own data.

    With activations on a sphere grid rotations are kept approximately: the number is reported, and an error within
    `GRID_TOLERANCE` counts as the grid's as long as translations and permutations are kept to rounding. Forces are not
    the gradient of the energy, and are not claimed to be: how far they are from it is measured and noted.

    Args:
        run: a finished run.
        trials: group elements drawn of each kind.
        rng: source of the elements.
        structures: how many to check on, the first of the validation set.
    """
    return check_model(run.model(), check_batch(run, structures), name=run.name, trials=trials, rng=rng)


def check_batch(run: Run, structures: int = 2) -> SurfaceBatch:
    """Return the first validation structures of a run's data, in float64."""
    data = SurfaceData(run.recipe())
    data.setup("fit")
    some = range(min(structures, len(data.validation_set)))
    return collate_surfaces([data.validation_set[place] for place in some])


def check_model(
    model: Equiformer, batch: SurfaceBatch, *, name: str = "equiformer", trials: int = 8, rng: torch.Generator
) -> CheckReport:
    """Return the check of a network on a batch; see `check`.

    Energies are taken without mean and references, beside which a wrong energy could look like rounding.
    """
    model = deepcopy(model)
    model.references, model.energy_mean = {}, 0.0
    inputs = batch.inputs()
    law = equivariance_error(model, inputs, trials=trials, rng=rng)
    tolerance, notes = None, []
    if model.settings.on_grid:
        limit = rounding_limit(law.dtype)
        if all(law.part(part).relative <= limit for part in ("translations", "permutations")):
            tolerance = GRID_TOLERANCE
        notes.append(
            f"Activations on a sphere grid of degree {model.settings.grid_degree} keep rotations approximately; "
            "gates (`model.attention_activation`, `model.feed_forward_activation`) keep them exactly, and a higher "
            "`model.grid_degree` comes nearer."
        )
    found = None if law.passed(tolerance) else localise(model, inputs, rng=rng)
    measured, more = check_forces(model, inputs, rng=rng)
    if measured is not None:
        notes.append(_conservation_note(measured))
    return CheckReport(name, law, found, None, tolerance, (*notes, *more))


def _conservation_note(measured: ConservativenessReport) -> str:
    """Return what was measured of forces that do not claim to be a gradient."""
    return (
        "Forces come from a head of their own and do not claim to be a gradient. Measured: the force Jacobian is "
        f"asymmetric by {measured.jacobian_asymmetry:.2e} of its size, and forces and -dE/dx differ by "
        f"{measured.energy_mismatch or 0.0:.2e} of the forces. Molecular dynamics with them does not conserve energy."
    )
