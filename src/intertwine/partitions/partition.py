"""Partitions of points into parts, as one whole number a point: points with the same number are in the same part.

The numbers themselves mean nothing, only which of them agree. A partition is a subpartition of another, which is then
coarser, if each of its parts lies inside one part of the other. What is equivariant with respect to a partition is so
with respect to every coarser one.

Source: Atzmon, Huang, Williams, Litany, Approximately Piecewise E(3) Equivariant Point Networks, ICLR 2024, section 3.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from intertwine.errors import ShapeError

__all__ = ["Mixing", "compact_ids", "is_subpartition", "majority", "mixing", "same_partition"]


def compact_ids(
    part: Int64[Tensor, " points"], batch: Int64[Tensor, " points"] | None = None
) -> Int64[Tensor, " points"]:
    """Return the same partition with numbers from 0 without gaps, in the order of the given ones.

    Args:
        part: partition of the points.
        batch: cloud of each point. Parts are then cut where clouds meet, and parts of one cloud follow one another.

    Raises:
        ShapeError: if there is not one whole number for each point.

    Example:
        >>> compact_ids(torch.tensor([7, 3, 7]), batch=torch.tensor([0, 0, 1]))
        tensor([1, 0, 2])
    """
    _check("compact_ids", part=part, **({} if batch is None else {"batch": batch}))
    ids = torch.unique(part, return_inverse=True)[1]
    if batch is None or not len(ids):
        return ids
    return torch.unique(batch * (ids.max() + 1) + ids, return_inverse=True)[1]


def is_subpartition(fine: Int64[Tensor, " points"], coarse: Int64[Tensor, " points"]) -> bool:
    """Return whether each part of ``fine`` lies inside one part of ``coarse``: whether pairs are as few as parts.

    Raises:
        ShapeError: if the two are not of the same points.

    Example:
        >>> is_subpartition(torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1]))
        True
    """
    return not bool(mixing(fine, coarse).mixed.any())


def same_partition(a: Int64[Tensor, " points"], b: Int64[Tensor, " points"]) -> bool:
    """Return whether two partitions differ in their numbers only.

    Raises:
        ShapeError: if the two are not of the same points.
    """
    return is_subpartition(a, b) and is_subpartition(b, a)


@final
@dataclass(frozen=True)
class Mixing:
    """How the parts of a partition mix those of another.

    Args:
        mixed: parts of the first, in the order of their numbers, that have points of several parts of the second.
        outside: points that are not in the part of the second to which most points of their part belong.
    """

    mixed: Bool[Tensor, " parts"]
    outside: Bool[Tensor, " points"]

    @property
    def parts(self) -> float:
        """Share of parts that are mixed; 0 where there is none."""
        return float(self.mixed.double().mean()) if len(self.mixed) else 0.0

    @property
    def points(self) -> float:
        """Share of points outside the majority of their part; 0 where there is none."""
        return float(self.outside.double().mean()) if len(self.outside) else 0.0


def mixing(fine: Int64[Tensor, " points"], coarse: Int64[Tensor, " points"]) -> Mixing:
    """Return which parts of ``fine`` mix parts of ``coarse``, and which points are outside their part's majority.

    Both are partitions of several clouds at once if the numbers of ``fine`` differ between clouds.

    Raises:
        ShapeError: if the two are not of the same points.
    """
    _check("mixing", fine=fine, coarse=coarse)
    ids = compact_ids(fine)
    return Mixing(torch.bincount(_pairs(ids, coarse)[0]) > 1, coarse != _majority(ids, coarse)[ids])


def majority(fine: Int64[Tensor, " points"], coarse: Int64[Tensor, " points"]) -> Int64[Tensor, " parts"]:
    """Return the part of ``coarse`` to which most points of each part of ``fine`` belong; of equals the lowest number.

    Parts of ``fine`` are in the order of their numbers.

    Raises:
        ShapeError: if the two are not of the same points.

    Example:
        >>> majority(torch.tensor([0, 0, 0, 5]), torch.tensor([1, 2, 2, 1]))
        tensor([2, 1])
    """
    _check("majority", fine=fine, coarse=coarse)
    return _majority(compact_ids(fine), coarse)


def _majority(ids: Tensor, coarse: Tensor) -> Tensor:
    part, label, count = _pairs(ids, coarse)
    parts = int(part[-1]) + 1 if len(part) else 0
    most = count.new_zeros(parts).scatter_reduce(0, part, count, "amax")
    place = torch.arange(len(part), device=part.device)
    place = torch.where(count == most[part], place, len(part))
    return label[place.new_full((parts,), len(part)).scatter_reduce(0, part, place, "amin")]


def _pairs(ids: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pairs of numbers that occur, in lexicographic order, and how often."""
    values, labels = torch.unique(coarse, return_inverse=True)
    pair, count = torch.unique(ids * max(len(values), 1) + labels, return_counts=True)
    return pair // max(len(values), 1), values[pair % max(len(values), 1)], count


def _check(name: str, **partitions: Tensor) -> None:
    shapes = {key: tuple(value.shape) for key, value in partitions.items()}
    whole = all(not value.is_floating_point() and value.dtype != torch.bool for value in partitions.values())
    if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1 or not whole:
        raise ShapeError(
            f"{name} needs one whole number for each point",
            got={key: f"{tuple(value.shape)} {value.dtype}" for key, value in partitions.items()},
            expected="(points,) of int64, the same points for all",
        )
