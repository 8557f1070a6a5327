"""Channel-wise products with per-edge weights on CUDA: value, gradient and tangent, one launch a chunk of paths.

Edges are sorted by the node whose rows a kernel adds up, at every call: an index may change between calls in ways that
nobody tells. No message of an edge is stored. What is held beyond the outputs is the order of the edges and, for the
derivative by y, one part a chunk of paths and block of channels.

Compiled for sm_80 and sm_90 and run through Triton's interpreter; not run on hardware.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from intertwine.kernels.channelwise import check_rows
from intertwine.kernels.gpu.channelwise_paths import PathTerms, gradient_chunks, read_paths, value_chunks
from intertwine.kernels.gpu.channelwise_source import Frame, gradient_source, value_source
from intertwine.kernels.gpu.groups import check_index, group_rows
from intertwine.kernels.gpu.launch import launch
from intertwine.kernels.gpu.source import lanes_for, make_kernel, wide
from intertwine.kernels.gpu.tables import Table, read_table

__all__ = ["gradient", "tangent", "value"]

_LETTERS = "xyw"
_ABSENT = "an edge names a node that is not there"


class _Problem:
    """What all kernels of one call share."""

    def __init__(self, inputs: Sequence[Tensor], static: Sequence[Any]) -> None:
        x, y, w = self.inputs = inputs
        source, destination, paths, terms, rows, dim, slow = static
        self.source, self.destination = (None if a is None else a.contiguous() for a in (source, destination))
        self.edges, self.rows = y.shape[0], y.shape[0] if destination is None else rows
        check_rows(inputs, source, destination)
        check_index(self.source, x.shape[0], _ABSENT)
        check_index(self.destination, rows, _ABSENT)
        self.dims = (x.shape[1], y.shape[1], dim, w.shape[1])
        self.paths, self.terms, self.slow = tuple(paths), read_table(terms), slow

    def kernels(self, kind: str, along: str, wanted: str = "") -> "_Kernels":
        """Return the kernels of one kind, made once a problem."""
        return _kernels(
            kind, self.paths, self.terms, self.slow, self.dims, self.inputs[0].dtype,
            self.source is not None, self.destination is not None, along, wanted,
        )  # fmt: skip

    def walk(self, index: Tensor | None, nodes: int) -> list[Tensor]:
        """Return the arguments by which a kernel finds the edges of its node."""
        return [] if index is None else list(group_rows(index, nodes))


class _Kernels:
    """One kernel a chunk of paths, with the blocks of channels it has, and what all cover of the rows they write."""

    def __init__(self, functions: list[Any], chunks: list[list[PathTerms]], lanes: int) -> None:
        self.functions, self.chunks = functions, chunks
        self.blocks = [-(-chunk[0].channels // lanes) for chunk in chunks]

    def launch(self, nodes: int, *arguments: Any, numbered: bool = False) -> None:
        """Run all of them; ``numbered`` says that each is told how many blocks come before its own."""
        before = 0
        for function, blocks in zip(self.functions, self.blocks, strict=True):
            launch(function, (nodes, blocks), *arguments, *([before] if numbered else []))
            before += blocks

    def covers(self, letter: str, length: int) -> bool:
        """Return whether every number of a row of x, z or w is written."""
        rows = {
            (row, path.channels)
            for chunk in self.chunks
            for path in chunk
            for row in {"x": path.x, "z": path.z, "w": (path.w,)}[letter]
        }
        return sum(width for _, width in rows) == length

    def all_read_y(self, length: int) -> bool:
        """Return whether every chunk has all places of y."""
        return all(len(set().union(*(path.places_y() for path in chunk))) == length for chunk in self.chunks)


@lru_cache(maxsize=512)
def _kernels(
    kind: str,
    paths: tuple[int, ...],
    terms: Table,
    slow: bool,
    dims: tuple[int, int, int, int],
    dtype: torch.dtype,
    source: bool,
    destination: bool,
    along: str,
    wanted: str,
) -> _Kernels:
    read = read_paths(paths, terms.rows, slow)
    lanes = lanes_for(max((path.channels for path in read), default=0), dtype)
    ends = (destination, source) if kind == "value" else (source, destination)
    frame = Frame(dims, lanes, str(wide(dtype)).replace("torch", "tl"), *ends, along)
    chunks = value_chunks(read) if kind == "value" else gradient_chunks(read)
    lines = (value_source(frame, c) if kind == "value" else gradient_source(frame, c, wanted) for c in chunks)
    return _Kernels([make_kernel(kind, text) for text in lines], chunks, lanes)


def _empty(like: Tensor, shape: Sequence[int], full: bool, dtype: torch.dtype | None = None) -> Tensor:
    return (like.new_empty if full else like.new_zeros)(shape, dtype=dtype or like.dtype)


def _run_value(problem: _Problem, tangents: Sequence[Tensor | None]) -> Tensor:
    along = "".join(letter for letter, t in zip(_LETTERS, tangents, strict=True) if t is not None)
    kernels = problem.kernels("value", along)
    dim = problem.dims[2]
    z = _empty(problem.inputs[0], (problem.rows, dim), kernels.covers("z", dim))
    walk = problem.walk(problem.destination, problem.rows)
    other = [] if problem.source is None else [problem.source]
    given = [t for t in tangents if t is not None]
    kernels.launch(problem.rows, z, *problem.inputs, *given, *walk, *other)
    return z


def _run_gradient(
    problem: _Problem, g: Tensor, tangents: Sequence[Tensor | None], wanted: Sequence[bool]
) -> list[Tensor | None]:
    along = "".join(letter for letter, t in zip(_LETTERS, tangents, strict=True) if t is not None)
    # of a trilinear function: the derivative by one factor moves only with the other two
    moves = {letter: not along or bool(set(along) - {letter}) for letter in _LETTERS}
    letters = "".join(letter for letter, flag in zip(_LETTERS, wanted, strict=True) if flag and moves[letter])
    found = {
        letter: torch.zeros_like(a)
        for letter, a, flag in zip(_LETTERS, problem.inputs, wanted, strict=True)
        if flag and not moves[letter]
    }
    if letters:
        found |= _run_letters(problem, g, along, [t for t in tangents if t is not None], letters)
    return [found.get(letter) for letter in _LETTERS]


def _run_letters(problem: _Problem, g: Tensor, along: str, tangents: list[Tensor], letters: str) -> dict[str, Tensor]:
    x, y, w = problem.inputs
    kernels = problem.kernels("gradient", along, letters)
    parts = sum(kernels.blocks)
    found = {
        "x": lambda: _empty(x, x.shape, kernels.covers("x", x.shape[1])),
        "y": lambda: _empty(y, (parts, *y.shape), kernels.all_read_y(y.shape[1]), wide(y.dtype)),
        "w": lambda: _empty(w, w.shape, kernels.covers("w", w.shape[1])),
    }
    outputs = {letter: found[letter]() for letter in letters}
    walk = problem.walk(problem.source, x.shape[0])
    other = [] if problem.destination is None else [problem.destination]
    arguments = (*outputs.values(), g, *problem.inputs, *tangents, *walk, *other, problem.edges)
    kernels.launch(x.shape[0], *arguments, numbered=True)
    if "y" in outputs:
        outputs["y"] = (outputs["y"][0] if parts == 1 else outputs["y"].sum(0)).to(y.dtype)
    return outputs


def value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    """Return z."""
    return _run_value(_Problem(inputs, static), (None, None, None))


def gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    """Return the derivatives of ``sum(g z)`` by x, y and w, where wanted."""
    return _run_gradient(_Problem(inputs, static), g, (None, None, None), wanted)


def tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    """Return the derivatives of the gradient, and of z, along the tangents that are given."""
    problem = _Problem(inputs, static)
    if all(part is None for part in along):
        return [torch.zeros_like(a) if flag else None for a, flag in zip([*inputs, g], wanted, strict=True)]
    found = _run_gradient(problem, g, along, wanted[:3])
    return [*found, _run_value(problem, along) if wanted[3] else None]
