"""Graphs in ``.npz`` archives: all edges in one array, and where those of each graph begin.

Two layouts are read. The one that is also written: ``num_nodes`` (graphs), ``edge_index`` (2, edges) with both
directions and nodes counted within each graph, ``edge_offset`` (graphs + 1), and where known ``node_type`` (nodes) or
``features`` (nodes, channels), ``edge_weight`` (edges) and ``label`` (graphs). The other: ``node_offset`` (graphs + 1),
``edges`` (pairs, 2), ``edge_offset`` (graphs + 1), and where known ``node_type`` and ``y``.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from intertwine.errors import DataError, IntertwineError
from intertwine.graphs.graph import Graph

__all__ = ["read_graph_archive", "write_graph_archive"]


def read_graph_archive(path: str | Path) -> list[Graph]:
    """Return the graphs of an archive, in their order.

    Raises:
        DataError: if it is missing or damaged, lacks an array, the arrays do not fit together, an edge is there in
            one direction only, or a feature is not finite.
    """
    path = Path(path)
    arrays = _arrays(path)
    first = "node_offset" in arrays
    needed = ("node_offset", "edges", "edge_offset") if first else ("num_nodes", "edge_index", "edge_offset")
    absent = [name for name in needed if name not in arrays]
    if absent:
        raise DataError(
            f"{path} lacks {', '.join(absent)}",
            got=", ".join(arrays) or "no array",
            expected="num_nodes, edge_index, edge_offset; or node_offset, edges, edge_offset",
        )
    nodes = arrays["node_offset"] if first else np.concatenate([[0], np.cumsum(arrays["num_nodes"], dtype=np.int64)])
    edges = arrays["edges"] if first else arrays["edge_index"].T
    bounds, labels = arrays["edge_offset"], arrays.get("y" if first else "label")
    features, weights = arrays.get("features", arrays.get("node_type")), arrays.get("edge_weight")
    _check(path, nodes, edges, bounds, {"label": labels}, {"features": features}, {"edge_weight": weights})
    graphs = []
    for place in range(len(nodes) - 1):
        mine, own = slice(*nodes[place : place + 2]), slice(*bounds[place : place + 2])
        pairs = torch.from_numpy(edges[own].astype(np.int64))
        rows = None if features is None else torch.from_numpy(features[mine].astype(np.float64))
        try:
            graph = Graph.build(
                pairs,
                int(nodes[place + 1] - nodes[place]),
                features=None if rows is None else rows.reshape(len(rows), -1),
                weights=None if weights is None else torch.from_numpy(weights[own].astype(np.float64)),
                label=None if labels is None else str(labels[place]),
                name=f"{place}",
            )
        except IntertwineError as error:
            raise DataError(f"{path}: {error.message}", got=error.got, expected=error.expected) from error
        if not first and graph.edge_index.shape[1] != len(torch.unique(pairs, dim=0)):
            raise DataError(
                f"{path}: an edge of graph {place} is there in one direction only",
                got="a directed graph",
                expected="both directions of every edge",
                fix="add the other direction, or store pairs as `edges` with `node_offset`",
            )
        graphs.append(graph)
    return graphs


def write_graph_archive(path: str | Path, graphs: Sequence[Graph]) -> Path:
    """Write graphs in the first layout and return the path; labels that are whole numbers are stored as such.

    Raises:
        DataError: if only some of the graphs have features, weights, or a label.
    """
    given = {
        "features": [graph.features for graph in graphs],
        "edge_weight": [graph.edge_weights for graph in graphs],
        "label": [graph.label for graph in graphs],
    }
    for name, values in given.items():
        missing = sum(value is None for value in values)
        if 0 < missing < len(values):
            raise DataError(
                f"only some of these graphs have a {name}", got=f"{missing} of {len(values)} have none", expected="all"
            )
    counts = [graph.edge_index.shape[1] for graph in graphs]
    arrays = {
        "num_nodes": np.array([graph.num_nodes for graph in graphs], np.int64),
        "edge_index": np.concatenate([graph.edge_index.numpy() for graph in graphs] or [np.zeros((2, 0), int)], axis=1),
        "edge_offset": np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
    }
    for name in ("features", "edge_weight"):
        if known := [values for values in given[name] if isinstance(values, torch.Tensor)]:
            arrays[name] = torch.cat(known).numpy()
    if labels := [label for label in given["label"] if label is not None]:
        arrays["label"] = _labels(labels)
    path = Path(path)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    return path


def _labels(labels: Sequence[object]) -> np.ndarray:
    words = [str(label) for label in labels]
    whole = all(word.removeprefix("-").isdecimal() and str(int(word)) == word for word in words)
    return np.array([int(word) for word in words]) if whole else np.array(words)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # opened here, because numpy leaves a damaged archive open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", got=path, expected="an .npz archive of graphs") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, AttributeError) as error:
        raise DataError(f"{path} is not an .npz archive, or it is cut off", got=str(error)) from error


def _check(
    path: Path,
    nodes: np.ndarray,
    edges: np.ndarray,
    bounds: np.ndarray,
    by_graph: dict[str, np.ndarray | None],
    by_node: dict[str, np.ndarray | None],
    by_edge: dict[str, np.ndarray | None],
) -> None:
    problems = {}
    whole = all(np.issubdtype(array.dtype, np.integer) for array in (nodes, edges, bounds))
    if not whole or edges.ndim != 2 or edges.shape[1] != 2:
        problems["edges"] = f"{edges.dtype} {edges.shape}"
    for name, offsets, last in (("nodes", nodes, None), ("edge_offset", bounds, len(edges))):
        falls = offsets.ndim != 1 or not len(offsets) or offsets[0] != 0 or (np.diff(offsets) < 0).any()
        if falls or (last is not None and offsets[-1] != last):
            problems[name] = "offsets that do not begin at 0, fall, or do not end at the number of edges"
    if not problems and len(bounds) != len(nodes):
        problems["edge_offset"] = f"{len(bounds) - 1} graphs, and nodes of {len(nodes) - 1}"
    if not problems:
        for arrays, count in ((by_graph, len(nodes) - 1), (by_node, int(nodes[-1])), (by_edge, len(edges))):
            for name, array in arrays.items():
                if array is not None and (array.ndim < 1 or len(array) != count):
                    problems[name] = f"{array.shape}, not one row for each of {count}"
    if problems:
        raise DataError(
            f"{path}: the arrays do not fit together",
            got=problems,
            expected="the layout that `intertwine.graphs.archives` describes",
        )
