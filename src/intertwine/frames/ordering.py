"""An order of the points of a cloud that depends on distances and angles alone, not on how they were listed.

It is read from the Gram matrix, which rotations and reflections keep: points go by their distance from the origin,
farthest first; equally far ones by the sums of the second, third and fourth powers of their inner products with all
points, largest first.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

__all__ = ["PointOrder", "canonical_order"]


@final
@dataclass(frozen=True)
class PointOrder:
    """An order of the points of each cloud.

    Args:
        places: of the points in their new order: ``points[places]`` is ordered; entries that are no points are last.
        unique: which of the ordered points stand at a place of their own, or share it with points at the same
            position. Others are tied: symmetry, or coincidence, makes them look alike. Of tied points the first given
            is taken, and the others are told apart by their inner products with it, and so on: where symmetries of the
            cloud carry tied points to each other, every choice leads to the same cloud up to one of them.
    """

    places: Int64[Tensor, "batch points"]
    unique: Bool[Tensor, "batch points"]


def canonical_order(
    points: Float[Tensor, "batch points d"], mask: Bool[Tensor, "batch points"] | None = None, tolerance: float = 1e-8
) -> PointOrder:
    """Return an order of points that is the same however they are listed, rotated or reflected, up to ties.

    Sums of powers are found only where points are equally far, and higher ones only where they are still tied.

    Args:
        points: of a batch of clouds, seen from their origin.
        mask: which entries are points.
        tolerance: difference of squared distances, or of sums of powers, that counts as none, as a share of the
            largest. Numbers are compared with their neighbours in sorted order, never by rounding, which would
            separate equal ones.
    """
    known = points if mask is None else torch.where(mask.unsqueeze(-1), points, 0.0)
    present = torch.ones_like(points[..., 0], dtype=torch.bool) if mask is None else mask
    square = known.square().sum(-1)
    largest = square.amax(-1, keepdim=True) if square.shape[-1] else square.sum(-1, keepdim=True)
    classes = _refined((~present).long(), square, tolerance * largest)
    for power in (2, 3, 4):
        if not _tied(classes, present).any():
            break
        # odd sums may vanish by symmetry: their size is that of sums of absolute values
        size = (square * largest).pow(power / 2).sum(-1, keepdim=True)
        classes = _refined(classes, _power_sums(known, power), tolerance * size)
    tied = _tied_apart(known, classes, present, tolerance)
    for _ in range(points.shape[-1]):
        left = _tied_apart(known, classes, present, tolerance)
        if not left.any():
            break
        classes = _told_apart(known, classes, left, tolerance * largest)
    places = classes.argsort(dim=-1, stable=True)
    return PointOrder(places, ~tied.gather(-1, places))


def _power_sums(points: Float[Tensor, "batch points d"], power: int) -> Float[Tensor, "batch points"]:
    """Return for each point the sum of powers of its inner products with all points of its cloud."""
    if points.shape[-1] ** power > points.shape[1]:
        return (points @ points.mT).pow(power).sum(-1)
    # inner products of monomials: the sum over the other points is taken first
    monomials = points
    for _ in range(power - 1):
        monomials = (monomials.unsqueeze(-1) * points.unsqueeze(-2)).flatten(-2)
    return (monomials @ monomials.sum(1).unsqueeze(-1)).squeeze(-1)


def _refined(
    classes: Int64[Tensor, "batch points"], values: Float[Tensor, "batch points"], smallest: Float[Tensor, "batch 1"]
) -> Int64[Tensor, "batch points"]:
    """Return classes split where their sorted values have a gap, numbered by class first, larger values first."""
    if not classes.shape[-1]:
        return classes
    by_value = values.argsort(dim=-1, stable=True, descending=True)
    by_class = classes.gather(-1, by_value).argsort(dim=-1, stable=True)
    order = by_value.gather(-1, by_class)
    sorted_classes, sorted_values = classes.gather(-1, order), values.gather(-1, order)
    starts = (sorted_classes.diff(dim=-1) != 0) | (-sorted_values.diff(dim=-1) > smallest)
    numbers = torch.nn.functional.pad(starts.long().cumsum(-1), (1, 0))
    return torch.empty_like(classes).scatter(-1, order, numbers)


def _tied(
    classes: Int64[Tensor, "batch points"], present: Bool[Tensor, "batch points"]
) -> Bool[Tensor, "batch points"]:
    """Return which points share their class with others."""
    sizes = torch.zeros_like(classes).scatter_add(-1, classes, present.long())
    return present & (sizes.gather(-1, classes) > 1)


def _told_apart(
    points: Float[Tensor, "batch points d"],
    classes: Int64[Tensor, "batch points"],
    tied: Bool[Tensor, "batch points"],
    smallest: Float[Tensor, "batch 1"],
) -> Int64[Tensor, "batch points"]:
    """Return classes in which the first tied point stands alone, and others are split by their products with it."""
    count = classes.shape[-1]
    ranked = torch.where(tied, classes, count) * count + torch.arange(count, device=classes.device)
    first = ranked.argmin(-1, keepdim=True)
    alone = torch.zeros_like(tied).scatter(-1, first, True) & tied
    classes = _refined(classes, alone.to(points), torch.zeros_like(smallest))
    one = points.gather(1, first.unsqueeze(-1).expand(-1, -1, points.shape[-1]))
    products = torch.where(tied.any(-1, keepdim=True), (points * one).sum(-1), 0.0)
    return _refined(classes, products, smallest)


def _tied_apart(
    points: Float[Tensor, "batch points d"],
    classes: Int64[Tensor, "batch points"],
    present: Bool[Tensor, "batch points"],
    tolerance: float,
) -> Bool[Tensor, "batch points"]:
    """Return which points share their class with points at other positions."""
    tied = _tied(classes, present)
    if not tied.any():
        return tied
    count = classes.shape[-1]
    places = torch.arange(count, device=classes.device).expand_as(classes)
    first = torch.full_like(classes, count).scatter_reduce(-1, classes, places, "amin").gather(-1, classes)
    distance = (points - points.gather(1, first.unsqueeze(-1).expand_as(points))).square().sum(-1)
    apart = distance > tolerance**2 * points.square().sum(-1).amax(-1, keepdim=True)
    spread = torch.zeros_like(classes).scatter_add(-1, classes, (apart & present).long())
    return tied & (spread.gather(-1, classes) > 0)
