"""Folding frames into a batch, so that a network runs once on all of them, and unfolding what it gives.

Two layouts: a batch of clouds (the frames of a cloud beside each other), and clouds in one tensor with the cloud of
each item (all clouds in their first element, then all in the second, as graph networks expect).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.transport import Typed
from intertwine.graphs import segment_mean

__all__ = ["DenseFolding", "Folding", "SegmentFolding", "weighted_mean"]


class Folding(ABC):
    """A layout of clouds, and how frames are folded into it."""

    @abstractmethod
    def frames(self, frame: Frame, points: Tensor, rng: torch.Generator | None) -> Frames:
        """Return the frames of the clouds."""

    @abstractmethod
    def into(self, kind: Typed, values: Tensor, frames: Frames) -> Tensor:
        """Return values of a kind as seen from each element, with frames folded into the first axis."""

    @abstractmethod
    def structure(self, kind: str, values: Tensor, count: int) -> Tensor:
        """Return a mask, edges or the cloud of each point, for ``count`` elements."""

    @abstractmethod
    def back(self, kind: Typed, values: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return values mapped back ``(rows, frames, ...)`` and the weights of elements ``(rows, frames)``."""

    def mean(self, kind: Typed, values: Tensor, frames: Frames) -> Tensor:
        """Return the weighted mean over the elements of values that are mapped back."""
        return weighted_mean(*self.back(kind, values, frames))

    @abstractmethod
    def joined(self, parts: Sequence[tuple[Tensor, str, float]]) -> Tensor:
        """Return one cloud made of points and vectors (by kind), each with a weight, about the centroid."""


