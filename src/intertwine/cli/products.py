"""``intertwine products``: which tensor product to use; lists, compares, explains, measures and draws them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from intertwine.cli.parsing import command_parser
from intertwine.errors import ConfigError
from intertwine.training.words import nearest

__all__ = ["main"]


def main(words: list[str], console: Console) -> int | None:
    """Run one of the actions."""
    parser = command_parser(
        "products",
        "Compare tensor products: paths, expressivity, cost, measured speed. "
        + " ".join(f"{name}: {text};" for name, (text, _) in _ACTIONS.items()).rstrip(";"),
        usage=f"{{{','.join(_ACTIONS)}}} ...        intertwine products ACTION --help",
    )
    parser.add_argument("action", help=f"One of {', '.join(_ACTIONS)}.")
    if not words or words[0].startswith("-"):
        parser.parse_args(words)
    if words[0] not in _ACTIONS:
        raise ConfigError(
            f"there is no action `{words[0]}` of `intertwine products`",
            got=words[0],
            expected=", ".join(_ACTIONS),
            fix=nearest(words[0], _ACTIONS),
        )
    return _ACTIONS[words[0]][1](words[1:], console)


def _list(words: list[str], console: Console) -> int:
    parser = command_parser("products list", "List the products, or all that is known about one")
    parser.add_argument("product", nargs="?", help="Name of one.")
    parser.add_argument("--kind", type=str, help="Only product, convolution or many_body.")
    args = parser.parse_args(words)
    _one_of("kind", args.kind, (None, "product", "convolution", "many_body"))
    from intertwine.products.survey.registry import find_product, list_products

    if args.product is not None:
        entry = find_product(args.product)
        facts = {
            "what it is": entry.summary,
            "kind": entry.kind.replace("_", "-"),
            "couplings": _COUPLES.get(entry.couples, entry.couples),
            "loses": entry.loses,
            "group": entry.group,
            "cost": f"{entry.cost} with all degrees up to L",
            "class": entry.path,
            "paper": entry.source,
        }
        console.print(entry.name, style="bold", highlight=False)
        for label, text in facts.items():
            console.print(f"  {label:<12}{text}", highlight=False, soft_wrap=True)
        return 0
    table = _table("product", "couplings", "cost", "what it is", whole=3)
    for entry in list_products(args.kind):
        few = "almost all" if entry.couples.startswith("all but") else entry.couples
        strengths = "tied" if entry.tied else "free"
        only = "" if entry.group == "O(3)" else f"; {entry.group} only"
        table.add_row(entry.name, f"{few}, {strengths}", entry.cost, entry.summary + only)
    console.print(table)
    console.print(
        "couplings: by the sum l1 + l2 + l3, with free or with tied strengths; cost: with all degrees up to L\n"
        "more about one: intertwine products list NAME",
        style="dim",
        highlight=False,
    )
    return 0


def _explain(words: list[str], console: Console) -> int:
    parser = command_parser("products explain", "Say whether a product can compute a path, and which can if it cannot")
    parser.add_argument("path", help='Two irreps and one, such as "2o x 2o -> 1e".')
    parser.add_argument("--product", type=str, help="Name of a product (default: all).")
    args = parser.parse_args(words)
    from intertwine.products.survey.registry import explain, list_products

    if args.product is not None:
        found = explain(args.path, args.product)
        console.print(found.text, highlight=False, soft_wrap=True)
        return 0 if found.possible else 1
    table = _table("product", "", "constant", "why", whole=3)
    for entry in list_products("product"):
        found = explain(args.path, entry.name)
        constant = "" if found.constant is None else f"{found.constant:.6g}"
        table.add_row(entry.name, "possible" if found.possible else "impossible", constant, found.reason)
    console.print(table)
    return 0


def _compare(words: list[str], console: Console) -> int:
    parser = command_parser("products compare", "Compare products in one setting: what they express, lose and cost")
    parser.add_argument("--lmax", type=int, default=2, help="Largest degree of the inputs.")
    parser.add_argument("--setting", type=str, default="MIMO", help="SISO, SIMO or MIMO.")
    parser.add_argument("--outputs", type=str, default="all", help="Parities of the output: all or natural.")
    _add_measurement(parser, batch=1000, repetitions=20)
    parser.add_argument("--direction", type=str, default="forward", help=f"One of {_directions()}.")
    parser.add_argument("--skip_time", action="store_true", help="Count only, do not measure.")
    args = parser.parse_args(words)
    from intertwine.products.survey.comparison import bench_products, candidates
    from intertwine.products.survey.setting import make_setting

    setting = make_setting(args.setting, args.lmax, outputs=args.outputs)
    measurement = _measurement(args)
    rows: dict[str, float] = {}
    if not args.skip_time:
        measured = bench_products(
            [setting], args.products, directions=[_one_of("direction", args.direction, _directions())], **measurement
        )
        rows = {row.product: row.time_s for row in measured}
    if not setting.paths:
        console.print(
            f"{setting.name} with L = {setting.lmax}: no allowed path, expressivity 0; nothing is timed",
            highlight=False,
        )
        return 0
    table = _table("product", "couplings", "freedom", "flops", "bytes", "ms", "µs/freedom", whole=7)
    for column in table.columns[1:]:
        column.justify = "right"
    losers: dict[str, list[str]] = {}
    for item in candidates(setting, args.products):
        found, name = item.expressivity, item.entry.name
        seconds = rows.get(name)
        table.add_row(
            name,
            f"{item.interactions}/{len(found.lost) + len(found.interactable)}",
            f"{found.rank}/{found.paths}",
            "" if item.product is None else str(item.product.flops()),
            "" if item.product is None else str(item.product.bytes(measurement["dtype"])),
            "" if seconds is None else f"{1e3 * seconds:.3g}",
            "" if seconds is None else f"{1e6 * seconds / found.rank:.3g}",
        )
        if text := _lost(item):
            losers.setdefault(text, []).append(name)
    console.print(table)
    for text, names in losers.items():
        console.print(f"{', '.join(names)}: lost {text}", highlight=False)
    note = (
        f"{setting.name} with L = {setting.lmax}, outputs of {_OUTPUTS[setting.outputs]}; flops, bytes: of one sample"
    )
    if rows:
        note += f"; ms: of one call, {args.batch} samples, {args.channels} channels, {args.dtype}, {args.direction}"
    console.print(note, style="dim", highlight=False)
    return 0


def _bench(words: list[str], console: Console) -> int:
    parser = command_parser("products bench", "Measure products over degrees and settings, into a CSV or JSON file")
    parser.add_argument("--lmax", type=str, nargs="+", default=["1:4"], help="Degrees: 1 2 3, or 1:6.")
    parser.add_argument("--settings", type=str, nargs="+", default=["MIMO"], help="SISO, SIMO, MIMO.")
    parser.add_argument("--outputs", type=str, default="natural", help="Parities of the output: natural or all.")
    parser.add_argument("--directions", type=str, nargs="+", default=["forward"], help=f"Of {_directions()}.")
    parser.add_argument("--backends", type=str, nargs="+", default=["eager"], help="eager, compiled.")
    _add_measurement(parser, batch=10_000, repetitions=50)
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
    directions = [_one_of("direction", name, _directions()) for name in args.directions]
    backends = [_one_of("backend", name, BACKENDS) for name in args.backends]
    measurement = _measurement(args)
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
    console.print(f"{len(rows)} rows written to {path}", highlight=False, soft_wrap=True)
    if rows:
        console.print(f"next: intertwine products plot {path}", style="dim", highlight=False, soft_wrap=True)
    return 0 if rows else 1


def _plot(words: list[str], console: Console) -> int:
    parser = command_parser("products plot", "Draw a benchmark: time against degree, per degree of freedom, roofline")
    parser.add_argument("bench", help="File that `intertwine products bench` wrote.")
    parser.add_argument("--output", type=str, help="Page or picture: .html, or .svg, .png, .pdf where kaleido is.")
    args = parser.parse_args(words)
    from intertwine.products.survey.bench_table import read_bench
    from intertwine.reporting.products import draw_bench

    source = Path(args.bench).expanduser()
    rows = read_bench(source)
    output = Path(args.output).expanduser() if args.output else source.with_suffix(".html")
    for path in draw_bench(output, rows):
        console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0


_ACTIONS: dict[str, tuple[str, Callable[[list[str], Console], int]]] = {
    "list": ("what there is", _list),
    "compare": ("one setting side by side", _compare),
    "explain": ("one path", _explain),
    "bench": ("measure into a file", _bench),
    "plot": ("draw such a file", _plot),
}


def _add_measurement(parser: Any, batch: int, repetitions: int) -> None:
    parser.add_argument("--products", type=str, nargs="+", help="Names (default: all that are exact).")
    parser.add_argument("--channels", type=int, default=1, help="Channels of the inputs.")
    parser.add_argument("--batch", type=int, default=batch, help="Samples of the inputs.")
    parser.add_argument("--dtype", type=str, default="float32", help="float32, float64 or bfloat16.")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda.")
    parser.add_argument("--threads", type=int, help="Threads of torch on the CPU.")
    parser.add_argument("--repetitions", type=int, default=repetitions, help="Rounds that count.")
    parser.add_argument("--seconds", type=float, default=5.0, help="Bound of the rounds of one product.")


def _measurement(args: Any) -> dict[str, Any]:
    import torch

    from intertwine.products.survey.registry import find_product

    for name in args.products or ():
        find_product(name)
    _one_of("dtype", args.dtype, ("float32", "float64", "bfloat16"))
    if args.device.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here", got=args.device, expected="cpu")
    if args.threads:
        torch.set_num_threads(args.threads)
    return {
        "channels": args.channels,
        "batch": args.batch,
        "dtype": getattr(torch, args.dtype),
        "device": args.device,
        "repetitions": args.repetitions,
        "seconds": args.seconds,
    }


def _degrees(texts: Sequence[str]) -> list[int]:
    degrees: list[int] = []
    for text in texts:
        first, _, last = text.partition(":")
        try:
            degrees += range(int(first), int(last or first) + 1)
        except ValueError as error:
            raise ConfigError("degrees cannot be read", got=text, expected="1 2 3, or 1:6") from error
    return degrees


def _directions() -> tuple[str, ...]:
    return ("forward", "backward", "double_backward")


def _one_of(what: str, value: Any, known: Sequence[Any]) -> Any:
    if value not in known:
        names = [str(name) for name in known if name is not None]
        raise ConfigError(
            f"there is no {what} `{value}`", got=value, expected=", ".join(names), fix=nearest(str(value), names)
        )
    return value


def _lost(item: Any) -> str:
    found = item.expressivity
    if item.product is None:
        return f"everything ({item.reason})"
    parts = []
    if found.lost:
        a, b, c = found.lost[0]
        parts.append(f"{a} x {b} -> {c}" + (f" and {len(found.lost) - 1} more" if len(found.lost) > 1 else ""))
    if item.entry.group == "SO(3)":
        parts.append("parity")
    if found.tied:
        parts.append("independent strengths")
    return ", ".join(parts)


_COUPLES = {
    "even": "those with l1 + l2 + l3 even",
    "odd": "those with l1 + l2 + l3 odd",
}
_OUTPUTS = {"all": "both parities", "natural": "natural parity"}


def _table(*columns: str, whole: int = 1) -> Table:
    """Return a table; its first ``whole`` columns are never broken."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place < whole)
    return table
