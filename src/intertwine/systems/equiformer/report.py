"""The report of a run: errors beside published ones, predictions in detail, symmetry, and learning curves.

Everything is read from the files of the run folder. A part whose file is missing says which command writes it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from intertwine.reporting.accuracy import measured_metrics, metric_table, not_measured, parity_pictures
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Section
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section

__all__ = ["sections"]

_METRICS = {
    "energy_mae": "energy MAE",
    "force_mae": "force MAE",
    "force_cosine": "force cosine",
    "efwt": "energy and forces\nwithin threshold",
}
_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "force MAE<br>meV/Å": {"validation": "validation_force_mae"},
    "energy MAE<br>meV": {"validation": "validation_energy_mae"},
    "learning rate": {"learning rate": "learning_rate"},
}
_SYMMETRY = "Inputs are turned, moved and renamed at random, and outputs compared with transformed outputs."


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, predictions in detail, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    return [*_accuracy(folder), symmetry_section(folder, _SYMMETRY), training_section(folder, _PANELS)]


def _accuracy(folder: Path) -> list[Section]:
    if (missing := not_measured(folder)) is not None:
        return [missing]
    found = Evaluation.read(folder)
    table = metric_table(found, _METRICS, "structures")
    metrics, rows = measured_metrics(found, _METRICS), list(table.rows)
    for model, sets in found.others.items():
        for name, values in sets.items():
            rows.append([f"{name}: {model}", None, *(format_number(values.get(metric)) for metric in metrics)])
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
    parts = [Section("Accuracy", text, tables=[replace(table, rows=rows)], facts=facts)]
    pictures = [
        picture for name in found.sets for picture in parity_pictures(found, name, name, milli=False, per_atom=False)
    ]
    if pictures:
        text = "Each test set in a row: forces on free atoms and energies against their references, errors by element."
        parts.append(Section("Predictions in detail", text, pictures, columns=3))
    return parts
