"""The page of a run: the sections of its system under one title."""

from pathlib import Path

from intertwine.reporting.page import run_details, write_page
from intertwine.training.run import Run

__all__ = ["write_run_page"]


def write_run_page(run: Run, path: Path | None = None) -> Path:
    """Write the page and return its path; recipe and versions are folded away at its end.

    The title is the recipe's name and that of the folder, the line below it says what the system is.

    Args:
        run: any run, also one that has not finished.
        path: of the HTML file; ``report.html`` in the run when not given.

    Raises:
        DataError: if a file of the run is damaged.
        MissingExtraError: if jinja2 or plotly is not installed.
    """
    system = run.system()
    return write_page(
        run.folder / "report.html" if path is None else path,
        f"{run.loaded().name}: {run.name}",
        system.load("report")(run),
        subtitle=system.summary,
        details=run_details(run.folder),
    )
