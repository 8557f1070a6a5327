"""The experiment on charged particles: networks with and without frames, at equal numbers of steps, over seeds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from intertwine.reporting import Evaluation, ResultRow, Target
from intertwine.systems.frame_averaging.published.particles import figure, seconds
from intertwine.training.experiment import count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["CASES", "reproduce"]


@dataclass(frozen=True)
class Case:
    """One network.

    Args:
        recipe: that it starts from.
        changes: of the recipe.
        paper: name of the published network that it is.
    """

    recipe: str
    changes: dict[str, Any] = field(default_factory=dict)
    paper: str = ""


CASES = {
    "linear": Case("particles-gnn", {"particles.model.network": "linear"}, "Linear"),
    "gnn": Case("particles-gnn", {}, "GNN"),
    "gnn-distances": Case("particles-gnn", {"particles.model.distances": True}),
    "gnn-rotations": Case("particles-gnn", {"particles.model.distances": True, "particles.augmentation": "rotations"}),
    "radial-field": Case("particles-rf", {}, "Radial Field"),
    "egnn": Case("particles-egnn", {}, "EGNN"),
    "fa-gnn": Case("particles-fa-gnn", {}, "FA-GNN"),
    "fa-gnn-stochastic": Case("particles-fa-gnn", {"particles.model.frame.mode": "stochastic"}),
    "mfa-gnn": Case("particles-mfa-gnn", {}, "MFA-GNN"),
    "learned-gnn": Case("particles-learned-gnn", {}, "GNN with learned frames"),
    "gnn-aligned": Case("particles-gnn", {"particles.model.distances": True, "particles.poses": "aligned"}),
    "fa-gnn-aligned": Case("particles-fa-gnn", {"particles.poses": "aligned"}),
}
"""The networks, by the names of their rows."""

_UNCHANGED = Target("<", 1e-5)
_EXACT = Target("<", 1e-10)
_CURVE = "validation_position_mse"
_FRAMED, _PLAIN = "fa-gnn", ("gnn", "gnn-distances", "gnn-rotations")

Results = dict[tuple[str, str, str], dict[int, float]]
"""Numbers by case, metric and unit, then by seed."""


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    cases: tuple[str, ...] = tuple(CASES),
    minutes: float | None = None,
) -> list[ResultRow]:
    """Run the experiment and return its rows.

    Every network is trained on the same simulations for equally many steps, and measured with the weights that had the
    lowest validation error. Rows of ``mse_change`` are the size of the difference between the errors on the test set
    and on its turned copy. The simulations have no preferred direction, so that rotations raise the error of a network
    without symmetry only in the cases ``aligned``, where all samples lie along their principal axes until they are
    turned.

    Args:
        scale: scale of the recipes.
        folder: where the runs are kept, one for each network and seed.
        seeds: of initial weights and data order; the card's are 0, 1 and 2.
        console: where to show progress.
        cases: which networks, by name.
        minutes: most minutes that each trains, however many epochs its recipe has; rows
            ``validation_position_mse`` then say how far it came by when.
    """
    results: Results = {}
    curves: Results = {}
    trivial: dict[str, float] = {}
    for seed in seeds or (0, 1, 2):
        for name in cases:
            case = CASES[name]
            loaded = load_recipe(f"frame_averaging/{case.recipe}", scale=scale)
            title = f"particles, {name}, scale {scale}, seed {seed}"
            place = Path(folder) / f"particles-{name}-{scale}-seed{seed}"
            changes = {"seed": seed, **case.changes}
            if minutes is not None:
                changes["training.max_minutes"] = minutes
            run, took = train_timed(loaded, place, changes, title=title, console=console)
            evaluation, checked = measure_run(run, seed)
            write_run_page(run)
            numbers = _numbers(evaluation)
            numbers["symmetry_error", ""] = checked.equivariance.worst.relative
            numbers["weights", ""] = count_weights(run)
            numbers["training_time", "min"] = took / 60
            record(results, seed, {(f"particles/{name}", *key): value for key, value in numbers.items()})
            if minutes is not None:
                record(curves, seed, _curve(run, f"particles/{name}"))
            trivial = {
                baseline: sets[evaluation.sets[0]]["position_mse"] for baseline, sets in evaluation.baselines.items()
            }
            if console is not None:
                console.print(f"{name}: mean squared error {numbers['position_mse', '']:.4g}", highlight=False)
    rows = [_row(key, values, trivial) for key, values in results.items()]
    rows += [ResultRow.over_seeds(case, metric, values) for (case, metric, _), values in curves.items()]
    return rows + _ratios(results, scale)


def _curve(run: Run, name: str) -> dict[tuple[str, str, str], float]:
    """Return the validation error after the first, second, fourth, eighth ... validation, and after the last."""
    measured: list[tuple[str, float]] = []
    for row in run.metrics():
        error = row.get(_CURVE)
        if error is not None:
            measured.append((f"{name}, epoch {row['epoch']:.0f}", error))
    chosen = {2**power - 1 for power in range(len(measured).bit_length())} | {len(measured) - 1}
    return {(measured[place][0], _CURVE, ""): measured[place][1] for place in sorted(chosen) if place >= 0}


def _numbers(evaluation: Evaluation) -> dict[tuple[str, str], float]:
    """Return the numbers of the first test set and of its turned copy, by metric and unit."""
    plain, turned = evaluation.sets[:2]
    by_set = {(row.set, row.metric): row.value for row in evaluation.rows}
    return {
        ("position_mse", ""): by_set[plain, "position_mse"],
        ("mean_distance", ""): by_set[plain, "mean_distance"],
        ("turned_position_mse", ""): by_set[turned, "position_mse"],
        ("mse_change", ""): abs(by_set[turned, "position_mse"] - by_set[plain, "position_mse"]),
        ("turned_ratio", ""): by_set[turned, "position_mse"] / by_set[plain, "position_mse"],
        ("rotation_error", ""): by_set[turned, "rotation_error"],
        ("moved_position_mse", ""): float(evaluation.arrays[f"{plain}/error_by_shift"][-1]),
        ("forward_time", "s"): by_set[plain, "forward_time"],
    }


def _row(key: tuple[str, str, str], values: dict[int, float], trivial: dict[str, float]) -> ResultRow:
    case, metric, unit = key
    name = case.partition("/")[2]
    framed = CASES[name].recipe == CASES[_FRAMED].recipe and "stochastic" not in name
    fields: dict[str, Any] = {"unit": unit}
    if metric == "position_mse":
        fields["baselines"], fields["paper"] = trivial, figure(CASES[name].paper)
    if metric == "forward_time":
        fields["paper"] = seconds(CASES[name].paper)
    if metric == "mse_change" and framed:
        fields["target"] = _UNCHANGED
    if metric == "symmetry_error":
        fields["target"] = _EXACT
    return ResultRow.over_seeds(case, metric, values, **fields)


def _ratios(results: Results, scale: str) -> list[ResultRow]:
    """Return how the error of FA-GNN compares with those of networks without frames, seed by seed."""
    ours = results.get((f"particles/{_FRAMED}", "position_mse", ""))
    rows = []
    for name in _PLAIN:
        theirs = results.get((f"particles/{name}", "position_mse", ""))
        if ours is None or theirs is None:
            continue
        ratios = {seed: ours[seed] / theirs[seed] for seed in ours}
        target = None if scale == "smoke" else Target("<", 1.0)
        rows.append(ResultRow.over_seeds(f"particles/{_FRAMED} against {name}", "mse_ratio", ratios, target=target))
    return rows
