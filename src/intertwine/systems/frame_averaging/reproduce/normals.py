"""The experiment on normals: networks with and without frames on clouds as they lie and turned, over seeds."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from intertwine.reporting import Evaluation, ResultRow, Target
from intertwine.systems.frame_averaging.published.normals import figure
from intertwine.training.experiment import count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["CASES", "Case", "reproduce"]


@dataclass(frozen=True)
class Case:
    """One network in one regime.

    Args:
        recipe: that it starts from.
        paper: name of the published network that it is.
        changes: of the recipe.
    """

    recipe: str
    paper: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def turned(self) -> bool:
        """Whether training clouds are turned."""
        return self.changes.get("normals.data.regime") == "SO(3)"

    @property
    def framed(self) -> bool:
        """Whether it is averaged over frames."""
        return "fa-" in self.recipe


_TURNED = {"normals.data.regime": "SO(3)"}
CASES = {
    "fa-pointnet": Case("normals-fa-pointnet", "FA-PointNet"),
    "pointnet": Case("normals-pointnet", "PointNet"),
    "fa-local-pointnet": Case("normals-fa-local-pointnet", "FA-Local-PointNet"),
    "vn-pointnet": Case("normals-vn-pointnet", "VN-PointNet"),
    "vn-dgcnn": Case("normals-vn-dgcnn", "VN-DGCNN"),
    "fa-dgcnn": Case("normals-fa-dgcnn", "FA-DGCNN"),
    "dgcnn": Case("normals-dgcnn", "DGCNN"),
    "fa-pointnet-so3": Case("normals-fa-pointnet", "FA-PointNet", _TURNED),
    "pointnet-so3": Case("normals-pointnet", "PointNet", _TURNED),
}
"""The networks, by the names of their rows."""

Results = dict[tuple[str, str, str], dict[int, float]]
"""Numbers by case, metric and unit, then by seed."""


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    cases: tuple[str, ...] = tuple(CASES),
) -> list[ResultRow]:
    """Run the experiment and return its rows.

    Every network is trained on the same meshes for equally many epochs and measured on one sample of the test meshes,
    as they lie and each turned by its own rotation; the baselines, plane fits and random directions, see the same
    points. Rows ``ratio_from_one`` are how far the ratio of the two errors is from 1.

    Args:
        scale: scale of the recipes.
        folder: where the runs are kept, one for each network and seed.
        seeds: of initial weights and of all draws in training; the card's are 0, 1 and 2.
        console: where to show progress.
        cases: which networks, by name.
    """
    results: Results = {}
    baselines: dict[str, float] = {}
    for seed in seeds or (0, 1, 2):
        for name in cases:
            case = CASES[name]
            loaded = load_recipe(f"frame_averaging/{case.recipe}", scale=scale)
            title = f"normals, {name}, scale {scale}, seed {seed}"
            place = Path(folder) / f"normals-{name}-{scale}-seed{seed}"
            run, took = train_timed(loaded, place, {"seed": seed, **case.changes}, title=title, console=console)
            evaluation, checked = measure_run(run, seed, trials=4)
            write_run_page(run)
            numbers = _numbers(evaluation)
            numbers["symmetry_error", ""] = checked.equivariance.worst.relative
            numbers["weights", ""] = count_weights(run)
            numbers["training_time", "min"] = took / 60
            record(results, seed, {(f"normals/{name}", *key): value for key, value in numbers.items()})
            first = evaluation.sets[0]
            baselines = {model: sets[first]["normal_error"] for model, sets in evaluation.baselines.items()}
            if console is not None:
                error, turned = numbers["normal_error", ""], numbers["turned_normal_error", ""]
                console.print(f"{name}: error {error:.4f}, turned {turned:.4f}", highlight=False)
    rows = [_row(key, values, baselines, scale) for key, values in results.items()]
    return rows + _comparisons(results, baselines, scale)


def _numbers(evaluation: Evaluation) -> dict[tuple[str, str], float]:
    """Return the numbers of the first test set and of its turned copy, by metric and unit."""
    plain, turned = evaluation.sets[:2]
    found = {(row.set, row.metric): (row.value, row.unit) for row in evaluation.rows}
    ratio = found[turned, "turned_ratio"][0]
    return {
        ("normal_error", ""): found[plain, "normal_error"][0],
        ("turned_normal_error", ""): found[turned, "normal_error"][0],
        ("turned_ratio", ""): ratio,
        ("ratio_from_one", ""): abs(ratio - 1),
        ("normal_angle", "deg"): found[plain, "normal_angle"][0],
        ("within_10_degrees", "%"): found[plain, "within_10_degrees"][0],
    }


def _row(key: tuple[str, str, str], values: dict[int, float], baselines: dict[str, float], scale: str) -> ResultRow:
    name, metric, unit = key[0].partition("/")[2], key[1], key[2]
    case = CASES[name]
    fields: dict[str, Any] = {"unit": unit}
    if metric in ("normal_error", "turned_normal_error"):
        fields["baselines"] = baselines
    if metric == "normal_error" and not case.turned:
        fields["paper"] = figure(case.paper, "I/I")
    if metric == "turned_normal_error":
        fields["paper"] = figure(case.paper, "SO(3)/SO(3)" if case.turned else "I/SO(3)")
    if metric == "symmetry_error":
        fields["target"] = Target("<", 1e-10)
    if scale != "smoke" and not case.turned:
        if metric == "ratio_from_one" and case.framed:
            fields["target"] = Target("<", 0.02)
        if metric == "turned_ratio" and name == "pointnet":
            fields["target"] = Target(">", 1.3)
    return ResultRow.over_seeds(key[0], metric, values, **fields)


def _comparisons(results: Results, baselines: dict[str, float], scale: str) -> list[ResultRow]:
    """Return how FA-Local compares with plane fits and with FA-PointNet, and FA-PointNet with PointNet, turned."""

    def errors(name: str, metric: str = "normal_error") -> dict[int, float] | None:
        return results.get((f"normals/{name}", metric, ""))

    target = None if scale == "smoke" else Target("<", 1.0)
    pairs = [
        ("fa-local-pointnet against fa-pointnet", errors("fa-local-pointnet"), errors("fa-pointnet")),
        ("fa-pointnet against vn-pointnet", errors("fa-pointnet"), errors("vn-pointnet")),
        (
            "fa-pointnet against pointnet, turned",
            errors("fa-pointnet", "turned_normal_error"),
            errors("pointnet", "turned_normal_error"),
        ),
    ]
    rows = []
    for words, ours, theirs in pairs:
        if ours is not None and theirs is not None:
            ratios = {seed: ours[seed] / theirs[seed] for seed in ours}
            rows.append(ResultRow.over_seeds(f"normals/{words}", "error_ratio", ratios, target=target))
    fit = next((value for name, value in baselines.items() if name.startswith("plane fit")), None)
    local = errors("fa-local-pointnet")
    if fit is not None and local is not None:
        ratios = {seed: error / fit for seed, error in local.items()}
        case = "normals/fa-local-pointnet against plane fit"
        rows.append(ResultRow.over_seeds(case, "error_ratio", ratios, target=target))
    return rows
