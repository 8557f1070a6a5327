"""Sections that every trained network has: symmetry, from ``check.json``, and training, from ``metrics.csv``."""

from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.files import read_columns, read_json
from intertwine.reporting.numbers import format_duration, format_number
from intertwine.reporting.page import Fact, Picture, Section, Table

__all__ = ["symmetry", "training"]


def symmetry(folder: Path) -> Section:
    """Return the section on the check of E(3) and of permutations."""
    title = "Symmetry"
    path = folder / "check.json"
    if not path.is_file():
        return Section(title, f"Not checked yet: `intertwine check {folder}` does it.")
    data = read_json(path, f"write it again with `intertwine check {folder}`")
    try:
        measured = data["equivariance"]
        rows: list[list[str | float | None]] = [
            [r["part"], format_number(r["relative"]), format_number(r["epsilons"]), r["verdict"]]
            for r in measured["rows"]
        ]
        worst, status = measured["worst"], "good" if measured["passed"] else "bad"
        note = f"{worst['part']}, {measured['dtype']}"
        fact = Fact("Largest symmetry error", format_number(worst["relative"]), "", note, status)
    except (KeyError, TypeError) as error:
        fix = f"write it again with `intertwine check {folder}`"
        raise DataError(f"{path} does not hold a check", got=repr(error), fix=fix) from error
    text = (
        "Particles are turned, mirrored, moved and renamed by random elements of the group, and the predictions are "
        "compared with the transformed ones. An error of a few machine epsilons is rounding; a broken symmetry is many "
        "orders larger."
    )
    table = Table(["under", "relative error", "in epsilons", "verdict"], rows)
    return Section(title, text, tables=[table], facts=[fact])


def training(folder: Path) -> Section:
    """Return the section on the course of training."""
    title = "Training"
    path = folder / "metrics.csv"
    columns: dict[str, Any] = read_columns(path) if path.is_file() else {}
    x = next((name for name in ("epoch", "step") if name in columns), None)
    if x is None or not columns[x].size:
        return Section(title, "No training history yet: `intertwine train` writes it.")
    wanted = {
        "squared error": {"training": "train_loss", "validation": "validation_loss"},
        "mean distance": {"validation": "validation_mean_distance"},
        "learning rate": {"learning rate": "learning_rate"},
    }
    panels = {
        panel: {
            label: (columns[x], columns[name])
            for label, name in curves.items()
            if name in columns and np.isfinite(columns[name]).any()
        }
        for panel, curves in wanted.items()
    }
    panels = {panel: curves for panel, curves in panels.items() if curves}
    text = f"{int(np.nanmax(columns[x]))} {x}s"
    seconds = columns.get("seconds", np.array([]))
    if np.isfinite(seconds).any():
        text += f" in {format_duration(float(np.nanmax(seconds)))}"
    loss = columns.get("validation_loss")
    if loss is not None and np.isfinite(loss).any():
        text += f"; the lowest validation error was reached at {x} {int(columns[x][np.nanargmin(loss)])}"
    return Section(title, text + ".", [Picture(plots.learning_curves(panels, x), wide=True)] if panels else [])
