"""The experiment on digits as sets of points: one perceptron, five ways to treat the order of the points."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intertwine.reporting import ResultRow, Target
from intertwine.training.experiment import measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["CASES", "reproduce"]

CASES = ("none", "sort", "random", "separated", "group")
"""The frames, by the names of their rows."""

_ROBUST = ("random", "separated")


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    cases: tuple[str, ...] = CASES,
) -> list[ResultRow]:
    """Train with every frame and seed, and return the rows.

    The target of the robust frames, random directions and separated ones, is the accuracy of the whole group.

    Args:
        scale: of the recipe.
        folder: where the runs are kept, one a frame and seed.
        seeds: of initial weights and draws; the card's are 0 to 2.
        console: where to show progress.
        cases: which frames.
    """
    results: dict[tuple[str, str], dict[int, float]] = {}
    loaded = load_recipe("frame_averaging/digits", scale=scale)
    for frame in cases:
        for seed in seeds or (0, 1, 2):
            place = Path(folder) / f"digits-{frame}-{scale}-seed{seed}"
            title = f"frame_averaging/digits, {frame}, scale {scale}, seed {seed}"
            changes = {"seed": seed, "digits.model.frame": frame}
            run, seconds = train_timed(loaded, place, changes, title=title, console=console)
            evaluation, checked = measure_run(run, seed, trials=2)
            numbers = {(f"digits/{frame}", row.metric): row.value for row in evaluation.rows}
            numbers[f"digits/{frame}", "training_time"] = seconds
            if frame not in ("none", "group"):
                numbers[f"digits/{frame}", "symmetry_error"] = checked.equivariance.worst.relative
            record(results, seed, numbers)
            write_run_page(run)
    group = results.get(("digits/group", f"accuracy_{loaded.recipe.digits.draws[-1]}"))
    rows = []
    for (case, metric), values in results.items():
        target = None
        if metric == "symmetry_error":
            target = Target("<", 1e-9)
        elif metric.startswith("accuracy") and case.partition("/")[2] in _ROBUST and group and scale != "smoke":
            target = Target(">", max(group.values()))
        unit = "s" if metric == "training_time" else ""
        rows.append(ResultRow.over_seeds(case, metric, values, unit=unit, target=target))
    return rows