@final
@dataclass(frozen=True)
class DenseFolding(Folding):
    """A batch of clouds ``(batch, points, d)``, with a mask where they differ in size."""

    batch: int
    mask: Bool[Tensor, "batch points"] | None = None

    def frames(self, frame: Frame, points: Tensor, rng: torch.Generator | None) -> Frames:
        """Return the frames of the clouds; a source made of several parts repeats the mask."""
        mask = self.mask
        if mask is not None and points.ndim == 3 and points.shape[1] != mask.shape[1]:
            mask = mask.repeat(1, points.shape[1] // max(mask.shape[1], 1))
        return frame(points, mask, rng=rng)

    def into(self, kind: Typed, values: Tensor, frames: Frames) -> Tensor:
        """Return ``(batch * frames, ...)``."""
        if not isinstance(values, Tensor) or values.ndim < 1 or len(values) != self.batch:
            got = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
            raise ShapeError(f"{kind} do not fit the clouds", got=got, expected=f"({self.batch}, ...), a row for each")
        if self.mask is not None and kind.by_point(values.shape[1:], self.mask.shape[1]):
            # what stands where a cloud has no point, NaN say, must not reach the network
            known = self.mask.reshape(*self.mask.shape, *[1] * (values.ndim - 2))
            values = torch.where(known, values, torch.zeros((), dtype=values.dtype, device=values.device))
        return kind.kind.into(values, frames, None).flatten(0, 1)

    def structure(self, kind: str, values: Tensor, count: int) -> Tensor:
        """Return the mask, repeated."""
        if kind != "mask":
            raise ShapeError(
                f"{kind} are for clouds in one tensor",
                got=f"an input of kind {kind} without one of kind graphs",
                expected="an input of kind graphs, the cloud of each point",
            )
        return values.repeat_interleave(count, dim=0)

    def back(self, kind: Typed, values: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return ``(batch, frames, ...)`` and weights."""
        if len(values) != self.batch * frames.count:
            raise ShapeError(
                "the backbone does not keep the first axis",
                got=tuple(values.shape),
                expected=f"({self.batch * frames.count}, ...), clouds times frames",
            )
        return kind.kind.back(values.unflatten(0, (self.batch, frames.count)), frames, None), frames.weights

    def joined(self, parts: Sequence[tuple[Tensor, str, float]]) -> Tensor:
        """Return ``(batch, parts * points, d)``."""
        points = [values for values, kind, _ in parts if kind == "point"]
        centre = 0.0
        if points:
            known = points[0] if self.mask is None else torch.where(self.mask.unsqueeze(-1), points[0], 0.0)
            sizes = known.shape[1] if self.mask is None else self.mask.sum(1)[:, None, None].clamp(min=1)
            centre = known.sum(1, keepdim=True) / sizes
        clouds = [centre + weight * (values - centre if kind == "point" else values) for values, kind, weight in parts]
        return torch.cat(clouds, dim=1)


@final
@dataclass(frozen=True)
class SegmentFolding(Folding):
    """Clouds in one tensor ``(items, d)``, with the cloud of each item.

    Args:
        index: the cloud of each item.
        items: number of items.
        clouds: number of clouds, where the last ones may be empty; up to the largest in ``index`` where not given.
        edge_index: edges between items, where there are any.
    """

    index: Int64[Tensor, " items"]
    items: int
    clouds: int | None = None
    edge_index: Int64[Tensor, "2 edges"] | None = None

    def __post_init__(self) -> None:
        if self.index.shape != (self.items,) or self.index.dtype != torch.int64:
            raise ShapeError(
                "the cloud of each point is not given",
                got=f"{tuple(self.index.shape)} of {self.index.dtype}",
                expected=f"({self.items},) of torch.int64",
            )
        if self.items and not 0 <= int(self.index.min()) <= int(self.index.max()) < self.count:
            raise ShapeError(
                "a point is in a cloud that does not exist",
                got=f"clouds {int(self.index.min())} to {int(self.index.max())}",
                expected=f"0 to {self.count - 1}",
            )

    @property
    def count(self) -> int:
        """Number of clouds."""
        if self.clouds is not None:
            return self.clouds
        return int(self.index.max()) + 1 if self.items else 0

    def frames(self, frame: Frame, points: Tensor, rng: torch.Generator | None) -> Frames:
        """Return the frames of the clouds; a source made of several parts repeats the index."""
        return frame.of_segments(points, self.index.repeat(len(points) // max(self.items, 1)), self.count, rng=rng)

    def into(self, kind: Typed, values: Tensor, frames: Frames) -> Tensor:
        """Return ``(frames * rows, ...)``."""
        index = self._cloud_of_rows(kind, len(values))
        return kind.kind.into(values, frames, index).transpose(0, 1).flatten(0, 1)

    def structure(self, kind: str, values: Tensor, count: int) -> Tensor:
        """Return edges or clouds of points, each element with indices of its own."""
        if kind == "mask":
            raise ShapeError("clouds in one tensor have no mask", got="an input of kind mask", expected="none")
        step = self.items if kind == "edges" else self.count
        shifts = step * torch.arange(count, device=values.device)
        if kind == "edges":
            return (values.unsqueeze(1) + shifts[:, None]).flatten(1)
        return (values + shifts[:, None]).flatten()

    def back(self, kind: Typed, values: Tensor, frames: Frames) -> tuple[Tensor, Tensor]:
        """Return ``(rows, frames, ...)`` and weights."""
        rows, rest = divmod(len(values), max(frames.count, 1))
        if rest:
            raise ShapeError(
                "the backbone does not keep the first axis",
                got=tuple(values.shape),
                expected=f"({self.items} or {self.count} times {frames.count} elements, ...)",
            )
        index = self._cloud_of_rows(kind, rows)
        by_row = values.unflatten(0, (frames.count, rows)).transpose(0, 1)
        return kind.kind.back(by_row, frames, index), frames.weights.index_select(0, index)

    def _cloud_of_rows(self, kind: Typed, rows: int) -> Int64[Tensor, " rows"]:
        """Return the cloud of each row of values, whatever has the rows."""
        known = {"points": self.index, "graphs": torch.arange(self.count, device=self.index.device)}
        if self.edge_index is not None:
            known["edges"] = self.index.index_select(0, self.edge_index[0])
        fitting = [name for name, index in known.items() if len(index) == rows and kind.rows in (None, name)]
        if kind.rows is None and kind.kind.directed:
            fitting = [name for name in fitting if name != "edges"]  # rarely meant: it has to be said
        if not fitting:
            sizes = ", ".join(f"{len(index)} {name}" for name, index in known.items())
            raise ShapeError(
                f"{kind} do not fit the clouds",
                got=f"{rows} rows",
                expected=f"a row for each of {sizes}",
                fix='say what has the rows, as in "vector of edges" or "scalar of graphs"'
                if kind.rows is None
                else None,
            )
        found = known[fitting[0]]
        if any(not torch.equal(found, known[name]) for name in fitting[1:]):
            raise ShapeError(
                f"it is not clear what the rows of {kind} are of",
                got=f"{rows} rows, and as many {' and '.join(fitting)}",
                expected="one of them, said with the kind",
                fix=f'write "... of {fitting[0]}" or "... of {fitting[1]}"',
            )
        return found

    def joined(self, parts: Sequence[tuple[Tensor, str, float]]) -> Tensor:
        """Return ``(parts * items, d)``."""
        points = [values for values, kind, _ in parts if kind == "point"]
        centre = segment_mean(points[0], self.index, self.count).index_select(0, self.index) if points else 0.0
        clouds = [centre + weight * (values - centre if kind == "point" else values) for values, kind, weight in parts]
        return torch.cat(clouds)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sum over the second axis."""
    return (values * weights.reshape(*weights.shape, *[1] * (values.ndim - 2))).sum(1)
