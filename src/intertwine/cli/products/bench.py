"""``intertwine products bench``: measure products into a file."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.cli.products.options import DIRECTIONS, add_measurement, one_of, plural, read_measurement
from intertwine.errors import ConfigError

__all__ = ["bench"]


def bench(words: list[str], console: Console) -> int:
    """Measure products over degrees and settings; status 1 if there was nothing to measure."""
    parser = command_parser("products bench", "Measure products over degrees and settings, into a CSV or JSON file")
    parser.add_argument("--lmax", type=str, nargs="+", default=["1:4"], help="Degrees: 1 2 3, or 1:6.")
    parser.add_argument("--settings", type=str, nargs="+", default=["MIMO"], help="SISO, SIMO, MIMO.")
    parser.add_argument("--outputs", type=str, default="natural", help="Parities of the output: natural or all.")
    parser.add_argument("--directions", type=str, nargs="+", default=["forward"], help=f"Of {', '.join(DIRECTIONS)}.")
    parser.add_argument("--backends", type=str, nargs="+", default=["eager"], help="eager, compiled.")
    add_measurement(parser, batch=10_000, repetitions=50)
    parser.add_argument("--output", type=str, default="bench.csv", help="File to write, .csv or .json.")
    args = parser.parse_args(words)
    from intertwine.products.survey.bench_table import bench_format, write_bench
    from intertwine.products.survey.comparison import bench_products
    from intertwine.products.survey.machine import measure_machine
    from intertwine.products.survey.measure import BACKENDS
    from intertwine.products.survey.setting import make_setting
    from intertwine.reporting.provenance import current_commit

    settings = [
        make_setting(name, lmax, outputs=args.outputs) for name in args.settings for lmax in _degrees(args.lmax)
    ]
    directions = [one_of("direction", name, DIRECTIONS) for name in args.directions]
    backends = [one_of("backend", name, BACKENDS) for name in args.backends]
    measurement = read_measurement(args)
    path = Path(args.output).expanduser()
    bench_format(path)  # a name that cannot be written fails before the work
    limits = measure_machine(measurement["dtype"], measurement["device"])
    rows = []
    for row in bench_products(
        settings,
        args.products,
        directions=directions,
        backends=backends,
        commit=current_commit() or "",
        limits=limits,
        report=lambda text: console.print(text, style="dim", highlight=False, soft_wrap=True),
        **measurement,
    ):
        rows.append(row)
        write_bench(path, rows)  # whole after every row: an interrupt loses one
    if not rows:
        console.print(f"nothing was measured, {path} is not written", highlight=False, soft_wrap=True)
        return 1
    console.print(f"{plural(len(rows), 'row')} written to {path}", highlight=False, soft_wrap=True)
    console.print(f"next: intertwine products plot {path}", style="dim", highlight=False, soft_wrap=True)
    return 0


def _degrees(texts: Sequence[str]) -> list[int]:
    degrees: list[int] = []
    for text in texts:
        first, _, last = text.partition(":")
        try:
            found = range(int(first), int(last or first) + 1)
        except ValueError as error:
            raise ConfigError("degrees cannot be read", got=text, expected="1 2 3, or 1:6") from error
        if not found:
            raise ConfigError("there are no degrees in this range", got=text, expected="the smaller first, as in 1:6")
        degrees += found
    return degrees
