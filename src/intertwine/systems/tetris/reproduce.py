"""The card's experiment: which tensor products can tell two mirror images apart, over seeds."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intertwine.reporting import ResultRow, Target
from intertwine.systems.tetris.published import figure
from intertwine.systems.tetris.settings import PRODUCT_NAMES, ProductName
from intertwine.training.experiment import count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["reproduce"]

_ALL_RIGHT, _ONE_LOST, _NEVER_MORE = Target("==", 1.0), Target("==", 0.875), Target("<=", 0.875)
_EXACT = Target("<", 1e-9)
_UNITS = {"training_time": "s"}


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    product: ProductName | Literal["all"] = "all",
    lmax: tuple[int, ...] | None = None,
) -> list[ResultRow]:
    """Train on the eight shapes with every product, degree and seed, and return the rows.

    Args:
        scale: scale of the recipe.
        folder: where the runs are kept, one a product, degree and seed.
        seeds: seeds of initial weights and rotations; the card's are 0 to 4.
        console: where to show progress.
        product: one of the products, or ``all`` of them.
        lmax: largest degrees of the hidden features; the card's are 1 and 2, those of the paper 1 to 4.
    """
    rows: list[ResultRow] = []
    loaded = load_recipe("tetris/shapes", scale=scale)
    degrees = lmax or {"paper": (1, 2, 3, 4), "cpu": (1, 2), "smoke": (1,)}[scale]
    for degree in degrees:
        for name in PRODUCT_NAMES if product == "all" else (product,):
            results: dict[str, dict[int, float]] = {}
            baselines: dict[str, float] = {}
            for seed in seeds or (0, 1, 2, 3, 4):
                if console is not None:  # a run takes seconds: one line says enough
                    title = f"tetris/shapes, scale {scale}: {name}, lmax {degree}, seed {seed}"
                    console.print(title, highlight=False)
                changes = {"model.product": name, "model.lmax": degree, "seed": seed}
                place = Path(folder) / f"{name}-lmax{degree}-{scale}-seed{seed}"
                run, seconds = train_timed(loaded, place, changes)
                found, baselines = _measure(run, seed)
                record(results, seed, found | {"training_time": seconds})
            rows += [_row(name, degree, metric, values, scale, baselines) for metric, values in results.items()]
    return rows


def _measure(run: Run, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Evaluate and check one run; return its numbers by metric, and the accuracies of the baselines."""
    evaluation, checked = measure_run(run, seed, trials=4)
    (test_set,) = evaluation.sets
    found = {row.metric: row.value for row in evaluation.rows if row.metric in ("accuracy", "mirror_accuracy")}
    validated = [
        (float(row["step"] or 0), accuracy)
        for row in run.metrics()
        if (accuracy := row["validation_accuracy"]) is not None
    ]
    # the weights that are kept are those of the lowest loss: an accuracy may have been higher on the way
    highest = max(accuracy for _, accuracy in validated)
    found["highest_accuracy"] = max(found["accuracy"], highest)
    found["steps"] = next(step for step, accuracy in validated if accuracy == highest)
    found["symmetry_error"] = checked.equivariance.worst.relative
    found["parameters"] = count_weights(run)
    if seed == 0:
        write_run_page(run)  # a page holds all of its scripts: one for each product and degree is enough
    return found, {name: sets[test_set]["accuracy"] for name, sets in evaluation.baselines.items()}


def _row(
    product: str, lmax: int, metric: str, values: dict[int, float], scale: str, baselines: dict[str, float]
) -> ResultRow:
    case, blind = f"{product}/lmax{lmax}", product == "gaunt"
    if metric == "highest_accuracy":  # of all seeds and steps: a mean would hide the one that should not be
        target = _NEVER_MORE if blind else None
        return ResultRow(case, metric, max(values.values()), seeds=tuple(values), target=target)
    fields: dict[str, object] = {"unit": _UNITS.get(metric, ""), "paper": figure(product, metric)}
    if metric == "accuracy":
        fields["baselines"] = baselines
    if metric in ("accuracy", "mirror_accuracy") and scale != "smoke":
        fields["target"] = _ONE_LOST if blind else _ALL_RIGHT
    if metric == "symmetry_error":
        fields["target"] = _EXACT
    return ResultRow.over_seeds(case, metric, values, **fields)
