"""Eigenvalues and eigenvectors of many small symmetric matrices at once, with gradients that stay finite.

For d = 2 and 3 the solution is closed: trigonometric eigenvalues give the eigenvector of the one that stands apart,
and a plane rotation solves what remains, so that accuracy does not suffer where two eigenvalues are close. It is a
fixed number of elementwise operations, which matters on a GPU, where batches of small matrices are slow otherwise.

Source for the formula of the eigenvalues: Smith, Eigenvalues of a symmetric 3 x 3 matrix, CACM 4 (1961).
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import NumericsError, ShapeError

__all__ = ["symmetric_eigh"]

_RESOLVED = 1e-9
"""Gaps below this share of the largest eigenvalue have no gradient: eigenvectors are arbitrary there."""


def symmetric_eigh(
    matrices: Float[Tensor, "*batch d d"],
) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d d"]]:
    """Return the eigenvalues, ascending, and the unit eigenvectors, as columns, of symmetric matrices.

    Computed in float64 and returned in the dtype given. The derivative of eigenvectors has a pole where two eigenvalues
    meet; the parts of it between eigenvalues closer than 1e-9 of the largest are left out.

    Args:
        matrices: of which the symmetric part is taken.

    Raises:
        ShapeError: if they are not square.
        NumericsError: if an entry is not finite.

    Example:
        >>> values, _ = symmetric_eigh(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))
        >>> values
        tensor([1., 3.])
    """
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2] or not matrices.is_floating_point():
        raise ShapeError(
            "eigenvectors are those of square matrices of real numbers",
            got=f"{tuple(matrices.shape)} of {matrices.dtype}",
            expected="(..., d, d)",
        )
    if not torch.compiler.is_compiling() and not matrices.isfinite().all():
        raise NumericsError("a matrix to decompose is not finite", got="NaN or infinity", expected="finite entries")
    wide = matrices.double()
    symmetric = (wide + wide.mT) / 2
    # without a derivative to come, torch.compile has no autograd function to warn about
    values, vectors = _Eigh.apply(symmetric) if symmetric.requires_grad else _Eigh.forward(symmetric)
    return values.to(matrices.dtype), vectors.to(matrices.dtype)


class _Eigh(torch.autograd.Function):
    """The decomposition with the usual derivative, whose poles are cut off."""

    @staticmethod
    def forward(matrices: Tensor) -> tuple[Tensor, Tensor]:
        if matrices.shape[-1] == 3:
            return _three(matrices)
        if matrices.shape[-1] == 2:
            return _two(matrices)
        return torch.linalg.eigh(matrices)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*output)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        by_values, by_vectors = gradients
        values, vectors = ctx.saved_tensors
        gaps = values.unsqueeze(-2) - values.unsqueeze(-1)
        size = values.abs().amax(-1)[..., None, None]
        resolved = gaps.abs() > _RESOLVED * size
        turning = torch.where(resolved, 1 / torch.where(resolved, gaps, 1.0), 0.0) * (vectors.mT @ by_vectors)
        inner = torch.diag_embed(by_values) + (turning + turning.mT) / 2
        return vectors @ inner @ vectors.mT


def _two(matrices: Tensor) -> tuple[Tensor, Tensor]:
    first, coupling, second = matrices[..., 0, 0], matrices[..., 0, 1], matrices[..., 1, 1]
    angle = torch.atan2(2 * coupling, first - second) / 2
    cosine, sine = angle.cos(), angle.sin()
    middle, radius = (first + second) / 2, torch.hypot((first - second) / 2, coupling)
    larger = torch.stack([cosine, sine], dim=-1)
    smaller = torch.stack([-sine, cosine], dim=-1)
    return torch.stack([middle - radius, middle + radius], dim=-1), torch.stack([smaller, larger], dim=-1)


def _three(matrices: Tensor) -> tuple[Tensor, Tensor]:
    size = matrices.abs().amax((-2, -1), keepdim=True)
    scaled = matrices / torch.where(size > 0, size, 1.0)
    mean = scaled.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    identity = torch.eye(3, dtype=matrices.dtype, device=matrices.device)
    shifted = scaled - mean * identity
    spread = (shifted.square().sum((-2, -1)) / 6).sqrt()
    unit = shifted / torch.where(spread > 0, spread, 1.0)[..., None, None]
    half = (unit[..., 0] * torch.linalg.cross(unit[..., 1], unit[..., 2])).sum(-1) / 2
    angle = half.clamp(-1, 1).acos() / 3
    top = half >= 0  # the largest eigenvalue stands apart, otherwise the smallest
    apart = 2 * torch.where(top, angle, angle + 2 * math.pi / 3).cos()
    axis = _null_vector(unit - apart[..., None, None] * identity)
    one, other = _complement(axis)
    plane = torch.stack([one, other], dim=-1)
    _, turn = _two(plane.mT @ unit @ plane)
    pair = plane @ turn
    single = axis.unsqueeze(-1)
    vectors = torch.where(top[..., None, None], torch.cat([pair, single], -1), torch.cat([single, pair], -1))
    values = ((scaled @ vectors) * vectors).sum(-2) * size.squeeze(-1)
    return values, vectors


def _null_vector(matrices: Tensor) -> Tensor:
    """Return unit vectors that singular 3 x 3 matrices of rank 2 send to zero; the last axis where they vanish."""
    rows = matrices.unbind(-2)
    crossed = torch.stack([torch.linalg.cross(rows[i], rows[j]) for i, j in ((0, 1), (0, 2), (1, 2))], dim=-2)
    lengths = crossed.square().sum(-1)
    best = lengths.argmax(-1, keepdim=True)
    longest = lengths.gather(-1, best)
    chosen = crossed.gather(-2, best.unsqueeze(-1).expand(*best.shape, 3)).squeeze(-2)
    last = torch.eye(3, dtype=matrices.dtype, device=matrices.device)[2]
    return torch.where(longest > 0, chosen / torch.where(longest > 0, longest, 1.0).sqrt(), last)


def _complement(axis: Tensor) -> tuple[Tensor, Tensor]:
    """Return two unit vectors orthogonal to unit vectors and to each other."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    flat = torch.where(
        (x.abs() > y.abs()).unsqueeze(-1), torch.stack([-z, zero, x], -1), torch.stack([zero, z, -y], -1)
    )
    first = flat / flat.square().sum(-1, keepdim=True).sqrt()
    return first, torch.linalg.cross(axis, first)
