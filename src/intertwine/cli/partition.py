"""``intertwine partition``: cells of a user's own cloud, without a trained network."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from intertwine.cli.parsing import command_parser
from intertwine.cli.tables import make_table
from intertwine.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from intertwine.points import Cloud

__all__ = ["main"]

_UNCOUNTED = ("singletons", "whole")
"""Partitions that have no number of cells to choose."""


def main(words: list[str], console: Console) -> int:
    """Divide a cloud, print how large its cells are and how they mix known parts, and write them; status 0."""
    from intertwine.partitions import INITIAL

    parser = command_parser("partition", "Divide a cloud into cells, and report how they mix the parts that are known")
    parser.add_argument(
        "file",
        help="A cloud (.ply, .obj, .npz, .csv, .xyz). Points with the same `instance`, or else the same `label`, "
        "are one true part.",
    )
    parser.add_argument(
        "--cells", type=int, help="How many cells; a quarter of the points, at most 1024, where not given."
    )
    parser.add_argument("--method", choices=tuple(INITIAL), default="voronoi_fps", help="How cells are made.")
    parser.add_argument(
        "--seed", type=int, help="Draws where the method begins (the first point where not given), or what is random."
    )
    parser.add_argument(
        "--output", type=str, help="Where to write the cells (.ply or .npz); NAME.partition.ply where not given."
    )
    args = parser.parse_args(words)
    source = Path(args.file).expanduser()
    target = Path(args.output or f"{source.stem}.partition.ply").expanduser()
    if target.suffix.lower() not in (".ply", ".npz"):
        raise ConfigError("cells are written as PLY or NPZ", got=target.name, expected="a name ending in .ply or .npz")
    if target.resolve() == source.resolve():
        raise ConfigError("cells would be written over the cloud", got=target, fix="give another --output")
    if args.cells is not None and args.method in _UNCOUNTED:
        raise ConfigError(
            f"`{args.method}` has no number of cells to choose", got=f"--cells {args.cells}", fix="leave out --cells"
        )
    import torch

    from intertwine.partitions import initial_partition
    from intertwine.points import read_cloud

    cloud = read_cloud(source)
    points = torch.from_numpy(cloud.points)
    drawn = args.seed is not None or args.method == "uniform_random"
    rng = torch.Generator().manual_seed(args.seed or 0) if drawn else None
    part = initial_partition(args.method, points, None, args.cells, rng=rng)
    truth = cloud.labels if cloud.instances is None else cloud.instances
    known = None if truth is None else torch.from_numpy(truth)
    _show(f"{source.name}: {len(cloud)} points, {args.method}", points, part, known, console)
    written = _write(target, cloud, part)
    console.print(f"written to {written}", style="dim", highlight=False, soft_wrap=True)
    return 0


def _show(
    title: str, points: "torch.Tensor", part: "torch.Tensor", truth: "torch.Tensor | None", console: Console
) -> None:
    import torch

    from intertwine.graphs import segment_mean
    from intertwine.partitions import mixing

    count = int(part.max()) + 1
    sizes = torch.bincount(part).double()
    away = (points - segment_mean(points, part, count)[part]).norm(dim=1)
    radii = away.new_zeros(count).scatter_reduce(0, part, away, "amax")
    console.print(title, style="bold", highlight=False)
    table = make_table("", "median", "smallest", "largest", whole=4)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, values, form in (("points of a cell", sizes, "{:.0f}"), ("radius", radii, "{:.4g}")):
        table.add_row(
            name, *(form.format(float(value)) for value in (values.quantile(0.5), values.min(), values.max()))
        )
    console.print(f"{count} cells", highlight=False)
    console.print(table)
    if truth is not None:
        found = mixing(part, truth)
        true = len(truth.unique())
        console.print(
            f"{100 * found.parts:.1f} % of the cells mix the {true} true parts; {100 * found.points:.1f} % of the "
            "points are not in the true part that most points of their cell are in",
            highlight=False,
        )
    console.print(
        "radius: largest distance of a point from the centroid of its cell, in the unit of the file", style="dim"
    )


def _write(target: Path, cloud: "Cloud", part: "torch.Tensor") -> Path:
    from intertwine.points import write_cloud
    from intertwine.reporting.colours import class_colours

    cells = part.numpy()
    return write_cloud(target, replace(cloud, instances=cells, colours=class_colours(cells)))
