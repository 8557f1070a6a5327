"""The card's experiment: the same network with three products, on the same simulations, over several seeds."""

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intertwine.reporting import Evaluation, ResultRow, Target
from intertwine.systems.segnn.published import figure
from intertwine.training.experiment import count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import Run

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
        loaded = load_recipe(f"segnn/{name}", scale=scale)
        results: Results = {}
        trivial: dict[str, dict[str, float]] = {}
        for seed in seeds or (0, 1):
            for product in _PRODUCTS:
                case_name, changes = f"{name}/{product}", {"seed": seed, "model.product": product}
                title = f"segnn/{name}, {product}, scale {scale}, seed {seed}"
                place = Path(folder) / f"{name}-{product}-{scale}-seed{seed}"
                run, seconds = train_timed(loaded, place, changes, title=title, console=console)
                numbers, trivial = _measure(run, case_name, seed, console)
                record(results, seed, {(case_name, "training_time", "min"): seconds / 60, **numbers})
        rows += [_row(key, values, scale, trivial) for key, values in results.items()]
        rows.append(_difference(name, results))
    return rows


def _measure(
    run: Run, case: str, seed: int, console: "Console | None"
) -> tuple[dict[tuple[str, str, str], float], dict[str, dict[str, float]]]:
    """Evaluate, check and report one run.

    Returns its numbers by (case, metric, unit), and the errors of trivial predictions by metric and name.
    """
    evaluation, checked = measure_run(run, seed)
    (test_set,) = evaluation.sets
    metrics = ("position_mse", "mean_distance")
    found = {(case, row.metric, row.unit): row.value for row in evaluation.rows if row.metric in metrics}
    found[case, "symmetry_error", ""] = checked.equivariance.worst.relative
    found[case, "weights", ""] = count_weights(run)
    page = write_run_page(run)
    if console is not None:
        error = found[case, "position_mse", ""]
        console.print(f"{test_set}: mean squared error {error:.4g}, page: {page}", highlight=False, soft_wrap=True)
    return found, _trivial(evaluation)


def _trivial(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """Return the errors of trivial predictions by metric and name."""
    found: dict[str, dict[str, float]] = {}
    for name, sets in evaluation.baselines.items():
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
