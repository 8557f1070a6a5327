"""Vector harmonics: the basis of vector fields on the sphere, made of scalar harmonics and the coupling tensor.

Y_{j,l,m}(r)_a = sqrt(2 j + 1) sum_n C^{l 1 j}_{n a m} Y_{l,n}(r) for the slots l = j - 1, j, j + 1 (of degree 0: l = 1)
is orthonormal on the sphere, the vector index a in the order (x, y, z). Y_{1,0} are the constant fields along the axes,
Y_{0,1} is r / sqrt(4 pi). Under inversion a coefficient changes by (-1)^l, times -1 if the vectors are polar.
(Varshalovich, Moskalev, Khersonskii, "Quantum Theory of Angular Momentum", 7.3, in the real basis.)
"""

from math import sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.representations import Irreps, wigner_3j

__all__ = ["slots_of", "vector_harmonics", "vector_signal"]


def slots_of(degree: int, spin: int = 1) -> tuple[int, ...]:
    """Return the slots l of a degree: those of vector (spin 1) or of scalar fields (spin 0, l = j alone)."""
    if spin == 0:
        return (degree,)
    return (degree - 1, degree, degree + 1) if degree else (1,)


def vector_signal(jmax: int, parity: int = -1) -> tuple[Irreps, tuple[int, ...]]:
    """Return all irreps of one vector field up to degree ``jmax``, and their slots, ordered by j, then l.

    Args:
        jmax: largest degree.
        parity: of the values, -1 for polar vectors, +1 for axial ones.

    Example:
        >>> vector_signal(1)
        (Irreps('1x0e + 1x1o + 1x1e + 1x1o'), (1, 0, 1, 2))
    """
    pairs = [(j, slot) for j in range(jmax + 1) for slot in slots_of(j)]
    return Irreps([(1, (j, parity * (-1) ** slot)) for j, slot in pairs]), tuple(slot for _, slot in pairs)


def vector_harmonics(
    degree: int, slot: int, harmonics: Float[Tensor, "points dim_slot"], spin: int = 1
) -> Float[Tensor, "points axes dim"]:
    """Return vector harmonics from the scalar harmonics of degree ``slot`` at the same points, ``integral`` both.

    Law: ``Y_j(R r) = D^j(R)`` applied to the components, and R to the vector. With spin 0 they are the scalar ones.

    Raises:
        RepresentationError: if the degree has no such slot.
    """
    if slot not in slots_of(degree, spin):
        raise RepresentationError(
            f"degree {degree} has no slot {slot} in a field of spin {spin}",
            got=slot,
            expected=", ".join(map(str, slots_of(degree, spin))),
        )
    coupling = wigner_3j(slot, spin, degree, dtype=harmonics.dtype, device=harmonics.device)
    return torch.einsum("pn,nam->pam", harmonics, coupling * sqrt(2 * degree + 1))
