"""``intertwine reproduce``: the experiment of a system's card, with its figures in ``results/``."""

import shlex
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from intertwine.cli.parsing import add_options_of, command_parser, first_positional
from intertwine.errors import ConfigError
from intertwine.training.registry import get_system
from intertwine.training.system import SCALES
from intertwine.training.words import nearest

__all__ = ["main"]


def main(words: list[str], console: Console) -> int | None:
    """Repeat an experiment; status 1 if a figure misses its target."""
    parser = command_parser("reproduce", "Repeat the experiment of a system's card")
    parser.add_argument("system", help="Name of the system.")
    parser.add_argument("--scale", type=str, default="cpu", help=f"One of {', '.join(SCALES)}.")
    parser.add_argument("--seeds", type=int, nargs="+", help="Seeds (default: those of the card).")
    parser.add_argument("--folder", type=str, help="Where runs are kept (default: runs/reproduce-<system>).")
    parser.add_argument("--output", type=str, help="File to write (default: results/<system>.json).")
    if (name := first_positional(words)) is None:
        parser.parse_args(words)
    system = get_system(str(name))
    reproduce = system.load("reproduce")
    options = add_options_of(parser, reproduce, skip=("scale", "folder", "seeds", "console"))
    args = parser.parse_args(words)
    if args.scale not in SCALES:
        raise ConfigError(
            f"there is no scale `{args.scale}`",
            got=args.scale,
            expected=", ".join(SCALES),
            fix=nearest(args.scale, SCALES),
        )
    from intertwine.reporting import ResultFile
    from intertwine.training.memory import keep_freed_memory

    keep_freed_memory()

    began = time.perf_counter()
    rows = reproduce(
        args.scale,
        folder=Path(args.folder or f"runs/reproduce-{system.name}").expanduser(),
        seeds=tuple(args.seeds) if args.seeds else None,
        console=console,
        **{option: args[option] for option in options},
    )
    command = shlex.join(["intertwine", "reproduce", *words])
    results = ResultFile.collect(command, rows, time.perf_counter() - began)
    path = results.write(Path(args.output or f"results/{system.name}.json").expanduser())
    _show(results, console)
    console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 1 if results.missed else 0


def _show(results, console: Console) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("case", "metric", "value", "unit", "target", "paper"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for row in results.rows:
        value = "-" if row.value is None else f"{row.value:.4g}"
        if row.spread is not None:
            value += f" ± {row.spread:.2g}"
        target = "" if row.target is None else f"{row.target.op} {row.target.value:g}"
        target += {True: " met", False: " missed", None: ""}[row.meets_target]
        table.add_row(
            row.case, row.metric, value, row.unit, target, "" if row.paper is None else f"{row.paper.value:g}"
        )
    console.print(table)
