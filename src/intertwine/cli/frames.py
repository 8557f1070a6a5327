"""``intertwine frames``: whether the frames of a user's own clouds are stable, and how large those of graphs are."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from intertwine.cli.graph_frames import is_graph_file, show_graph_frames
from intertwine.cli.parsing import command_parser
from intertwine.cli.tables import make_table
from intertwine.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from intertwine.frames import Stability

__all__ = ["main"]

_SHOWN = 20


def main(words: list[str], console: Console) -> int:
    """Print the stability report of clouds and meshes, or the sizes of the frames of graphs; status 0 in any case."""
    parser = command_parser(
        "frames", "Report how stable the PCA frames of clouds are: eigen-gaps, sizes of frames, axes that change places"
    )
    parser.add_argument(
        "files",
        nargs="+",
        help="Clouds (.ply, .obj, .npz, .csv, .xyz), meshes (.stl, .off, .npz) or "
        "graphs (.g6, .graphml, .edges, .npz).",
    )
    parser.add_argument("--group", type=str, default="E(3)", help="E(3), SE(3), O(3) or SO(3).")
    parser.add_argument("--tolerance", type=float, default=0.05, help="Relative gap below which a frame is degenerate.")
    parser.add_argument("--noise", type=float, nargs="+", default=[0.001, 0.01, 0.05], help="Shares of a cloud's size.")
    parser.add_argument("--draws", type=int, default=32, help="Noisy copies of each cloud.")
    parser.add_argument("--points", type=int, default=1024, help="Points drawn from the surface of a mesh.")
    parser.add_argument("--seed", type=int, default=0, help="Seed of the points and of the noise.")
    parser.add_argument(
        "--output", type=str, help="Also write a page with the pictures (.html) or all numbers (.json)."
    )
    args = parser.parse_args(words)
    if not args.tolerance >= 0 or args.points < 1:
        raise ConfigError(
            "clouds have points, and gaps are not below 0",
            got=f"--tolerance {args.tolerance:g}, --points {args.points}",
            expected="--tolerance of at least 0, and --points of at least 1",
        )
    path = None if args.output is None else Path(args.output).expanduser()
    if path is not None and path.suffix not in (".html", ".json"):
        raise ConfigError("a report is a page or numbers", got=path.name, expected="a name ending in .html or .json")
    files = [Path(file).expanduser() for file in args.files]
    graphs = [file for file in files if file.exists() and is_graph_file(file)]
    if graphs:
        if len(graphs) < len(files) or path is not None:
            raise ConfigError(
                "graphs have a report of their own, on the terminal",
                got=", ".join(args.files),
                expected="files of graphs only, and no --output",
            )
        show_graph_frames(graphs, console)
        return 0
    import torch

    from intertwine.frames import PCAFrame, measure_stability, pad_segments

    rng = torch.Generator().manual_seed(args.seed)
    clouds = [cloud for file in files for cloud in _read(file, args.points, rng)]
    sizes = torch.tensor([len(points) for _, points in clouds])
    index = torch.arange(len(clouds)).repeat_interleave(sizes)
    together = torch.cat([torch.from_numpy(points) for _, points in clouds])
    padded, mask = pad_segments(together, index, len(clouds))
    frame = PCAFrame(args.group, tolerance=args.tolerance)
    found = measure_stability(padded, mask, frame=frame, noise=tuple(args.noise), draws=args.draws, rng=rng)
    names = [name for name, _ in clouds]
    _show(names, found, str(frame), args.tolerance, console)
    if path is not None:
        from intertwine.reporting.frames import write_stability

        written = write_stability(path, names, found, str(frame), args.tolerance)
        console.print(f"written to {written}", highlight=False, soft_wrap=True)
    return 0


def _read(path: Path, points: int, rng: object) -> "list[tuple[str, np.ndarray]]":
    """Return the clouds of a file by name; meshes are sampled."""
    import torch

    from intertwine.points import Mesh, has_faces, read_clouds, read_mesh, read_meshes, sample_surface
    from intertwine.points.arrays import load_arrays

    def sampled(mesh: Mesh) -> "tuple[str, np.ndarray]":
        drawn = sample_surface(torch.from_numpy(mesh.vertices), torch.from_numpy(mesh.faces), points, rng)  # pyright: ignore
        return mesh.name.rpartition(" ")[2], drawn.points.numpy()

    if path.suffix.lower() == ".npz" and "faces" in load_arrays(path):
        return [sampled(mesh) for mesh in read_meshes(path)]
    if has_faces(path):
        return [sampled(read_mesh(path))]
    return [(cloud.name, cloud.points) for cloud in read_clouds(path)]


def _show(names: Sequence[str], found: "Stability", frame: str, tolerance: float, console: Console) -> None:
    shares = "/".join(f"{100 * share:g}" for share in found.noise)
    console.print(f"{frame}, least stable first", style="bold", highlight=False)
    table = make_table("cloud", "points", "rank", "gap", "|F|", f"turn at {shares} %", "switches", whole=7)
    for column in table.columns[1:]:
        column.justify = "right"
    order = found.gap.argsort().tolist()
    for place in order[:_SHOWN]:
        gap = float(found.gap[place])
        cells = [
            names[place],
            str(int(found.points[place])),
            str(int(found.rank[place])),
            "-" if gap == float("inf") else f"{gap:.2g}",
            str(int(found.elements[place])),
            "/".join(f"{angle:.1f}" for angle in found.turn[place].tolist()) + "°",
            f"{100 * float(found.switching[place, -1]):.0f} %",
        ]
        table.add_row(*cells, style=None if found.valid[place] else "red")
    console.print(table)
    if len(order) > _SHOWN:
        console.print(f"and {len(order) - _SHOWN} clouds with larger gaps", style="dim", highlight=False)
    degenerate = int((~found.valid).sum())
    console.print(
        f"{degenerate} of {len(names)} have eigenvalues closer than {tolerance:g} of the largest"
        + ('; average these over weighted frames, or say degenerate="symmetrise"' if degenerate else ""),
        highlight=False,
    )
    console.print(
        "turn: median angle of the axis that turns most, under noise of this share of the cloud's size; switches: "
        "draws at the largest noise in which axes change places; |F|: elements of the frame that differ; gap: of "
        "eigenvalues, relative to the largest",
        style="dim",
        highlight=False,
    )
