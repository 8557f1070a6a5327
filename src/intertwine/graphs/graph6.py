"""graph6, the text format of nauty and of most collections of small graphs: a line of printable letters for each graph.

A letter holds six bits, as its code less 63. The first letters hold the number of nodes, the others the upper triangle
of the adjacency matrix column by column. Format: B. D. McKay, `formats.txt` of nauty.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from intertwine.errors import DataError
from intertwine.graphs.graph import Graph

__all__ = ["format_graph6", "parse_graph6", "read_graph6", "write_graph6"]

_HEADER = ">>graph6<<"
_OTHERS = {":": "sparse6", ";": "incremental sparse6", "&": "digraph6"}
_SMALL, _MEDIUM = 62, 258047
"""Largest numbers of nodes that take one letter, and four."""


def parse_graph6(text: str, *, name: str = "", label: str | None = None) -> Graph:
    """Return the graph of one line.

    Args:
        text: the letters, with or without the header of the format.
        name: what to call the graph in messages.
        label: the class of the graph.

    Raises:
        DataError: if there are too few or too many letters, or one that the format does not have.

    Example:
        >>> parse_graph6("Bw").edge_index.tolist()
        [[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]]
    """
    called = name or "a line"
    letters = text.strip().removeprefix(_HEADER)
    if letters[:1] in _OTHERS:
        raise DataError(
            f"{called} is {_OTHERS[letters[:1]]}, not graph6",
            got=letters[:40],
            expected="graph6",
            fix="convert it with `copyg -g` of nauty",
        )
    codes = np.frombuffer(letters.encode("utf-8"), np.uint8).astype(np.int64) - 63
    if not codes.size or codes.min() < 0 or codes.max() > 63:
        raise DataError(
            f"{called} is not graph6", got=repr(letters[:40]), expected="letters from `?` to `~`, at least one"
        )
    nodes, start = _read_size(called, codes)
    pairs = nodes * (nodes - 1) // 2
    length = -(-pairs // 6)
    found = codes[start:]
    bits = ((found[:, None] >> np.arange(5, -1, -1)) & 1).ravel()
    if len(found) != length or bits[pairs:].any():
        cut = len(found) != length
        raise DataError(
            f"{called} is damaged: {'its length does not fit its' if cut else 'bits are set beyond its'} nodes",
            got=f"{len(found)} letters for {nodes} nodes" if cut else repr(letters[:40]),
            expected=f"{length} letters" if cut else "zeros after the last pair of nodes",
            fix="copy the file again: lines must be neither cut nor joined",
        )
    column, row = np.tril_indices(nodes, -1)
    edges = np.stack([row, column], axis=1)[bits[:pairs].astype(bool)]
    return Graph.build(torch.from_numpy(edges), nodes, label=label, name=name)


def format_graph6(graph: Graph) -> str:
    """Return the line of a graph, without its features and label.

    Raises:
        DataError: if it has weights or edges from a node to itself, which the format does not have.
    """
    nodes, (source, destination) = graph.num_nodes, graph.edge_index.numpy()
    plain = graph.edge_weights is None or bool((graph.edge_weights == 1).all())
    if not plain or (source == destination).any():
        raise DataError(
            f"graph {graph.name} cannot be written as graph6",
            got="edges with weights" if not plain else "an edge from a node to itself",
            expected="a simple graph",
            fix="write it to an .npz file",
        )
    matrix = np.zeros((nodes, nodes), bool)
    matrix[destination, source] = True
    bits = matrix[np.tril_indices(nodes, -1)]
    bits = np.concatenate([bits, np.zeros(-len(bits) % 6, bool)]).reshape(-1, 6)
    codes = [*_size_codes(nodes), *(bits @ (1 << np.arange(5, -1, -1))).tolist()]
    return "".join(chr(int(code) + 63) for code in codes)


def read_graph6(path: str | Path) -> list[Graph]:
    """Return the graphs of a file, one a line; what stands after a blank in a line is the class of its graph.

    Raises:
        DataError: naming file and line, if the file is missing or a line is damaged.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", got=path, expected="a file of graphs") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a graph6 file", got=str(error), expected="text in ASCII") from error
    graphs = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.removeprefix(_HEADER).split(maxsplit=1)
        if words:
            label = words[1].strip() if words[1:] else None
            graphs.append(parse_graph6(words[0], name=f"{path.name}, line {number}", label=label))
    return graphs


def write_graph6(path: str | Path, graphs: Sequence[Graph]) -> Path:
    """Write graphs, one a line with its class where it has one, and return the path."""
    lines = [f"{format_graph6(graph)}{f' {graph.label}' if graph.label else ''}\n" for graph in graphs]
    path = Path(path)
    path.write_text("".join(lines), encoding="ascii")
    return path


def _read_size(called: str, codes: np.ndarray) -> tuple[int, int]:
    """The number of nodes, and how many letters hold it."""
    start, digits = (0, 1) if codes[0] < 63 else (1, 3) if len(codes) < 2 or codes[1] < 63 else (2, 6)
    if len(codes) < start + digits:
        raise DataError(
            f"{called} is damaged: its number of nodes is cut", got=f"{len(codes)} letters", expected="graph6"
        )
    size = 0
    for code in codes[start : start + digits].tolist():
        size = 64 * size + code
    return size, start + digits


def _size_codes(nodes: int) -> list[int]:
    digits = 1 if nodes <= _SMALL else 3 if nodes <= _MEDIUM else 6
    return [63] * (digits // 3) + [nodes >> 6 * place & 63 for place in range(digits - 1, -1, -1)]
