"""Graphs as plain text: an edge a line, ``node node [weight]``; a line with one name is a node without edges.

An empty line ends a graph. A comment ``# key=value`` above the edges may give the graph a ``name`` and a ``label``.
Nodes are numbered in the order of their names: by value if all are whole numbers, else as they first appear.
"""

import math
import shlex
from collections.abc import Iterator
from pathlib import Path

import torch

from intertwine.errors import DataError, IntertwineError
from intertwine.graphs.graph import Graph

__all__ = ["read_edge_list"]

Line = tuple[int, list[str]]
"""The number of a line in its file, from 1, and its words."""


def read_edge_list(path: str | Path) -> list[Graph]:
    """Return the graphs of a file, in their order.

    Raises:
        DataError: naming file and line, if the file is missing, a line has more than three words, a weight is not a
            finite number, or an edge has two weights.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", got=path, expected="a file of edges") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is not a text file", got=str(error), expected="text in UTF-8") from error
    return [_graph(path, lines, about, place) for place, (lines, about) in enumerate(_blocks(text))]


def _blocks(text: str) -> Iterator[tuple[list[Line], dict[str, str]]]:
    """The lines of each graph, and what its comments say of it."""
    lines: list[Line] = []
    about: dict[str, str] = {}
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        words = line.strip()
        if words.startswith("#"):
            about |= _pairs(words[1:])
        elif words:
            lines.append((number, words.split()))
        elif lines:
            yield lines, about
            lines, about = [], {}


def _pairs(comment: str) -> dict[str, str]:
    try:
        words = shlex.split(comment)
    except ValueError:  # an apostrophe in a comment
        words = comment.split()
    return dict(word.split("=", 1) for word in words if "=" in word)


def _graph(path: Path, lines: list[Line], about: dict[str, str], place: int) -> Graph:
    names = list(dict.fromkeys(word for _, words in lines for word in words[:2]))
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    numbers = {name: index for index, name in enumerate(names)}
    edges, weights = [], []
    for number, words in lines:
        if len(words) > 3:
            raise DataError(
                f"{path}, line {number}: an edge has two nodes and at most a weight",
                got=" ".join(words)[:80],
                expected="node node [weight]",
            )
        if len(words) > 1:
            edges.append([numbers[words[0]], numbers[words[1]]])
            weights.append(_weight(path, number, words[2]) if len(words) == 3 else 1.0)
    weighted = any(len(words) == 3 for _, words in lines)
    try:
        return Graph.build(
            torch.tensor(edges, dtype=torch.int64).reshape(-1, 2),
            len(names),
            weights=torch.tensor(weights, dtype=torch.float64) if weighted else None,
            label=about.get("label"),
            name=about.get("name", f"{place}"),
        )
    except IntertwineError as error:
        where = f"{path}, graph {place} (line {lines[0][0]})"
        raise DataError(f"{where}: {error.message}", got=error.got, expected=error.expected, fix=error.fix) from error


def _weight(path: Path, number: int, word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}, line {number}: a weight is not a finite number", got=repr(word), expected="a number")
    return value
