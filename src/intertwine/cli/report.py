"""``intertwine report``: a run's page, one HTML file with everything in it."""

from pathlib import Path

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.training.run import open_run

__all__ = ["main"]


def main(words: list[str], console: Console) -> int | None:
    """Write the page of a run."""
    parser = command_parser("report", "Write a run's HTML page")
    parser.add_argument("run", help="Folder of the run.")
    parser.add_argument("--output", type=str, help="File to write (default: report.html in the run).")
    args = parser.parse_args(words)
    from intertwine.reporting import run_details, write_page

    run = open_run(args.run)
    system = run.system()
    path = write_page(
        Path(args.output).expanduser() if args.output else run.folder / "report.html",
        f"{run.loaded().name}: {run.name}",
        system.load("report")(run),
        subtitle=system.summary,
        details=run_details(run.folder),
    )
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0
