"""Files of graphs: each kind is known by its ending."""

from collections.abc import Callable
from pathlib import Path

from intertwine.errors import DataError
from intertwine.graphs.archives import read_graph_archive
from intertwine.graphs.edge_lists import read_edge_list
from intertwine.graphs.graph import Graph
from intertwine.graphs.graph6 import read_graph6
from intertwine.graphs.graphml import read_graphml

__all__ = ["GRAPH_ENDINGS", "read_graphs"]

_READERS: dict[str, Callable[[Path], list[Graph]]] = {
    ".g6": read_graph6,
    ".graph6": read_graph6,
    ".npz": read_graph_archive,
    ".graphml": read_graphml,
    ".edges": read_edge_list,
    ".edgelist": read_edge_list,
    ".txt": read_edge_list,
}
GRAPH_ENDINGS = tuple(_READERS)
"""Endings of the files that `read_graphs` reads."""


def read_graphs(path: str | Path) -> list[Graph]:
    """Return the graphs of a file: graph6, ``.npz`` archive, GraphML or edge list, by its ending.

    Raises:
        DataError: if the ending is not known, the file is missing, damaged or without graphs, or a graph has no nodes.
        MissingExtraError: if a library is needed for this kind of file and not installed.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path} is of a kind that cannot be read as graphs",
            got=path.suffix or path.name,
            expected=", ".join(GRAPH_ENDINGS),
        )
    graphs = reader(path)
    if not graphs:
        raise DataError(f"{path} holds no graphs", got="an empty file", expected="at least one graph")
    empty = next((graph for graph in graphs if graph.num_nodes == 0), None)
    if empty is not None:
        raise DataError(
            f"{path}: graph {empty.name} has no nodes", got="0 nodes", expected="at least 1", fix="leave it out"
        )
    return graphs
