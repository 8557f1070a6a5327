"""``intertwine products check``: whether products keep their law, their references, their couplings and their ranks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.cli.products.options import one_of, plural
from intertwine.cli.tables import make_table

if TYPE_CHECKING:
    from intertwine.products.survey.checks import CheckRow, Quantity

__all__ = ["check"]

_DTYPES = ("float32", "float64")


def check(words: list[str], console: Console) -> int:
    """Check products; status 1 if one fails."""
    parser = command_parser(
        "products check", "Check what the catalogue says of products: law, reference, couplings, rank"
    )
    parser.add_argument("--products", type=str, nargs="+", help="Names (default: all that are exact).")
    parser.add_argument("--lmax", type=int, default=3, help="Largest degree of the inputs, 1 to 6.")
    parser.add_argument("--dtypes", type=str, nargs="+", default=list(_DTYPES), help=f"Of {', '.join(_DTYPES)}.")
    parser.add_argument("--trials", type=int, default=8, help="Rotations and reflections drawn.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of elements, inputs and weights.")
    parser.add_argument("--output", type=str, help="Also write every number to this file, .csv or .json.")
    args = parser.parse_args(words)
    names = [one_of("dtype", name, _DTYPES) for name in args.dtypes]
    import torch

    from intertwine.products.survey.bench_table import bench_format
    from intertwine.products.survey.checks import check_products, write_checks
    from intertwine.products.survey.registry import find_product

    products = None if args.products is None else [find_product(name).name for name in args.products]
    path = None if args.output is None else Path(args.output).expanduser()
    if path is not None:
        bench_format(path)  # a name that cannot be written fails before the work
    dtypes = [getattr(torch, name) for name in names]
    rows = list(check_products(products, args.lmax, dtypes, args.trials, args.seed))
    _show(rows, console)
    if path is not None:
        console.print(f"{plural(len(rows), 'row')} written to {write_checks(path, rows)}", soft_wrap=True)
    return 0 if all(row.passed for row in rows) else 1


def _show(rows: Sequence["CheckRow"], console: Console) -> None:
    dtypes = [name for name in _DTYPES if any(row.dtype == name for row in rows)]
    errors = [(group, dtype) for group in _ERRORS for dtype in dtypes]
    columns = [f"{group} {dtype.replace('float', 'f')}" for group, dtype in errors]
    table = make_table("product", *columns, "paths", "rank", "", whole=len(columns) + 4)
    for column in table.columns[1:-1]:
        column.justify = "right"
    for name in dict.fromkeys(row.product for row in rows):
        own = [row for row in rows if row.product == name]
        cells = [_error(own, _ERRORS[group], dtype) for group, dtype in errors]
        counts = [_count(own, quantity) for quantity in ("couplings", "rank")]
        table.add_row(name, *cells, *counts, "pass" if all(row.passed for row in own) else "FAIL")
    console.print(table)
    failed = [row for row in rows if not row.passed]
    for row in failed:
        console.print(row.text, style="bold red", highlight=False, soft_wrap=True)
    breaking = dict.fromkeys(row.product for row in rows if row.relation == ">=")
    if breaking:
        text = (
            f"{', '.join(breaking)}: of SO(3) only; that reflections break it is checked, the law is that of rotations"
        )
        console.print(text, highlight=False)
    console.print(
        f"all degrees up to L = {rows[0].lmax}; law: largest relative error under rotations and reflections; ref: "
        "largest relative difference from another way to the same numbers, or from closed forms; paths, rank: "
        "degrees that couple and independent maps, with the closed form in parentheses where it differs",
        style="dim",
        highlight=False,
    )
    count = len({row.product for row in rows})
    verdict = f"{plural(len(failed), 'check')} of {len(rows)} failed" if failed else f"all {len(rows)} checks passed"
    console.print(f"{plural(count, 'product')}, {verdict}", highlight=False)


def _error(rows: Sequence["CheckRow"], quantities: Sequence["Quantity"], dtype: str) -> str:
    """The largest error of some quantities, of those that must be small."""
    own = [row for row in rows if row.check in quantities and row.dtype == dtype and row.relation == "<="]
    if any(row.value is None for row in own):
        return "no number"
    return f"{max(row.value or 0.0 for row in own):.1e}" if own else ""


def _count(rows: Sequence["CheckRow"], quantity: "Quantity") -> str:
    for row in rows:
        if row.check == quantity:
            return f"{row.value:.0f}" if row.passed else f"{row.value:.0f} ({row.bound:.0f})"
    return ""


_ERRORS: "dict[str, tuple[Quantity, ...]]" = {
    "law": ("rotations", "reflections"),
    "ref": ("reference", "constants"),
}
