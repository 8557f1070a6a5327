"""The card's experiment: the same network with three products, on the same simulations, over several seeds."""

import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from intertwine.reporting import ResultRow, Target
from intertwine.reporting.files import write_text
from intertwine.systems.segnn.evaluate import check, evaluate
from intertwine.systems.segnn.published import figure
from intertwine.systems.segnn.report import report
from intertwine.training.run import Run
from intertwine.training.trainer import train

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["reproduce"]

_PRODUCTS = ("clebsch_gordan", "gaunt", "gaunt_complete")
_DEGREES = {"charged5-l1": 1, "charged5-l2": 2}
_EXACT = Target("<", 1e-10)
_STRAIGHT_LINES = ("constant velocity", "fitted velocity")

Results = dict[tuple[str, str, str], dict[int, float]]
"""Numbers by case, metric and unit, then by seed."""


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    case: Literal["charged5-l1", "charged5-l2", "all"] = "charged5-l1",
) -> list[ResultRow]:
    """Run the experiment and return its rows.

    Args:
        scale: scale of the recipes.
        folder: where the runs are kept, one a product and seed.
        seeds: seeds of initial weights and data order; the card's are 0 and 1.
        console: where to show progress.
        case: the recipe to train, or all of them.
    """
    rows: list[ResultRow] = []
    for name in _DEGREES if case == "all" else (case,):
        results: Results = {}
        trivial: dict[str, dict[str, float]] = {}
        for seed in seeds or (0, 1):
            for product in _PRODUCTS:
                run, minutes = _train(name, product, scale, seed, Path(folder), console)
                results.setdefault((f"{name}/{product}", "training_time", "min"), {})[seed] = minutes
                for key, value in _measure(run, f"{name}/{product}", seed, console).items():
                    results.setdefault(key, {})[seed] = value
                trivial = _trivial(run)
        rows += [_row(key, values, scale, trivial) for key, values in results.items()]
        rows.append(_difference(name, results))
    return rows


def _train(
    name: str, product: str, scale: str, seed: int, folder: Path, console: "Console | None"
) -> tuple[Run, float]:
    from intertwine.training.recipes import load_recipe

    if console is not None:
        console.rule(f"segnn/{name}, {product}, scale {scale}, seed {seed}")
    began = time.perf_counter()
    loaded = load_recipe(f"segnn/{name}", scale=scale)
    overrides = {"seed": seed, "model.product": product}
    run = train(loaded, folder / f"{name}-{product}-{scale}-seed{seed}", overrides=overrides, console=console)
    return run, (time.perf_counter() - began) / 60


def _measure(run: Run, case: str, seed: int, console: "Console | None") -> dict[tuple[str, str, str], float]:
    """Evaluate, check and report one run; return its numbers by (case, metric, unit)."""
    evaluation = evaluate(run)
    evaluation.write(run.folder)
    (test_set,) = evaluation.sets
    metrics = ("position_mse", "mean_distance")
    found = {(case, row.metric, row.unit): row.value for row in evaluation.rows if row.metric in metrics}
    checked = check(run, rng=torch.Generator().manual_seed(seed))
    write_text(run.folder / "check.json", json.dumps(checked.to_dict(), indent=2) + "\n")
    found[case, "symmetry_error", ""] = checked.equivariance.worst.relative
    found[case, "weights", ""] = float(sum(weight.numel() for weight in run.model().parameters()))
    page = report(run)
    if console is not None:
        error = found[case, "position_mse", ""]
        console.print(f"{test_set}: mean squared error {error:.4g}, page: {page}", highlight=False, soft_wrap=True)
    return found


def _trivial(run: Run) -> dict[str, dict[str, float]]:
    """Return the errors of trivial predictions by metric and name, from the run's evaluation."""
    stored = json.loads((run.folder / "evaluation.json").read_text(encoding="utf-8"))["baselines"]
    found: dict[str, dict[str, float]] = {}
    for name, sets in stored.items():
        for metric, value in next(iter(sets.values())).items():
            found.setdefault(metric, {})[name] = value
    return found


def _row(
    key: tuple[str, str, str], values: dict[int, float], scale: str, trivial: dict[str, dict[str, float]]
) -> ResultRow:
    case, metric, unit = key
    name, _, product = case.partition("/")
    fields: dict[str, object] = {"unit": unit, "baselines": trivial.get(metric, {})}
    if metric == "position_mse":
        fields["paper"] = figure(product, _DEGREES[name])
        if scale != "smoke":
            fields["target"] = Target("<", min(trivial[metric][line] for line in _STRAIGHT_LINES))
    if metric == "symmetry_error":
        fields["target"] = _EXACT
    return ResultRow.over_seeds(case, metric, values, **fields)


def _difference(name: str, results: Results) -> ResultRow:
    """Return how far apart the errors with Clebsch-Gordan and with Gaunt products are, in the mean over seeds."""
    ours, theirs = (results[f"{name}/{product}", "position_mse", ""] for product in ("gaunt", "clebsch_gordan"))
    differences = [theirs[seed] - ours[seed] for seed in ours]
    spread = statistics.stdev(differences) if len(differences) > 1 else None
    value = abs(statistics.fmean(differences))
    case = f"{name}/clebsch_gordan against gaunt"
    return ResultRow(case, "position_mse_difference", value, spread=spread, seeds=tuple(ours))
