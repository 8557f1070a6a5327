"""``intertwine frames`` for files of graphs: how many orders of the nodes their frames leave open."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from intertwine.cli.tables import make_table

if TYPE_CHECKING:
    from intertwine.graphs import Graph

__all__ = ["is_graph_file", "show_graph_frames"]

_LISTED, _SHOWN = 10_000, 20
"""The largest frame that may well be listed, and how many graphs are shown."""


def is_graph_file(path: Path) -> bool:
    """Return whether a file holds graphs: by its ending, and of an archive by its arrays."""
    if path.suffix.lower() == ".npz":
        from intertwine.points.arrays import load_arrays

        return "edge_offset" in load_arrays(path)
    return path.suffix.lower() in (".g6", ".graph6", ".graphml", ".edges", ".edgelist")


def show_graph_frames(paths: Sequence[Path], console: Console) -> None:
    """Print the sizes of the frames of all graphs of some files, the largest first, and what to do with them.

    Args:
        paths: files of graphs; all graphs have the same features of nodes, or none.
        console: to print on.
    """
    import torch

    from intertwine.frames import GraphFrame, laplacian_signatures
    from intertwine.graphs import pad_graphs, read_graphs

    graphs: list[Graph] = [graph for path in paths for graph in read_graphs(path)]
    logarithms, distinct, valid = [], [], []
    for start in range(0, len(graphs), 256):
        batch = pad_graphs(graphs[start : start + 256])
        partition = GraphFrame().partition(batch.adjacency, batch.features, batch.mask)
        logarithms.append(partition.log_orders / torch.log(torch.tensor(10.0)))
        distinct.append(laplacian_signatures(batch.adjacency, batch.mask).distinct)
        valid.append(partition.valid)
    powers, different, clear = torch.cat(logarithms), torch.cat(distinct), torch.cat(valid)
    console.print("orders of the nodes that sort the signatures of the Laplacian, most first", style="bold")
    table = make_table("graph", "nodes", "edges", "eigenvalues", "|F|", whole=5)
    for column in table.columns[1:]:
        column.justify = "right"
    for place in powers.argsort(descending=True).tolist()[:_SHOWN]:
        graph, power = graphs[place], float(powers[place])
        size = f"{10**power:.0f}" if power < 6 else f"10^{power:.1f}"
        cells = [graph.name, str(graph.num_nodes), str(_edges(graph)), str(int(different[place])), size]
        table.add_row(*cells, style=None if clear[place] else "red")
    console.print(table)
    if len(graphs) > _SHOWN:
        console.print(f"and {len(graphs) - _SHOWN} graphs with smaller frames", style="dim", highlight=False)
    single, large = int((powers < 1e-9).sum()), int((10**powers > _LISTED).sum())
    median = float(powers.quantile(0.5))
    console.print(
        f"{len(graphs)} graphs: {single} with one order, {large} with more than {_LISTED}; median |F| 10^{median:.1f}",
        highlight=False,
    )
    if large:
        console.print(
            'draw from these with mode="stochastic", or use MinimalGraphFrame, whose invariants need one order',
            highlight=False,
        )
    if not bool(clear.all()):
        console.print(f"{int((~clear).sum())} are not valid: rounding could change their frames", style="red")


def _edges(graph: "Graph") -> int:
    source, destination = graph.edge_index
    return int((source <= destination).sum())
