"""Wigner 3j, 6j and 9j symbols of integer degrees, and the coupling constants of products that are made of them.

Racah's sums run in exact integers and fractions; one square root at the end is the only rounding. Signs are those of
the standard (Condon-Shortley) symbols. The real coupling tensor of norm 1 is `intertwine.representations.wigner_3j`.
(Edmonds, "Angular Momentum in Quantum Mechanics", eqs. 3.6.10, 6.3.7 and 6.4.3.)
"""

from fractions import Fraction
from functools import cache
from math import factorial, pi, prod, sqrt

from intertwine.errors import RepresentationError

__all__ = ["matrix_constant", "symbol_3j", "symbol_6j", "symbol_9j", "vector_constant"]


@cache
def symbol_3j(j1: int, j2: int, j3: int, m1: int, m2: int, m3: int) -> float:
    """Return the symbol ``(j1 j2 j3; m1 m2 m3)``, zero where a selection rule forbids it.

    Raises:
        RepresentationError: if a degree is negative.

    Example:
        >>> round(symbol_3j(1, 1, 2, 0, 0, 0) ** 2, 12)  # 2 / 15
        0.133333333333
    """
    _check(j1, j2, j3)
    if m1 + m2 + m3 != 0 or not _triangle(j1, j2, j3) or abs(m1) > j1 or abs(m2) > j2 or abs(m3) > j3:
        return 0.0
    f = factorial
    total = Fraction(0)
    for k in range(max(0, j2 - j3 - m1, j1 - j3 + m2), min(j1 + j2 - j3, j1 - m1, j2 + m2) + 1):
        below = f(k) * f(j3 - j2 + k + m1) * f(j3 - j1 + k - m2) * f(j1 + j2 - j3 - k) * f(j1 - k - m1) * f(j2 - k + m2)
        total += Fraction((-1) ** k, below)
    square = _delta(j1, j2, j3) * prod(f(j + m) * f(j - m) for j, m in ((j1, m1), (j2, m2), (j3, m3)))
    return (-1) ** abs(j1 - j2 - m3) * _root(total, square)


@cache
def symbol_6j(j1: int, j2: int, j3: int, j4: int, j5: int, j6: int) -> float:
    """Return the symbol ``{j1 j2 j3; j4 j5 j6}``, zero where a triangle rule forbids it.

    Raises:
        RepresentationError: if a degree is negative.

    Example:
        >>> round(symbol_6j(1, 1, 1, 1, 1, 1), 12)  # 1 / 6
        0.166666666667
    """
    _check(j1, j2, j3, j4, j5, j6)
    triads = ((j1, j2, j3), (j1, j5, j6), (j4, j2, j6), (j4, j5, j3))
    if not all(_triangle(*triad) for triad in triads):
        return 0.0
    return _root(Fraction(_sum_6j(j1, j2, j3, j4, j5, j6)), prod(_delta(*triad) for triad in triads))


@cache
def symbol_9j(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, i: int) -> float:
    """Return the symbol ``{a b c; d e f; g h i}``, rows one after the other, zero where a triangle rule forbids it.

    Raises:
        RepresentationError: if a degree is negative.

    Example:
        >>> round(symbol_9j(0, 1, 1, 1, 0, 1, 1, 1, 0) * 9, 12)
        1.0
    """
    _check(a, b, c, d, e, f, g, h, i)
    triads = ((a, b, c), (d, e, f), (g, h, i), (a, d, g), (b, e, h), (c, f, i))
    if not all(_triangle(*triad) for triad in triads):
        return 0.0
    # In the sum over 6j symbols the roots that hold x come in pairs: each term is a fraction times one common root.
    total = Fraction(0)
    for x in range(max(abs(a - i), abs(b - f), abs(d - h)), min(a + i, b + f, d + h) + 1):
        sums = _sum_6j(a, b, c, f, i, x) * _sum_6j(d, e, f, b, x, h) * _sum_6j(g, h, i, x, a, d)
        total += (2 * x + 1) * sums * _delta(a, i, x) * _delta(b, f, x) * _delta(d, h, x)
    return _root(total, prod(_delta(*triad) for triad in triads))


def matrix_constant(l1: int, l2: int, l3: int, matrix_degree: int) -> float:
    """Return the size of the coupling of the matrix product: sqrt((2 l1 + 1)(2 l2 + 1)(2 l3 + 1)) |6j|.

    Args:
        l1, l2, l3: degrees of the inputs and the output.
        matrix_degree: l~ of the matrices of size 2 l~ + 1.
    """
    inner = symbol_6j(l1, l2, l3, matrix_degree, matrix_degree, matrix_degree)
    return sqrt((2 * l1 + 1) * (2 * l2 + 1) * (2 * l3 + 1)) * abs(inner)


_SPIN_FACTORS = {(1, 1, 1): 6, (1, 1, 0): 3, (0, 1, 1): 3, (1, 0, 1): 3, (0, 0, 0): 1}


def vector_constant(
    first: tuple[int, int], second: tuple[int, int], third: tuple[int, int], spins: tuple[int, int, int] = (1, 1, 1)
) -> float:
    """Return the size of the coupling of two signals on the sphere, between slots (j, l) of each.

    ``spins`` says what is multiplied: (1, 1, 1) the cross product of vector signals, (1, 1, 0) their dot product,
    (0, 1, 1) a scalar signal times a vector signal, (0, 0, 0) two scalar signals (where it is the Gaunt constant).

    Raises:
        RepresentationError: if there is no product of these spins.
    """
    if spins not in _SPIN_FACTORS:
        raise RepresentationError("no product of signals of these spins", got=spins, expected=list(_SPIN_FACTORS))
    (j1, l1), (j2, l2), (j3, l3) = first, second, third
    dims = prod(2 * degree + 1 for degree in (l1, l2, l3, j1, j2, j3))
    symbols = symbol_3j(l1, l2, l3, 0, 0, 0) * symbol_9j(l1, l2, l3, *spins, j1, j2, j3)
    return sqrt(_SPIN_FACTORS[spins] * dims / (4 * pi)) * abs(symbols)


def _sum_6j(j1: int, j2: int, j3: int, j4: int, j5: int, j6: int) -> int:
    """Racah's alternating sum; its terms are multinomials, so it is an integer."""
    lower = (j1 + j2 + j3, j1 + j5 + j6, j4 + j2 + j6, j4 + j5 + j3)
    upper = (j1 + j2 + j4 + j5, j2 + j3 + j5 + j6, j3 + j1 + j6 + j4)
    total = 0
    for t in range(max(lower), min(upper) + 1):
        below = prod(factorial(t - x) for x in lower) * prod(factorial(x - t) for x in upper)
        total += (-1) ** t * (factorial(t + 1) // below)
    return total


@cache
def _delta(a: int, b: int, c: int) -> Fraction:
    return Fraction(factorial(a + b - c) * factorial(a - b + c) * factorial(b + c - a), factorial(a + b + c + 1))


def _triangle(a: int, b: int, c: int) -> bool:
    return abs(a - b) <= c <= a + b


def _root(factor: Fraction, square: Fraction | int) -> float:
    """Return ``factor sqrt(square)``, exact until the last rounding."""
    value = factor * factor * square
    return (1 if factor >= 0 else -1) * sqrt(value.numerator / value.denominator)


def _check(*degrees: int) -> None:
    if min(degrees) < 0:
        raise RepresentationError("a degree cannot be negative", got=degrees)
