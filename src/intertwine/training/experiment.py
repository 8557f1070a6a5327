"""Pieces of a card's experiment: runs are trained, evaluated and checked, and their numbers gathered over seeds."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from intertwine.training.recipes import LoadedRecipe
from intertwine.training.run import Run
from intertwine.training.trainer import train

if TYPE_CHECKING:
    from rich.console import Console

    from intertwine.reporting import Evaluation
    from intertwine.symmetry import CheckReport

__all__ = ["baseline_errors", "count_weights", "measure_run", "record", "train_timed"]

Key = TypeVar("Key")


def train_timed(
    loaded: LoadedRecipe,
    folder: Path,
    overrides: Mapping[str, Any],
    *,
    title: str = "",
    console: "Console | None" = None,
) -> tuple[Run, float]:
    """Train a recipe and return the run, and how many seconds it took.

    Args:
        loaded: the recipe.
        folder: of the run.
        overrides: fields to replace, by dotted name.
        title: a line above the progress.
        console: where to show progress.
    """
    if console is not None:
        console.rule(title)
    began = time.perf_counter()
    run = train(loaded, folder, overrides=overrides, console=console)
    return run, time.perf_counter() - began


def measure_run(run: Run, seed: int, *, trials: int = 8) -> "tuple[Evaluation, CheckReport]":
    """Evaluate and check a run, and write both into its folder, as the commands do.

    Args:
        run: a finished run.
        seed: of the group elements.
        trials: elements drawn of each kind.
    """
    import torch

    from intertwine.reporting.run_page import write_check

    system = run.system()
    evaluation = system.load("evaluate")(run)
    evaluation.write(run.folder)
    checked = system.load("check")(run, trials=trials, rng=torch.Generator().manual_seed(seed))
    write_check(run.folder, checked)
    return evaluation, checked


def count_weights(run: Run) -> float:
    """Return the number of trainable numbers of a run's network."""
    return float(sum(weight.numel() for weight in run.model().parameters()))


def record(results: dict[Key, dict[int, float]], seed: int, numbers: Mapping[Key, float]) -> None:
    """Add the numbers of one seed to results by key and seed, from which `ResultRow.over_seeds` makes rows."""
    for key, value in numbers.items():
        results.setdefault(key, {})[seed] = value


def baseline_errors(evaluation: "Evaluation", model: str = "zero model") -> dict[tuple[str, str], float]:
    """Return the numbers of one baseline by test set and metric."""
    sets = evaluation.baselines[model]
    return {(name, metric): value for name, metrics in sets.items() for metric, value in metrics.items()}
