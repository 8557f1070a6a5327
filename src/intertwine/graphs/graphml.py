"""Graphs in GraphML, as networkx, igraph, Gephi and yEd write them."""

from pathlib import Path
from typing import Any

import torch

from intertwine.errors import DataError, IntertwineError, MissingExtraError
from intertwine.graphs.graph import Graph

__all__ = ["read_graphml"]


def read_graphml(path: str | Path) -> list[Graph]:
    """Return the graphs of a file.

    Attributes of nodes that are numbers on every node become features, in the order of their names; ``weight`` of the
    edges becomes their weight; ``label`` and ``name`` of the graph are what they say.

    Raises:
        DataError: if the file is missing or damaged, or a graph is directed.
        MissingExtraError: if networkx is not installed.
    """
    try:
        from networkx.exception import NetworkXError
        from networkx.readwrite.graphml import GraphMLReader
    except ImportError as error:
        raise MissingExtraError(
            "GraphML is read by networkx", got="no module `networkx`", fix="pip install 'intertwine[graphs]'"
        ) from error
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {path}", got=path, expected="a GraphML file")
    try:
        found = list(GraphMLReader()(path=str(path)))
    except (NetworkXError, SyntaxError, ValueError, KeyError, TypeError, OSError) as error:
        raise DataError(f"{path} is not GraphML, or it is damaged", got=str(error)[:200]) from error
    return [_graph(path, place, graph) for place, graph in enumerate(found)]


def _graph(path: Path, place: int, found: Any) -> Graph:
    name = str(found.graph.get("name", place))
    if found.is_directed():
        raise DataError(
            f"{path}: graph {name} is directed",
            got='edgedefault="directed"',
            expected="an undirected graph",
            fix="write it again after `graph.to_undirected()` of networkx",
        )
    numbers = {node: index for index, node in enumerate(found.nodes)}
    edges = [(numbers[a], numbers[b]) for a, b in found.edges()]
    weights = [data.get("weight") for _, _, data in found.edges(data=True)]
    columns = [dict(found.nodes[node]) for node in found.nodes]
    shared = sorted(set.intersection(*(set(column) for column in columns))) if columns else []
    numeric = [key for key in shared if all(_is_number(column[key]) for column in columns)]
    rows = [[float(column[key]) for key in numeric] for column in columns]
    weighted = any(weight is not None for weight in weights)
    label = found.graph.get("label")
    try:
        return Graph.build(
            torch.tensor(edges, dtype=torch.int64).reshape(-1, 2),
            len(numbers),
            features=torch.tensor(rows, dtype=torch.float64) if numeric else None,
            weights=torch.tensor([1.0 if w is None else float(w) for w in weights]).double() if weighted else None,
            label=None if label is None else str(label),
            name=name,
        )
    except (IntertwineError, ValueError, TypeError) as error:
        got = error.got if isinstance(error, IntertwineError) else str(error)
        message = error.message if isinstance(error, IntertwineError) else "a weight is not a number"
        raise DataError(f"{path}: {message}", got=got) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
