"""What the page of every run has: the section on symmetry, and the section on the course of training.

Everything is read from the files of the run's folder, so a page needs neither the model nor the data. A section whose
file is missing says which command writes it.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.files import read_columns, read_json, write_text
from intertwine.reporting.numbers import format_duration, format_number
from intertwine.reporting.page import Fact, Picture, Section, Table
from intertwine.symmetry import CheckReport

__all__ = ["run_folder", "symmetry_section", "training_section", "write_check"]


def run_folder(run: Any) -> Path:
    """Return the folder that something is, or has as ``folder``."""
    return Path(run if isinstance(run, str | os.PathLike) else run.folder)


def write_check(folder: Path, report: CheckReport) -> Path:
    """Write ``check.json`` into a run's folder and return its path; `symmetry_section` shows it."""
    return write_text(folder / "check.json", json.dumps(report.to_dict(), indent=2) + "\n")


def symmetry_section(folder: Path, text: str, title: str = "Symmetry") -> Section:
    """Return the section on ``check.json``: errors of the law, of conservation where it was measured, and notes.

    Args:
        folder: of the run.
        text: what was compared, and how to read the errors.
        title: of the section.

    Raises:
        DataError: if the file is damaged.
    """
    path, fix = folder / "check.json", f"write it again with `intertwine check {folder}`"
    if not path.is_file():
        return Section(title, f"Not checked yet: `intertwine check {folder}` does it.")
    found = read_json(path, fix)
    try:
        parts = [_law(found["equivariance"], found["tolerance"])]
        if found["conservativeness"] is not None:
            parts.append(_conservation(found["conservativeness"]))
        text = "\n\n".join([text, *found["notes"]])
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not hold a check", got=repr(error), fix=fix) from error
    facts, tables = zip(*parts, strict=True)
    return Section(title, text, tables=tables, facts=facts)


def _law(law: Mapping[str, Any], tolerance: float | None) -> tuple[Fact, Table]:
    rows = [
        [row["output"], row["part"], format_number(row["relative"]), format_number(row["epsilons"]), row["verdict"]]
        for row in law["rows"]
    ]
    worst, passed = law["worst"], law["passed"]
    note = f"{worst['output']} under {worst['part']}, {law['dtype']}"
    if tolerance is not None:
        passed = worst["relative"] is not None and worst["relative"] <= tolerance
        note += f"; up to {format_number(tolerance)} counts as kept"
    fact = Fact("Largest symmetry error", format_number(worst["relative"]), "", note, "good" if passed else "bad")
    return fact, Table(["output", "under", "relative error", "in epsilons", "verdict"], rows)


def _conservation(measured: Mapping[str, Any]) -> tuple[Fact, Table]:
    asymmetry, mismatch = (format_number(measured[name]) for name in ("jacobian_asymmetry", "energy_mismatch"))
    status = "good" if measured["passed"] else "bad"
    fact = Fact("Force-Jacobian asymmetry", asymmetry, "", "0 if the forces are a gradient", status)
    rows = [
        ["asymmetry of the force Jacobian", asymmetry],
        ["forces against differences of the energy", mismatch],
    ]
    return fact, Table(["conservation", "relative error"], rows)


def training_section(
    folder: Path,
    panels: Mapping[str, Mapping[str, str]],
    *,
    by: str = "epoch",
    lowest: tuple[str, str] | None = None,
    highest: tuple[str, str] | None = None,
) -> Section:
    """Return the section on ``metrics.csv``: how long training took, when it was best, and its curves.

    Args:
        folder: of the run.
        panels: for each panel its curves, as the column of each label.
        by: the column that curves are drawn over, ``epoch`` or ``step``.
        lowest: a column and what it holds, in words, to say where it was lowest.
        highest: the same for a column that is to rise.

    Raises:
        DataError: if the file is damaged.
    """
    title, path = "Training", folder / "metrics.csv"
    columns = read_columns(path) if path.is_file() else {}
    if by not in columns or not columns[by].size:
        return Section(title, "No training history yet: `intertwine train` writes it.")
    measured = {name: values for name, values in columns.items() if np.isfinite(values).any()}
    x = columns[by]
    text = f"{int(np.nanmax(x))} {by}s"
    if "seconds" in measured:
        text += f" in {format_duration(float(np.nanmax(measured['seconds'])))}"
    for word, best, place in (("lowest", lowest, np.nanargmin), ("highest", highest, np.nanargmax)):
        if best is not None and best[0] in measured:
            text += f"; the {word} {best[1]} was reached at {by} {int(x[place(measured[best[0]])])}"
    curves = {
        panel: {label: (x, measured[name]) for label, name in names.items() if name in measured}
        for panel, names in panels.items()
    }
    curves = {panel: lines for panel, lines in curves.items() if lines}
    pictures = [Picture(plots.learning_curves(curves, by), wide=True)] if curves else []
    return Section(title, text + ".", pictures)
