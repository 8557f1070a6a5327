"""The report of a trained network: errors beside trivial predictions, particles in space, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

import os
from pathlib import Path
from typing import Any

from intertwine.reporting.page import Section, run_details, write_page
from intertwine.systems.segnn.report.accuracy import accuracy
from intertwine.systems.segnn.report.run_sections import symmetry, training

__all__ = ["report", "sections"]


def report(run: Any) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        run: the folder, or a run that has it as ``folder``.
    """
    folder = _folder(run)
    return write_page(
        folder / "report.html",
        f"Steerable network {folder.resolve().name}",
        sections(folder),
        subtitle="Accuracy and symmetry of one trained model of charged particles, as measured by `intertwine`.",
        details=run_details(folder),
    )


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, predictions in space, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = _folder(run)
    return [*accuracy(folder), symmetry(folder), training(folder)]


def _folder(run: Any) -> Path:
    return Path(run if isinstance(run, str | os.PathLike) else run.folder)
