"""Orthonormal axes from vectors taken in their order, for many clouds at once, real or complex.

Axes are the columns of matrices. Every projection is made twice, which keeps axes orthonormal to rounding however
close vectors are to those before them. All functions are differentiable where lengths are not zero.
"""

import torch
from jaxtyping import Bool, Inexact, Int64
from torch import Tensor

__all__ = ["complete_axes", "gram_schmidt", "independent_axes", "projection", "turn_last"]

_NOTHING = 1e-13
"""What rounding leaves of a vector of length one that lies in the span of others."""


def gram_schmidt(
    vectors: Inexact[Tensor, "*batch k d"],
) -> tuple[Inexact[Tensor, "*batch d k"], Inexact[Tensor, "*batch k"]]:
    """Return the axes of vectors in their order, and what of each vector's length is new.

    The product of the lengths is the k-volume of the vectors. Axes are zero where nothing is new.
    """
    size = vectors.detach().abs().square().sum(-1).amax(-1).sqrt() if vectors.shape[-2] else 0.0
    axes: list[Tensor] = []
    lengths: list[Tensor] = []
    for vector in vectors.unbind(-2):
        axis, length = _next_axis(vector, axes, _NOTHING * size)
        axes.append(axis)
        lengths.append(length)
    if not axes:
        empty = vectors.new_zeros(*vectors.shape[:-2], vectors.shape[-1], 0)
        return empty, empty.abs().sum(-2)
    return torch.stack(axes, dim=-1), torch.stack(lengths, dim=-1)


def independent_axes(
    vectors: Inexact[Tensor, "batch points d"], mask: Bool[Tensor, "batch points"] | None, tolerance: float
) -> tuple[Inexact[Tensor, "batch d d"], Int64[Tensor, "batch d"], Bool[Tensor, "batch d"]]:
    """Return the axes of the first linearly independent vectors of each cloud.

    Args:
        vectors: the points of each cloud.
        mask: which entries are points.
        tolerance: share of the longest vector below which what is new in a vector counts as nothing.

    Returns:
        The axes, zero where there are fewer independent vectors than dimensions; the places of these vectors in the
        cloud; and which axes there are, the first ones.
    """
    known = vectors if mask is None else torch.where(mask.unsqueeze(-1), vectors, 0.0)
    if not known.shape[1]:
        known = known.new_zeros(len(known), 1, known.shape[-1])
    rest = known.detach()
    smallest = tolerance**2 * _squares(rest).amax(-1, keepdim=True)
    rows = torch.arange(len(rest), device=rest.device)
    axes: list[Tensor] = []
    places: list[Tensor] = []
    found: list[Tensor] = []
    for _ in range(known.shape[-1]):
        new = _squares(rest) > smallest
        place = new.int().argmax(-1)
        exists = new.any(-1)
        axis, _ = _next_axis(known[rows, place], axes, 0.0)
        axis = torch.where(exists.unsqueeze(-1), axis, 0.0)
        axes.append(axis)
        places.append(place)
        found.append(exists)
        fixed = axis.detach().unsqueeze(1)
        rest = rest - (rest @ fixed.mH) * fixed
    return torch.stack(axes, dim=-1), torch.stack(places, dim=-1), torch.stack(found, dim=-1)


def complete_axes(
    axes: Inexact[Tensor, "*batch d k"], found: Bool[Tensor, "*batch k"]
) -> Inexact[Tensor, "*batch d d"]:
    """Return square orthonormal matrices: axes that are found stay, others follow from the axes of the coordinates."""
    d, given = axes.shape[-2:]
    done = torch.where(found.unsqueeze(-2), axes, 0.0)
    identity = torch.eye(d, dtype=axes.dtype, device=axes.device)
    columns = [done[..., i] for i in range(given)] + [axes.new_zeros(*axes.shape[:-2], d)] * (d - given)
    for place in range(d):
        free = 1 - torch.stack(columns).detach().abs().square().sum(0)
        unit = identity[free.argmax(-1)]
        others = [column for i, column in enumerate(columns) if i != place]
        new, _ = _next_axis(unit, others, 0.0)
        columns[place] = torch.where(found[..., place : place + 1], columns[place], new) if place < given else new
    return torch.stack(columns, dim=-1)


def turn_last(axes: Inexact[Tensor, "*batch d d"]) -> Inexact[Tensor, "*batch d d"]:
    """Return orthonormal matrices with the last axis multiplied so that determinants are one."""
    # a sign is constant where a phase is not
    determinant = torch.linalg.det(axes if axes.is_complex() else axes.detach())
    factor = (determinant / determinant.abs()).conj()[..., None, None]
    return torch.cat([axes[..., :-1], axes[..., -1:] * factor], dim=-1)


def projection(axes: Inexact[Tensor, "*batch d d"], found: Bool[Tensor, "*batch d"]) -> Inexact[Tensor, "*batch d d"]:
    """Return the projections on the axes that are found; exactly the identity where all are."""
    kept = torch.where(found.unsqueeze(-2), axes, 0.0)
    identity = torch.eye(axes.shape[-1], dtype=axes.dtype, device=axes.device)
    return torch.where(found.all(-1)[..., None, None], identity, kept @ kept.mH)


def _next_axis(vector: Tensor, axes: list[Tensor], smallest: Tensor | float) -> tuple[Tensor, Tensor]:
    """Return the unit vector of what is new in a vector, and how long that is; zero if not longer than ``smallest``."""
    rest = _without(vector, axes)
    length = _length(rest)
    is_new = length > smallest
    unit = rest / torch.where(is_new, length, 1.0).unsqueeze(-1)
    unit = _without(unit, axes)
    unit = unit / _length(torch.where(is_new.unsqueeze(-1), unit, 1.0)).unsqueeze(-1)
    return torch.where(is_new.unsqueeze(-1), unit, 0.0), length


def _squares(vectors: Tensor) -> Tensor:
    """Return squared lengths; a sum over components is faster than a reduction over a short axis."""
    square = torch.zeros_like(vectors[..., 0].real)
    for component in vectors.unbind(-1):
        square = square + (component.abs() if component.is_complex() else component).square()
    return square


def _without(vector: Tensor, axes: list[Tensor]) -> Tensor:
    for axis in axes:
        vector = vector - (axis.conj() * vector).sum(-1, keepdim=True) * axis
    return vector


def _length(vector: Tensor) -> Tensor:
    """Return lengths; their derivative at zero is zero, not infinite."""
    square = vector.abs().square().sum(-1) if vector.is_complex() else vector.square().sum(-1)
    positive = square > 0
    return torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
