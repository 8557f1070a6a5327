"""The report of a run: errors beside published ones, predictions in detail, symmetry, and learning curves.

Everything is read from the files of the run folder. A part whose file is missing says which command writes it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.files import read_columns, read_json
from intertwine.reporting.numbers import format_duration, format_number
from intertwine.reporting.page import Fact, Picture, Section, Table, run_details, write_page

__all__ = ["report", "sections"]

_METRICS = {
    "energy_mae": "energy MAE",
    "force_mae": "force MAE",
    "force_cosine": "force cosine",
    "efwt": "energy and forces\nwithin threshold",
}


def report(run: Any) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        run: the folder, or a run that has it as ``folder``.
    """
    folder = _folder(run)
    return write_page(
        folder / "report.html",
        f"Surfaces: {folder.resolve().name}",
        sections(folder),
        subtitle="Accuracy and symmetry of one trained EquiformerV2, as measured by `intertwine`.",
        details=run_details(folder),
    )


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, predictions in detail, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = _folder(run)
    return [*_accuracy(folder), _symmetry(folder), _training(folder)]


def _folder(run: Any) -> Path:
    return Path(run if isinstance(run, str | os.PathLike) else run.folder)


def _accuracy(folder: Path) -> list[Section]:
    title = "Accuracy"
    if not (folder / "evaluation.json").is_file():
        return [Section(title, f"Not measured yet: `intertwine evaluate {folder}` does it.")]
    found = Evaluation.read(folder)
    metrics = [m for m in _METRICS if any(found.row(name, m) for name in found.sets)]
    units = {row.metric: row.unit for row in found.rows}
    columns = ["test set", "structures", *(_METRICS[m] + (f"\n{units[m]}" if units[m] else "") for m in metrics)]
    rows: list[list[Any]] = []
    for name in found.sets:
        values = [found.row(name, metric) for metric in metrics]
        frames = next((row.frames for row in values if row is not None), None)
        rows.append([name, frames, *(format_number(row.value if row else None) for row in values)])
    for kind, figures in (("baseline", found.baselines), ("paper", found.paper)):
        for model, sets in figures.items():
            for name, values in sets.items():
                label = f"{name}: {model} ({kind})"
                rows.append([label, None, *(format_number(values.get(metric)) for metric in metrics)])
    text = (
        "Errors of energies over structures, and of forces over free atoms: those that a relaxation moves. The cosine "
        "is that of the angle between predicted and true force. The last column is the part of the structures whose "
        "energy is off by at most 0.02 eV and each force component by at most 0.03 eV/Å."
    )
    if found.paper:
        text += "\n\nPublished figures are means over four validation splits of OC20."
    facts = [
        Fact(f"Force MAE, {name}", format_number(row.value), row.unit)
        for name in found.sets
        if (row := found.row(name, "force_mae"))
    ]
    parts = [Section(title, text, tables=[Table(columns, rows)], facts=facts)]
    pictures = [picture for name in found.sets for picture in _pictures(found, name)]
    if pictures:
        text = "Each test set in a row: predicted against reference forces and energies, errors by element."
        parts.append(Section("Predictions in detail", text, pictures, columns=3))
    return parts


def _pictures(found: Evaluation, name: str) -> list[Picture]:
    pictures = []
    forces, truth = found.array(name, "forces"), found.array(name, "forces_reference")
    if forces is not None and truth is not None and forces.size:
        figure = plots.parity(truth, forces, "force", "eV/Å")
        pictures.append(Picture(figure, f"{name}: {forces.size} force components of free atoms."))
    energy, true_energy = found.array(name, "energy"), found.array(name, "energy_reference")
    if energy is not None and true_energy is not None and energy.size:
        mean = true_energy.mean()
        figure = plots.parity(true_energy - mean, energy - mean, "energy", "eV")
        pictures.append(Picture(figure, f"{name}: {energy.size} energies, less the mean of the reference."))
    numbers = found.array(name, "numbers")
    if numbers is not None and forces is not None and truth is not None and forces.size:
        figure = plots.element_errors(numbers, 1e3 * (forces - truth), "meV/Å")
        pictures.append(Picture(figure, f"{name}: errors of the force components by element."))
    return pictures


def _symmetry(folder: Path) -> Section:
    title = "Symmetry"
    path = folder / "check.json"
    if not path.is_file():
        return Section(title, f"Not checked yet: `intertwine check {folder}` does it.")
    fix = f"write it again with `intertwine check {folder}`"
    data = read_json(path, fix)
    try:
        law = data["equivariance"]
        rows = [
            [r["output"], r["part"], format_number(r["relative"]), format_number(r["epsilons"]), r["verdict"]]
            for r in law["rows"]
        ]
        worst, notes, tolerance = law["worst"], data["notes"], data["tolerance"]
        passed = data["passed"]
        note = f"{worst['output']} under {worst['part']}, {law['dtype']}"
        if tolerance is not None:
            note += f"; up to {format_number(tolerance)} counts as the grid's"
        facts = [
            Fact("Largest symmetry error", format_number(worst["relative"]), "", note, "good" if passed else "bad")
        ]
        text = "\n\n".join(
            ["Inputs are turned, moved and renamed at random, and outputs compared with transformed outputs.", *notes]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} does not hold a check", got=repr(error), fix=fix) from error
    return Section(
        title, text, tables=[Table(["output", "under", "relative error", "in epsilons", "verdict"], rows)], facts=facts
    )


def _training(folder: Path) -> Section:
    title = "Training"
    path = folder / "metrics.csv"
    columns = read_columns(path) if path.is_file() else {}
    if "epoch" not in columns or not columns["epoch"].size:
        return Section(title, "No training history yet: `intertwine train` writes it.")
    wanted: Mapping[str, Mapping[str, str]] = {
        "loss": {"training": "train_loss", "validation": "validation_loss"},
        "force MAE<br>meV/Å": {"validation": "validation_force_mae"},
        "energy MAE<br>meV": {"validation": "validation_energy_mae"},
        "learning rate": {"learning rate": "learning_rate"},
    }
    panels = {}
    for panel, curves in wanted.items():
        known = {
            label: (columns["epoch"], columns[name])
            for label, name in curves.items()
            if name in columns and np.isfinite(columns[name]).any()
        }
        if known:
            panels[panel] = known
    text = f"{int(np.nanmax(columns['epoch']))} epochs"
    seconds = columns.get("seconds", np.array([]))
    if np.isfinite(seconds).any():
        text += f" in {format_duration(float(np.nanmax(seconds)))}"
    return Section(title, text + ".", [Picture(plots.learning_curves(panels, "epoch"), wide=True)] if panels else [])
