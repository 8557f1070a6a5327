"""The paths of a channel-wise product as the makers of kernels see them, and which of them a program takes together.

A program keeps the rows that it adds up in registers. All paths that write one row must therefore be in one program,
and a program must not take more rows than fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from intertwine.errors import ShapeError

__all__ = ["PathTerms", "gradient_chunks", "read_paths", "value_chunks"]

_FIELDS = 10
_ROWS = 32
"""Rows of z that one program of the value adds up, if its first block is not larger: 64 registers a thread, or 128."""


@dataclass(frozen=True)
class Row:
    """One component of a block: channel u is at ``place + stride * u`` of its row of numbers."""

    place: int
    stride: int = 1

    @property
    def name(self) -> str:
        """What a kernel calls it."""
        return f"{self.place}" if self.stride == 1 else f"{self.place}s{self.stride}"

    @property
    def address(self) -> str:
        """Where its lanes are, from the beginning of the row of numbers."""
        return f"lane + {self.place}" if self.stride == 1 else f"lane * {self.stride} + {self.place}"


@dataclass(frozen=True)
class PathTerms:
    """One path: its components of x and z, its weights, and what couples each pair of components.

    Args:
        x, z: components.
        w: where the weights begin.
        channels: number of channels.
        terms: (i, k) and the (place in a row of y, coupling) that they meet with.
    """

    x: tuple[Row, ...]
    z: tuple[Row, ...]
    w: int
    channels: int
    terms: tuple[tuple[int, int, tuple[tuple[int, float], ...]], ...]

    @property
    def used(self) -> list[int]:
        """The components of x that meet any coupling."""
        return sorted({i for i, _, _ in self.terms})

    def places_y(self) -> set[int]:
        """Return the places in a row of y that the path reads."""
        return {place for *_, pairs in self.terms for place, _ in pairs}


def read_paths(paths: Sequence[int], terms: Sequence[Sequence[float]], slow: bool) -> list[PathTerms]:
    """Return the paths from the integers and the table that the operators take.

    Args:
        paths, terms: see `intertwine.kernels.channelwise.pack_paths`.
        slow: whether in x and z the multiplicity is slow; otherwise it is fast.
    """
    found = []
    for number in range(0, len(paths), _FIELDS):
        x, dim1, y, _, z, dim3, w, channels, first, last = paths[number : number + _FIELDS]
        pairs: dict[tuple[int, int], list[tuple[int, float]]] = {}
        for i, j, k, value in terms[first:last]:
            pairs.setdefault((int(i), int(k)), []).append((y + int(j), value))
        table = tuple((i, k, tuple(values)) for (i, k), values in sorted(pairs.items()))
        found.append(PathTerms(_rows(x, dim1, channels, slow), _rows(z, dim3, channels, slow), w, channels, table))
    return found


def _rows(begin: int, dim: int, channels: int, slow: bool) -> tuple[Row, ...]:
    """Return the components of a block."""
    return tuple(Row(begin + i, dim) if slow and dim > 1 else Row(begin + i * channels) for i in range(dim))


def value_chunks(paths: Sequence[PathTerms]) -> list[list[PathTerms]]:
    """Return the paths split by the rows of z that they write; neighbours share rows of x."""
    groups = _overlapping(paths, [lambda path: path.z])
    chunks: list[list[PathTerms]] = []
    for group in sorted(groups, key=lambda group: (group[0].channels, group[0].x[0].place)):
        together = [*chunks[-1], *group] if chunks else group
        same = together[0].channels == group[0].channels
        if chunks and same and len({row for path in together for row in path.z}) <= _ROWS:
            chunks[-1] = together
        else:
            chunks.append(group)
    return chunks


def gradient_chunks(paths: Sequence[PathTerms]) -> list[list[PathTerms]]:
    """Return the paths split by the rows of x and w, whose derivatives a program adds up."""
    return _overlapping(paths, [lambda path: path.x, lambda path: (Row(path.w),)])


def _overlapping(
    paths: Sequence[PathTerms], kinds: Sequence[Callable[[PathTerms], Sequence[Row]]]
) -> list[list[PathTerms]]:
    """Split into the smallest sets that share no row; each in the order given."""
    owner = list(range(len(paths)))
    for rows_of in kinds:
        spans = sorted((*span, n) for n, path in enumerate(paths) for span in _spans(rows_of(path), path.channels))
        for (low, high, stride, n), (low2, high2, stride2, m) in pairwise(spans):
            if high <= low2:
                continue
            if (low, high, stride) != (low2, high2, stride2):
                raise ShapeError(
                    "blocks of paths overlap in part; the kernels for CUDA need them equal or apart",
                    got=[paths[n], paths[m]],
                    fix="give each path blocks of its own, or run under `use_reference()`",
                )
            one, two = owner[n], owner[m]
            owner = [one if name == two else name for name in owner]
    return [[path for path, name in zip(paths, owner, strict=True) if name == which] for which in dict.fromkeys(owner)]


def _spans(rows: Sequence[Row], channels: int) -> list[tuple[int, int, int]]:
    """Return (begin, end, stride) of what each row takes; interleaved rows take their block together."""
    if rows[0].stride == 1:
        return [(row.place, row.place + channels, 1) for row in rows]
    return [(rows[0].place, rows[0].place + channels * len(rows), len(rows))]
