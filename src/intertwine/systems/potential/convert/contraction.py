"""The weights of a symmetric contraction for another basis of the same polynomials.

mace-torch contracts with coupling tensors U, one a coupling tree; symmetrised over their factors they are linearly
dependent. `symmetric_basis` keeps independent ones, so every U is one combination of them, U_k = sum_p T_pk B_p, and
the weights of the basis are w_p = sum_k T_pk w_k.
"""

from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.products.symmetric_basis import symmetric_basis
from intertwine.representations import Irrep, Irreps

__all__ = ["combinations_of_basis"]


def combinations_of_basis(
    couplings: Float[Tensor, "*components paths"], irreps_in: Irreps, ir_out: Irrep, degree: int
) -> tuple[Float[Tensor, "basis paths"], float]:
    """Return T, and how much of the couplings it misses: the norm of the rest over that of the couplings.

    The rest is rounding if and only if the couplings are equivariant and have the signs of this package.

    Args:
        couplings: coupling tensors; axes are the component of the result (none for a scalar), one axis of components
            a factor, and the number of the coupling.
        irreps_in: irreps of one channel, each with multiplicity 1.
        ir_out: irrep of the result.
        degree: number of factors.
    """
    basis = symmetric_basis(irreps_in, ir_out, degree)
    wanted = _polynomials(couplings, irreps_in.dim, ir_out.dim, degree)
    if not wanted.any() or not len(basis):
        return torch.zeros(len(basis), couplings.shape[-1], dtype=torch.float64), float(bool(wanted.any()))
    columns = basis.reshape(len(basis), -1).T
    solution = np.linalg.lstsq(columns, wanted)[0]
    missed = float(np.linalg.norm(columns @ solution - wanted) / np.linalg.norm(wanted))
    return torch.from_numpy(solution), missed


def _polynomials(couplings: Tensor, dim: int, dim_out: int, degree: int) -> np.ndarray:
    """Coefficients of the monomials, shape (component of the result times monomial, coupling).

    Monomials are ordered as in `symmetric_basis`; factors in another order are the same monomial.
    """
    tensor = couplings.double().cpu().reshape(dim_out, dim**degree, -1)
    place = {monomial: index for index, monomial in enumerate(combinations_with_replacement(range(dim), degree))}
    factors = np.sort(np.indices((dim,) * degree).reshape(degree, -1), axis=0)
    targets = torch.tensor([place[tuple(column)] for column in factors.T.tolist()])
    polynomials = tensor.new_zeros(dim_out, len(place), tensor.shape[-1]).index_add(1, targets, tensor)
    return polynomials.flatten(0, 1).numpy()
