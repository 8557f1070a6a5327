"""``intertwine products plot``: pictures of a benchmark, or of what products do to functions on the sphere."""

from pathlib import Path

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.errors import ConfigError

__all__ = ["plot"]


def plot(words: list[str], console: Console) -> int:
    """Draw a benchmark, or products themselves."""
    parser = command_parser(
        "products plot",
        "Draw a benchmark (time against degree, per degree of freedom, roofline), or without one what products do: "
        "functions on the sphere, couplings, sparsity of the Fourier tables",
    )
    parser.add_argument("bench", nargs="?", help="File that `intertwine products bench` wrote.")
    parser.add_argument("--output", type=str, help="Page or picture: .html, or .svg, .png, .pdf where kaleido is.")
    parser.add_argument("--lmax", type=int, help="Without a file: largest degree of the inputs (default: 3).")
    parser.add_argument("--products", type=str, nargs="+", help="Without a file: products whose couplings are drawn.")
    parser.add_argument("--seed", type=int, help="Without a file: seed of the two features (default: 0).")
    args = parser.parse_args(words)
    if args.bench is None:
        from intertwine.reporting.product_maps import draw_products

        lmax, seed = 3 if args.lmax is None else args.lmax, 0 if args.seed is None else args.seed
        written = draw_products(Path(args.output or "products.html").expanduser(), lmax, args.products, seed)
    else:
        unused = [f"--{name}" for name in ("lmax", "products", "seed") if getattr(args, name) is not None]
        if unused:
            raise ConfigError(
                "a benchmark is drawn as it was measured",
                got=f"{args.bench} with {', '.join(unused)}",
                fix="leave the file out to draw what products do, or leave the options out",
            )
        from intertwine.products.survey.bench_table import read_bench
        from intertwine.reporting.products import draw_bench

        source = Path(args.bench).expanduser()
        rows = read_bench(source)
        written = draw_bench(Path(args.output).expanduser() if args.output else source.with_suffix(".html"), rows)
    for path in written:
        console.print(f"written to {path}", highlight=False, soft_wrap=True)
    return 0
