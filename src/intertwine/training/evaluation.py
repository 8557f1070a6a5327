"""Evaluating a run: each of its test sets is measured, and the numbers and arrays are gathered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import Evaluation, EvaluationRow
from intertwine.training.run import Run

__all__ = ["Measured", "evaluate_sets"]

Items = TypeVar("Items")


@dataclass(frozen=True)
class Measured:
    """What is measured on one test set.

    Args:
        values: number and unit of each metric.
        items: how many structures, samples or sets it has.
        arrays: what the pictures of the report are drawn from, by quantity.
        baselines: metrics of trivial predictions, by their name.
    """

    values: Mapping[str, tuple[float, str]]
    items: int
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def evaluate_sets(
    run: Run, sets: Mapping[str, Items], measure: Callable[[Any, Items], Measured], *, device: str = "cpu"
) -> Evaluation:
    """Return what a run's network does on test sets; published figures are the system's to add.

    Args:
        run: a finished run.
        sets: by name, in the order in which tables show them.
        measure: takes the network and a set.
        device: where to compute.

    Raises:
        DataError: if there is no set.
        ConfigError: if training has not finished.
    """
    if not sets:
        raise DataError(
            "the recipe of this run names no test files",
            got=run.folder,
            fix="train with data.test, or use `intertwine predict` and compare the files it writes",
        )
    model = run.model(device)
    rows: list[EvaluationRow] = []
    arrays: dict[str, np.ndarray] = {}
    baselines: dict[str, dict[str, Mapping[str, float]]] = {}
    for name, items in sets.items():
        found = measure(model, items)
        rows += [
            EvaluationRow(name, metric, value, unit, found.items) for metric, (value, unit) in found.values.items()
        ]
        arrays |= {f"{name}/{quantity}": array for quantity, array in found.arrays.items()}
        for baseline, values in found.baselines.items():
            baselines.setdefault(baseline, {})[name] = values
    return Evaluation(tuple(rows), baselines, arrays=arrays)
