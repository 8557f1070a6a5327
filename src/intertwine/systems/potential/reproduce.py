"""The card's experiment: train on 3BPA (and AcAc), measure errors, symmetry and energy drift, and write the pages."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from intertwine.reporting import ResultRow, Target
from intertwine.systems.potential.published import figure
from intertwine.training.experiment import baseline_errors, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["reproduce"]

_TARGETS = {("3bpa", "dev_300K"): 70.0, ("3bpa", "dev_600K"): 120.0, ("3bpa", "dev_1200K"): 240.0}
"""Largest force RMSE (meV/Å) that the `cpu` scale has to reach."""
_EXACT = Target("<", 1e-10)


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    case: Literal["3bpa", "acac", "all"] = "all",
    nve_steps: int = 2000,
) -> list[ResultRow]:
    """Run the experiment and return its rows.

    Args:
        scale: scale of the recipes.
        folder: where the runs are kept, one a case and seed.
        seeds: seeds of initial weights and data order; the card's are 0, 1, 2.
        console: where to show progress.
        case: the data set to train on, or all of them.
        nve_steps: steps of 0.5 fs at constant energy, from the first test structure at 300 K.
    """
    rows: list[ResultRow] = []
    for name in ("3bpa", "acac") if case == "all" else (case,):
        loaded = load_recipe(f"potential/{name}", scale=scale)
        results: dict[tuple[str, str, str], dict[int, float]] = {}
        baselines: dict[tuple[str, str], float] = {}
        for seed in seeds or (0, 1, 2):
            place = Path(folder) / f"{name}-{scale}-seed{seed}"
            title = f"potential/{name}, scale {scale}, seed {seed}"
            run, seconds = train_timed(loaded, place, {"seed": seed}, title=title, console=console)
            numbers, baselines = _measure(run, name, seed, nve_steps, console)
            record(results, seed, {(name, "training_time", "min"): seconds / 60, **numbers})
        rows += [_row(key, values, scale, baselines) for key, values in results.items()]
    return rows


def _measure(
    run: Run, name: str, seed: int, nve_steps: int, console: "Console | None"
) -> tuple[dict[tuple[str, str, str], float], dict[tuple[str, str], float]]:
    """Evaluate, check, simulate and report one run.

    Returns its numbers by (case, metric, unit), and the errors of a model that predicts zero by test set and metric.
    """
    found: dict[tuple[str, str, str], float] = {}
    evaluation, checked = measure_run(run, seed)
    for row in evaluation.rows:
        if row.metric in ("energy_rmse", "force_rmse"):
            found[f"{name}/{row.set}", row.metric, row.unit] = row.value
    found[name, "symmetry_error", ""] = checked.equivariance.worst.relative
    if checked.conservativeness is not None:
        found[name, "force_jacobian_asymmetry", ""] = checked.conservativeness.jacobian_asymmetry
    drift, deviation = _simulate(run, nve_steps, seed)
    found[name, "nve_drift", "meV/atom/ps"] = abs(drift)
    found[name, "nve_deviation", "meV/atom"] = deviation
    page = write_run_page(run)
    if console is not None:
        console.print(f"page: {page}", highlight=False, soft_wrap=True)
    return found, baseline_errors(evaluation)


def _simulate(run: Run, steps: int, seed: int) -> tuple[float, float]:
    """Energy drift and largest deviation of an NVE run of the first test structure, kept in the run's folder."""
    from intertwine.atoms import read_frames
    from intertwine.systems.potential.calculator import IntertwineCalculator
    from intertwine.systems.potential.md import MDSettings, run_md
    from intertwine.training.datasets import find_data

    first = next(iter(run.recipe().data.test.values()))
    atoms = read_frames(find_data(first))[0].atoms
    settings = MDSettings(steps=steps, time_step=0.5, temperature=300.0, every=max(1, steps // 200), seed=seed)
    calculator = IntertwineCalculator(run.model(), dtype=torch.float64)
    result = run_md(calculator, atoms, settings, output=run.folder / "md" / "nve.extxyz")
    return float(result.drift_mev_per_atom_ps or 0.0), float(result.max_deviation_mev_per_atom or 0.0)


def _row(
    key: tuple[str, str, str],
    values: dict[int, float],
    scale: str,
    baselines: dict[tuple[str, str], float],
) -> ResultRow:
    case, metric, unit = key
    name, _, test_set = case.partition("/")
    fields: dict[str, object] = {"unit": unit}
    if test_set:
        fields["paper"] = figure(f"potential/{name}", test_set, metric)
        if (test_set, metric) in baselines:
            fields["baselines"] = {"zero model": baselines[test_set, metric]}
        if scale == "cpu" and metric == "force_rmse" and (name, test_set) in _TARGETS:
            fields["target"] = Target("<", _TARGETS[name, test_set])
    if metric in ("symmetry_error", "force_jacobian_asymmetry"):
        fields["target"] = _EXACT
    return ResultRow.over_seeds(case, metric, values, **fields)
