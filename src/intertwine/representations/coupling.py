"""Coupling tensors: the one equivariant bilinear map V_l1 x V_l2 -> V_l3, in the real basis, of Frobenius norm 1.

The sign is that of e3nn 0.6 (its ``wigner_3j``): complex Clebsch-Gordan coefficients of SU(2), taken to the real basis
whose l = 1 components are (x, y, z). For example C^{111}[x, y, z] = +1/sqrt(6).
Coefficients are computed from Racah's formula in exact integers, so that no degree loses digits to cancellation.
"""

from functools import cache
from math import factorial, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError

__all__ = ["wigner_3j"]


def wigner_3j(
    l1: int,
    l2: int,
    l3: int,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Float[Tensor, "dim1 dim2 dim3"]:
    """Return the real coupling tensor C of three degrees.

    C is invariant: ``D1 D2 D3`` applied to its three axes gives C again. Its nearest textbook name is the Wigner 3j
    symbol in the real basis; a Clebsch-Gordan path is ``sqrt(2 l3 + 1) C``.

    Raises:
        RepresentationError: if the degrees break the triangle rule ``|l1 - l2| <= l3 <= l1 + l2``.

    Example:
        >>> wigner_3j(1, 1, 0, dtype=torch.float64)[:, :, 0].diagonal()
        tensor([0.5774, 0.5774, 0.5774], dtype=torch.float64)
    """
    if not abs(l1 - l2) <= l3 <= l1 + l2 or min(l1, l2) < 0:
        raise RepresentationError(
            "three degrees do not couple",
            got=f"({l1}, {l2}, {l3})",
            expected=f"l3 from {abs(l1 - l2)} to {l1 + l2}",
            code="E202",
        )
    table = torch.from_numpy(_real_coupling(l1, l2, l3).copy())
    return table.to(dtype=dtype or torch.get_default_dtype(), device=device)


@cache
def _real_coupling(l1: int, l2: int, l3: int) -> np.ndarray:
    q1, q2, q3 = _complex_to_real(l1), _complex_to_real(l2), _complex_to_real(l3)
    table = np.tensordot(_su2_clebsch_gordan(l1, l2, l3), q1, (0, 0))  # (m2, m3, i)
    table = np.tensordot(table, q2, (0, 0))  # (m3, i, j)
    table = np.real(np.tensordot(table, q3.conj(), (0, 0)))  # (i, j, k)
    table = table / np.linalg.norm(table)
    table[np.abs(table) < 1e-14] = 0.0  # rounding of exact zeros; no true coefficient is this small
    table.setflags(write=False)
    return table


@cache
def _complex_to_real(l: int) -> np.ndarray:  # noqa: E741
    """Unitary matrix: row = complex m, column = real component, both from -l to l; the phase makes C real."""
    q = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    q[l, l] = 1
    for m in range(1, l + 1):
        q[l - m, l + m], q[l - m, l - m] = 1 / sqrt(2), -1j / sqrt(2)
        q[l + m, l + m], q[l + m, l - m] = (-1) ** m / sqrt(2), 1j * (-1) ** m / sqrt(2)
    return (-1j) ** l * q


def _su2_clebsch_gordan(l1: int, l2: int, l3: int) -> np.ndarray:
    table = np.zeros((2 * l1 + 1, 2 * l2 + 1, 2 * l3 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(max(-l2, -l3 - m1), min(l2, l3 - m1) + 1):
            table[l1 + m1, l2 + m2, l3 + m1 + m2] = _racah(l1, m1, l2, m2, l3, m1 + m2)
    return table


def _racah(j1: int, m1: int, j2: int, m2: int, j3: int, m3: int) -> float:
    """Racah's closed form of <j1 m1 j2 m2 | j3 m3>, the sum in exact integers."""
    f = factorial
    prefactor_numerator = (
        (2 * j3 + 1) * f(j3 + j1 - j2) * f(j3 - j1 + j2) * f(j1 + j2 - j3)
        * f(j3 + m3) * f(j3 - m3) * f(j1 - m1) * f(j1 + m1) * f(j2 - m2) * f(j2 + m2)
    )  # fmt: skip
    # Every term of the alternating sum is 1 / (product of six factorials); a common multiple makes them integers.
    low, high = max(0, j2 - j3 - m1, j1 + m2 - j3), min(j1 + j2 - j3, j1 - m1, j2 + m2)
    terms = [
        f(k) * f(j1 + j2 - j3 - k) * f(j1 - m1 - k) * f(j2 + m2 - k) * f(j3 - j2 + m1 + k) * f(j3 - j1 - m2 + k)
        for k in range(low, high + 1)
    ]
    common = f(j1 + j2 + j3 + 1) ** 6
    total = sum((-1) ** (low + i) * (common // term) for i, term in enumerate(terms))
    # value^2 = prefactor * (total / common)^2, kept as one exact ratio until the square root
    numerator = prefactor_numerator * total * total
    denominator = f(j1 + j2 + j3 + 1) * common * common
    sign = 1 if total >= 0 else -1
    return sign * sqrt(numerator / denominator)
