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
    from intertwine.training.page import write_run_page

    path = write_run_page(open_run(args.run), Path(args.output).expanduser() if args.output else None)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0
