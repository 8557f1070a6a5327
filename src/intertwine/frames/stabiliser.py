"""What outputs keep where some axes of a frame mean nothing: their average over all choices of these axes.

Points that do not span all m missing dimensions are kept in place by every orthogonal map of what they leave out, the
stabiliser O(m), and so must be every output. With P the projection on the span and Q = 1 - P, the average over O(m) is
``P v`` of a vector; of a pseudovector ``Q v`` for m = 1 and zero beyond; zero of a pseudoscalar; ``P T P + tr(Q T Q) /
m Q`` of a matrix. Rotations alone, SO(m), keep a little more, which these averages leave out as well: less than could
be kept, and equivariant.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.representations import Irrep, spherical_harmonics, wigner_D

__all__ = ["kept_irreps", "kept_matrices", "kept_pseudoscalars", "kept_vectors", "missing_dimensions"]


def missing_dimensions(span: Float[Tensor, "batch d d"]) -> Int64[Tensor, " batch"]:
    """Return how many dimensions the points do not span."""
    return span.shape[-1] - span.detach().diagonal(dim1=-2, dim2=-1).sum(-1).round().long()


def kept_pseudoscalars(span: Float[Tensor, "batch d d"]) -> Float[Tensor, " batch"]:
    """Return the factors of pseudoscalars: one, or zero where a dimension is missing."""
    return (missing_dimensions(span) == 0).to(span)


def kept_vectors(span: Float[Tensor, "batch d d"], *, pseudo: bool = False) -> Float[Tensor, "batch d d"]:
    """Return the matrices that take vectors, or pseudovectors, to what is kept of them."""
    if not pseudo:
        return span
    missing = missing_dimensions(span)[:, None, None]
    identity = torch.eye(span.shape[-1], dtype=span.dtype, device=span.device)
    return torch.where(missing == 0, identity, torch.where(missing == 1, identity - span, 0.0))


def kept_matrices(
    span: Float[Tensor, "rows d d"], x: Float[Tensor, "rows *more d d"], *, orthogonal: bool = True
) -> Float[Tensor, "rows *more d d"]:
    """Return what is kept of matrices ``T -> R T R^T``.

    Args:
        span: the projection for each row.
        x: matrices.
        orthogonal: whether the group is; in another metric only ``P T P^T`` is kept.
    """
    more = [1] * (x.ndim - 3)
    onto = span.reshape(len(span), *more, *span.shape[1:])
    kept = onto @ x @ onto.mT
    if not orthogonal:
        return kept
    rest = torch.eye(span.shape[-1], dtype=span.dtype, device=span.device) - onto
    trace = (rest * x).sum((-2, -1), keepdim=True)  # of Q T Q, as Q is symmetric and a projection
    number = missing_dimensions(span).clamp(min=1).reshape(len(span), *more, 1, 1)
    return kept + trace / number * rest


def kept_irreps(span: Float[Tensor, "batch 3 3"], irrep: Irrep) -> Float[Tensor, "batch dim dim"]:
    """Return the matrices that take features of an irrep to what is kept of them.

    One missing dimension leaves the mirror 2 P - 1; two leave the rotations about one axis u, with mirrors, which keep
    the harmonics of u; three leave everything, which keeps scalars.
    """
    missing = missing_dimensions(span)[:, None, None]
    identity = torch.eye(irrep.dim, dtype=span.dtype, device=span.device)
    mirror = 2 * span - torch.eye(3, dtype=span.dtype, device=span.device)
    turned = wigner_D(irrep.l, mirror)
    plane = (identity + turned if irrep.natural else identity - turned) / 2
    longest = span.diagonal(dim1=-2, dim2=-1).argmax(-1)
    axis = span.gather(-1, longest[:, None, None].expand(-1, 3, 1)).squeeze(-1)
    harmonics = spherical_harmonics(irrep.l, axis, normalization="norm")
    line = harmonics.unsqueeze(-1) * harmonics.unsqueeze(-2) if irrep.natural else torch.zeros_like(plane)
    point = identity if irrep.l == 0 and irrep.natural else torch.zeros_like(identity)
    kept = torch.where(missing == 1, plane, torch.where(missing == 2, line, point))
    return torch.where(missing == 0, identity, kept)
