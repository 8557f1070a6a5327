"""``intertwine products compare``: products side by side in one setting, or for irreps of one's own."""

from typing import TYPE_CHECKING, Any

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.cli.products.options import DIRECTIONS, add_measurement, one_of, plural, read_measurement
from intertwine.cli.tables import make_table
from intertwine.errors import ConfigError

if TYPE_CHECKING:
    from intertwine.products.survey.comparison import Candidate
    from intertwine.products.survey.setting import Setting

__all__ = ["compare"]


def compare(words: list[str], console: Console) -> int:
    """Show what products express, lose and cost."""
    parser = command_parser("products compare", "Compare products in one setting: what they express, lose and cost")
    parser.add_argument("--lmax", type=int, help="Largest degree of the inputs (default: 2).")
    parser.add_argument("--setting", type=str, help="SISO, SIMO or MIMO (default: MIMO).")
    parser.add_argument("--outputs", type=str, help="Parities of the output: all or natural (default: all).")
    parser.add_argument("--in1", type=str, help='Irreps of your own instead of a setting, such as "0e + 1o + 2e".')
    parser.add_argument("--in2", type=str, help="Irreps of the second input (default: those of the first).")
    parser.add_argument("--out", type=str, help="Irreps that are needed (default: all that the inputs give).")
    add_measurement(parser, batch=1000, repetitions=20)
    parser.add_argument("--direction", type=str, default="forward", help=f"One of {', '.join(DIRECTIONS)}.")
    parser.add_argument("--skip_time", action="store_true", help="Count only, do not measure.")
    args = parser.parse_args(words)
    from intertwine.products.survey.comparison import bench_products, candidates

    setting = _setting(args)
    measurement = read_measurement(args)
    direction = one_of("direction", args.direction, DIRECTIONS)
    seconds: dict[str, float] = {}
    if not args.skip_time:
        measured = bench_products([setting], args.products, directions=[direction], **measurement)
        seconds = {row.product: row.time_s for row in measured}
    if not setting.paths:
        console.print(f"{setting.title}: no allowed path, expressivity 0; nothing is timed", highlight=False)
        return 0
    found = candidates(setting, args.products)
    columns = ["couplings", "freedom", "flops", "bytes", *(["ms", "µs/freedom"] if seconds else [])]
    table = make_table("product", *columns, whole=1 + len(columns))
    for column in table.columns[1:]:
        column.justify = "right"
    for item in found:
        table.add_row(item.entry.name, *_cells(item, seconds, measurement["dtype"])[: len(columns)])
    console.print(table)
    alike: dict[str, list[str]] = {}
    for item in found:
        if text := _lost(item):
            alike.setdefault(text, []).append(item.entry.name)
    for text, names in alike.items():
        console.print(f"{', '.join(names)}: {text}", highlight=False)
    note = f"{setting.title}{_OUTPUTS.get(args.outputs or 'all', '') if setting.name != 'given' else ''}"
    note += "\ncouplings: that it has, of those allowed; freedom: independent maps, of one a coupling"
    note += "; flops, bytes: of one sample"
    if seconds:
        channels = plural(args.channels, "channel")
        note += f"; ms: of one call, {args.batch} samples, {channels}, {args.dtype}, {args.direction}"
    console.print(note, style="dim", highlight=False)
    return 0


def _setting(args: Any) -> "Setting":
    from intertwine.products.survey.setting import given_setting, make_setting

    if args.in1 is None:
        if args.in2 is not None or args.out is not None:
            raise ConfigError("irreps of the first input are missing", got="--in2 or --out", fix='add --in1 "0e + 1o"')
        lmax = 2 if args.lmax is None else args.lmax
        return make_setting(args.setting or "MIMO", lmax, outputs=args.outputs or "all")
    both = [f"--{name}" for name in ("lmax", "setting", "outputs") if getattr(args, name) is not None]
    if both:
        raise ConfigError(
            "irreps of your own take the place of a setting",
            got=f"--in1 with {', '.join(both)}",
            fix="give --in1, --in2 and --out, or --lmax, --setting and --outputs",
        )
    setting = given_setting(args.in1, args.in2, args.out)
    setting.require_paths()
    return setting


def _cells(item: "Candidate", seconds: dict[str, float], dtype: Any) -> list[str]:
    found, time = item.expressivity, seconds.get(item.entry.name)
    return [
        f"{item.interactions}/{len(found.lost) + len(found.interactable)}",
        f"{found.rank}/{found.paths}",
        "" if item.product is None else str(item.product.flops()),
        "" if item.product is None else str(item.product.bytes(dtype)),
        "" if time is None else f"{1e3 * time:.3g}",
        "" if time is None else f"{1e6 * time / found.rank:.3g}",
    ]


def _lost(item: "Candidate") -> str:
    from intertwine.products.low_rank import LowRankProduct

    found, product = item.expressivity, item.product
    if product is None:
        return f"nothing here ({item.reason.removeprefix(f'the product `{item.entry.name}` ')})"
    parts = []
    if found.lost:
        a, b, c = found.lost[0]
        parts.append(f"without {a} x {b} -> {c}" + (f" and {len(found.lost) - 1} more" if len(found.lost) > 1 else ""))
    if item.entry.group == "SO(3)":
        parts.append("without parity")
    if found.tied:
        parts.append("strengths tied")
    if isinstance(product, LowRankProduct) and product.error:
        parts.append(f"approximate, relative error {product.error:.2g}")
    return ", ".join(parts)


_OUTPUTS = {"all": ", outputs of both parities", "natural": ", outputs of natural parity"}
