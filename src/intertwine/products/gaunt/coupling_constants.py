"""Coupling constants of the products on the sphere: what multiplies the coupling tensor C of norm 1, per path.

The integral of three real harmonics is G = K C, and the same integral with r . (grad x grad) is c C. In the
conventions of this package K and c are never negative. K vanishes for odd l1 + l2 + l3, c for even ones.
(Luo, Chen, Krishnapriyan, "Gaunt Tensor Products", ICLR 2024; Bochkarev et al. 2026, arXiv 2605.15073.)
"""

from fractions import Fraction
from functools import cache
from math import factorial, pi, sqrt

from intertwine.errors import RepresentationError
from intertwine.products.wigner_symbols import symbol_3j

__all__ = ["curl_constant", "gaunt_constant"]


@cache
def gaunt_constant(l1: int, l2: int, l3: int) -> float:
    """Return K, sqrt((2 l1 + 1)(2 l2 + 1)(2 l3 + 1) / 4 pi) |(l1 l2 l3; 0 0 0)|, zero where degrees do not couple.

    The symbol is evaluated from its closed form in exact integers.

    Raises:
        RepresentationError: if a degree is negative.

    Example:
        >>> round(gaunt_constant(1, 1, 2), 8), gaunt_constant(1, 1, 1)
        (0.6909883, 0.0)
    """
    _check(l1, l2, l3)
    total, half = l1 + l2 + l3, (l1 + l2 + l3) // 2
    if total % 2 or not abs(l1 - l2) <= l3 <= l1 + l2:
        return 0.0
    f = factorial
    sides = f(total - 2 * l1) * f(total - 2 * l2) * f(total - 2 * l3)
    ratio = Fraction(f(half), f(half - l1) * f(half - l2) * f(half - l3))
    square = (2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1) * Fraction(sides, f(total + 1)) * ratio**2
    return sqrt(square.numerator / square.denominator / (4 * pi))


@cache
def curl_constant(l1: int, l2: int, l3: int) -> float:
    """Return c, sqrt((2 l1 + 1)(2 l2 + 1)(2 l3 + 1) / 4 pi  l1 (l1 + 1) l2 (l2 + 1)) |(l1 l2 l3; 1 -1 0)| for odd sums.

    It is zero for even sums, where the symbol alone is not, and where degrees do not couple.

    Raises:
        RepresentationError: if a degree is negative.

    Example:
        >>> round(curl_constant(1, 1, 1), 8), curl_constant(1, 1, 2)
        (1.19682684, 0.0)
    """
    _check(l1, l2, l3)
    if (l1 + l2 + l3) % 2 == 0:
        return 0.0
    dims = (2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1) * l1 * (l1 + 1) * l2 * (l2 + 1)
    return sqrt(dims / (4 * pi)) * abs(symbol_3j(l1, l2, l3, 1, -1, 0))


def _check(*degrees: int) -> None:
    if min(degrees) < 0:
        raise RepresentationError("a degree cannot be negative", got=degrees)
