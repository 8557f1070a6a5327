"""Frames of sets of points under renaming of the points: by sorting along directions, and listed permutations.

Along a direction a, points are sorted by ``x . a``. One direction is a frame that is not continuous. The mean over
random directions, and that over fixed ones weighted by the smallest gap between sorted points, are continuous.

Source: Dym, Lawrence, Siegel, Equivariant Frames and the Impossibility of Continuous Canonicalization, ICML 2024.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataError, GroupError, NumericsError, ShapeError
from intertwine.frames.ordered_partition import LARGEST_FRAME, OrderedPartition
from intertwine.frames.permutations import PermutationFrames
from intertwine.groups import SymmetricGroup

__all__ = ["DirectionsFrame", "FullSetFrame", "ListedFrame", "RandomDirectionFrame", "SetFrame", "separated_directions"]


class SetFrame(ABC):
    """A map from sets of points to permutations of them, as an immutable value."""

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        samples: int | None = None,
        rng: torch.Generator | None = None,
    ) -> PermutationFrames:
        """Return elements of the frames.

        Args:
            points: one set for each entry of the batch.
            mask: which of its points a set has; all where not given.
            samples: elements to draw for each set; None lists all of them, where there is a list.
            rng: source of the draws.

        Raises:
            ShapeError: if points do not have the coordinates that the frame expects.
            NumericsError: if a coordinate is not finite.
        """
        return self.elements_of(points, _checked(points, mask), samples, rng)

    @abstractmethod
    def elements_of(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"],
        samples: int | None,
        rng: torch.Generator | None,
    ) -> PermutationFrames:
        """Return the elements for points that are known to be finite; arguments are those of the call."""


@final
@dataclass(frozen=True)
class RandomDirectionFrame(SetFrame):
    """Sorts along directions that are drawn anew for every set and call, uniformly on the sphere.

    A set with coincident points is not valid: their order would be that of the input.
    """

    def elements_of(
        self, points: Tensor, mask: Tensor, samples: int | None, rng: torch.Generator | None
    ) -> PermutationFrames:
        """Return one element for each set, or ``samples`` of them."""
        shape = (len(points), samples or 1, points.shape[-1])
        device = rng.device if rng else points.device
        directions = torch.randn(shape, generator=rng, dtype=torch.float64, device=device).to(points.device)
        elements, gaps = _sorted_along(points, mask, directions)
        return _equal(elements, (gaps > 0).all(-1))


@final
@dataclass(frozen=True, eq=False)
class DirectionsFrame(SetFrame):
    """Sorts along fixed directions, each weighted by the smallest gap between points next to each other along it.

    With one direction this is the frame that sorts by one coordinate. With enough directions in general position
    (`separated_directions`) some gap of distinct points is positive, and averages are continuous. Sets with coincident
    points have no positive gap: they are not valid, and their directions weigh the same.

    Args:
        directions: one a row.
    """

    directions: Float[Tensor, "directions d"]

    def elements_of(
        self, points: Tensor, mask: Tensor, samples: int | None, rng: torch.Generator | None
    ) -> PermutationFrames:
        """Return one element for each direction with its weight; or draw ``samples`` of them by their weights."""
        if self.directions.ndim != 2 or self.directions.shape[1] != points.shape[-1]:
            raise ShapeError(
                "points and directions have different dimensions",
                got={"points": tuple(points.shape), "directions": tuple(self.directions.shape)},
                expected="(batch, points, d) and (directions, d)",
            )
        directions = self.directions.to(points.device, torch.float64).expand(len(points), -1, -1)
        elements, gaps = _sorted_along(points, mask, directions)
        valid = gaps.amax(-1) > 0
        weights = torch.where(valid.unsqueeze(-1), gaps, 1.0)
        weights = weights / weights.sum(-1, keepdim=True)
        if samples is not None:
            device = rng.device if rng else weights.device
            chosen = torch.multinomial(weights.to(device), samples, replacement=True, generator=rng).to(weights.device)
            return _equal(_chosen(elements, chosen), valid)
        index = torch.arange(len(points), device=points.device).repeat_interleave(len(self.directions))
        return PermutationFrames(elements.flatten(0, 1), index, weights.flatten(), valid)


@final
@dataclass(frozen=True)
class FullSetFrame(SetFrame):
    """All permutations.

    Args:
        limit: the largest number of them that is listed.
    """

    limit: int = LARGEST_FRAME

    def elements_of(
        self, points: Tensor, mask: Tensor, samples: int | None, rng: torch.Generator | None
    ) -> PermutationFrames:
        """Return all permutations of the points, or draw ``samples`` of them."""
        partition = OrderedPartition(torch.zeros_like(mask, dtype=torch.int64), mask, mask.new_ones(len(mask)))
        return partition.elements(self.limit) if samples is None else partition.sample(samples, rng=rng)


@final
@dataclass(frozen=True, eq=False)
class ListedFrame(SetFrame):
    """The same permutations for every set: a subgroup, or one element of each coset of a subgroup.

    If a network keeps the symmetry of a subgroup H of G by itself, its average over one element of each coset ``g H``
    is its average over G: two elements are enough from the alternating to the symmetric group.

    Args:
        elements: permutations of as many points as the sets have.
    """

    elements: Int64[Tensor, "elements points"]

    def __post_init__(self) -> None:
        items = self.elements.shape[-1] if self.elements.ndim == 2 else 0
        if not items or not len(self.elements) or not bool(SymmetricGroup(items).contains(self.elements).all()):
            raise GroupError(
                "these are not permutations",
                got=tuple(self.elements.shape),
                expected="at least one, (elements, points)",
            )

    def elements_of(
        self, points: Tensor, mask: Tensor, samples: int | None, rng: torch.Generator | None
    ) -> PermutationFrames:
        """Return the permutations for each set, or draw ``samples`` of them."""
        if points.shape[1] != self.elements.shape[1] or not bool(mask.all()):
            raise DataError(
                "listed permutations need sets of one size",
                got={"points": points.shape[1], "without a mask": bool(mask.all())},
                expected=f"{self.elements.shape[1]} points in every set",
            )
        elements = self.elements.to(points.device).expand(len(points), -1, -1)
        if samples is not None:
            shape = (len(points), samples)
            device = rng.device if rng else None
            chosen = torch.randint(elements.shape[1], shape, generator=rng, device=device).to(points.device)
            elements = _chosen(elements, chosen)
        return _equal(elements, mask.new_ones(len(mask)))


def separated_directions(
    points: int, dim: int, *, count: int | None = None, rng: torch.Generator | None = None
) -> Float[Tensor, "count dim"]:
    """Return directions of which at least one separates any set of distinct points.

    For n points with d coordinates, ``n (d - 1) + 1`` directions in general position are enough, as random ones are
    with probability one (Dym et al., 2024).

    Args:
        points: n, points of a set.
        dim: d, coordinates of a point.
        count: how many; the smallest number that is enough when not given.
        rng: source of the directions.

    Raises:
        DataError: if ``count`` is too small.
    """
    needed = points * (dim - 1) + 1
    count = needed if count is None else count
    if count < needed:
        raise DataError("these directions may not separate the points", got=count, expected=f"at least {needed}")
    device = rng.device if rng else None
    drawn = torch.randn(count, dim, generator=rng, dtype=torch.float64, device=device)
    return drawn / drawn.norm(dim=-1, keepdim=True)


def _sorted_along(
    points: Tensor, mask: Tensor, directions: Tensor
) -> tuple[Int64[Tensor, "batch directions points"], Float[Tensor, "batch directions"]]:
    """The order of the points along each direction, and the smallest gap; points outside of the mask come last."""
    along = torch.einsum("bnd,bkd->bkn", points.detach().double(), directions)
    along = along.masked_fill(~mask.unsqueeze(1), torch.inf)
    values, order = along.sort(dim=-1, stable=True)
    gaps = values.diff(dim=-1).nan_to_num(torch.inf, posinf=torch.inf)
    smallest = gaps.amin(-1) if gaps.shape[-1] else torch.full(values.shape[:-1], torch.inf).to(values)
    return order, smallest.nan_to_num(posinf=1.0)


def _chosen(
    elements: Int64[Tensor, "batch elements points"], chosen: Int64[Tensor, "batch samples"]
) -> Int64[Tensor, "batch samples points"]:
    return elements.gather(1, chosen.unsqueeze(-1).expand(-1, -1, elements.shape[-1]))


def _equal(elements: Int64[Tensor, "batch samples points"], valid: Tensor) -> PermutationFrames:
    """Frames of equally many elements of equal weight."""
    batch, samples, _ = elements.shape
    index = torch.arange(batch, device=elements.device).repeat_interleave(samples)
    weights = torch.full((batch * samples,), 1 / samples, dtype=torch.float64, device=elements.device)
    return PermutationFrames(elements.flatten(0, 1), index, weights, valid)


def _checked(points: Tensor, mask: Tensor | None) -> Bool[Tensor, "batch points"]:
    if points.ndim != 3 or (mask is not None and mask.shape != points.shape[:2]):
        raise ShapeError(
            "these are not sets of points",
            got={"points": tuple(points.shape), "mask": None if mask is None else tuple(mask.shape)},
            expected="(batch, points, d) and (batch, points)",
        )
    mask = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device) if mask is None else mask
    broken = (~points.isfinite().all(-1) & mask).any(-1)
    if bool(broken.any()):
        raise NumericsError(
            "a coordinate is not a finite number",
            got={"sets": broken.nonzero().flatten().tolist()[:8]},
            expected="finite coordinates",
        )
    return mask
