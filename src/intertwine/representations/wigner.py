"""Wigner matrices of real irreps, straight from orthogonal matrices.

D^1(R) = R in the order (x, y, z), and D^{l+1} is the top block of D^l (x) R. The result is a polynomial in the entries
of R: no Euler angles, no poles, differentiable to any order. For an improper R this recursion gives the natural parity,
D^l(-1) = (-1)^l; `irreps_matrix` applies the parity that an irrep declares.
"""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.representations.coupling import wigner_3j
from intertwine.representations.irreps import Irreps

__all__ = ["irreps_matrix", "wigner_D", "wigner_D_upto"]


def wigner_D(degree: int, rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
    """Return the orthogonal matrix D with ``Y^l(R r) = D Y^l(r)``, for any orthogonal R.

    Raises:
        ShapeError: if ``rotation`` does not end in (3, 3).

    Example:
        >>> wigner_D(1, -torch.eye(3)).diagonal()
        tensor([-1., -1., -1.])
    """
    return wigner_D_upto(degree, rotation)[degree]


def wigner_D_upto(lmax: int, rotation: Float[Tensor, "*batch 3 3"]) -> list[Float[Tensor, "*batch _ _"]]:
    """Return the matrices of degrees 0 to ``lmax`` (one recursion yields them all)."""
    if rotation.shape[-2:] != (3, 3):
        raise ShapeError("a Wigner matrix needs orthogonal matrices", got=tuple(rotation.shape), expected="(..., 3, 3)")
    matrices = [torch.ones_like(rotation[..., :1, :1]), rotation]
    for degree in range(1, lmax):
        lift = _lift(degree).to(rotation)
        # contract one factor at a time: (D c) R c^T costs l^3, where the Kronecker product would cost l^4
        half = torch.einsum("...ab,bjn->...ajn", matrices[degree], lift)
        half = torch.einsum("...ajn,...ij->...ain", half, rotation)
        matrices.append(torch.einsum("aim,...ain->...mn", lift, half))
    return matrices[: lmax + 1]


@cache
def _lift(degree: int) -> Tensor:
    """Isometry from degree + 1 into degree (x) vector, axes (degree, vector, degree + 1)."""
    return wigner_3j(degree, 1, degree + 1, dtype=torch.float64) * (2 * degree + 3) ** 0.5


def irreps_matrix(irreps: "str | Irreps", rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch dim dim"]:
    """Return the block-diagonal matrix that acts on features of the given irreps (layout ``mul_ir``).

    Under an improper R an irrep of parity p has ``p D^l(-R)``, where ``-R`` is the proper rotation in it.
    """
    irreps = Irreps(irreps)
    matrix = rotation.new_zeros(*rotation.shape[:-2], irreps.dim, irreps.dim)
    if not irreps.entries:
        return matrix
    natural = wigner_D_upto(irreps.lmax, rotation)
    sign = torch.linalg.det(rotation).sign()[..., None, None]
    start = 0
    for mul, ir in irreps:
        block = natural[ir.l] if ir.natural else natural[ir.l] * sign
        for _ in range(mul):
            matrix[..., start : start + ir.dim, start : start + ir.dim] = block
            start += ir.dim
    return matrix
