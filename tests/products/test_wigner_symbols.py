"""Wigner symbols against sympy and their orthogonality; the constants against couplings found by projection."""

import itertools
import json
import random
from math import pi, sqrt

import pytest
import torch
from sympy.physics import wigner as sympy_wigner

from intertwine.errors import RepresentationError
from intertwine.products.wigner_symbols import matrix_constant, symbol_3j, symbol_6j, symbol_9j, vector_constant
from intertwine.representations import wigner_3j


def _sympy(function, arguments):
    """The symbol from sympy, which raises where a triangle rule forbids it."""
    try:
        return float(function(*arguments, prec=40))
    except ValueError:
        return 0.0


def test_3j_equals_sympy_with_its_sign():
    draw = random.Random(1)
    seen = 0
    while seen < 60:
        j = [draw.randint(0, 7) for _ in range(3)]
        m = [draw.randint(-degree, degree) for degree in j[:2]]
        arguments = (*j, *m, -sum(m))
        value = symbol_3j(*arguments)
        assert value == pytest.approx(_sympy(lambda *a, prec: sympy_wigner.wigner_3j(*a), arguments), abs=1e-15)
        seen += value != 0


@pytest.mark.parametrize(
    ("ours", "theirs", "count", "largest", "wanted"),
    [(symbol_6j, sympy_wigner.wigner_6j, 6, 7, 60), (symbol_9j, sympy_wigner.wigner_9j, 9, 3, 25)],
    ids=["6j", "9j"],
)
def test_6j_and_9j_equal_sympy_with_their_sign(ours, theirs, count, largest, wanted):
    draw = random.Random(2)
    signs = []
    while len(signs) < wanted:
        arguments = tuple(draw.randint(0, largest) for _ in range(count))
        value = ours(*arguments)
        assert value == pytest.approx(_sympy(theirs, arguments), abs=1e-15), arguments
        if value:
            signs.append(value > 0)
    assert 0.1 < sum(signs) / len(signs) < 0.9


def test_symbols_of_large_degrees_keep_their_digits():
    """Orthogonality of the 6j symbol at degree 40, where Racah's sum in floating point has none left."""
    rows = [[symbol_6j(40, 40, x, 40, 40, y) for x in range(81)] for y in (0, 33, 80)]
    for (a, first), (b, second) in itertools.product(enumerate(rows), repeat=2):
        total = sum((2 * x + 1) * u * v for x, (u, v) in enumerate(zip(first, second, strict=True)))
        degree = (0, 33, 80)[a]
        assert total * (2 * degree + 1) == pytest.approx(float(a == b), abs=1e-12)


def test_9j_with_a_zero_is_a_6j():
    for a, b, c, d, g in itertools.product(range(3), range(3), range(4), range(3), range(3)):
        expected = (-1) ** (b + c + d + g) / sqrt((2 * c + 1) * (2 * g + 1)) * symbol_6j(a, b, c, 1, d, g)
        assert symbol_9j(a, b, c, d, 1, c, g, g, 0) == pytest.approx(expected, abs=1e-15)


def test_negative_degrees_and_unknown_spins_are_refused():
    with pytest.raises(RepresentationError) as caught:
        symbol_6j(1, 1, -1, 1, 1, 1)
    assert caught.value.got == (1, 1, -1, 1, 1, 1)
    with pytest.raises(RepresentationError):
        vector_constant((1, 1), (1, 1), (1, 1), (2, 1, 1))


@pytest.mark.parametrize("matrix_degree", [1, 2, 3])
def test_matrix_constant_is_that_of_the_projected_coupling(matrix_degree):
    """Traces of three basis matrices, written out with the coupling tensor alone."""
    degrees = range(2 * matrix_degree + 1)
    basis = [wigner_3j(matrix_degree, matrix_degree, n, dtype=torch.float64) * sqrt(2 * n + 1) for n in degrees]
    for l1, l2, l3 in itertools.product(degrees, repeat=3):
        traces = torch.einsum("abi,bcj,ack->ijk", basis[l1], basis[l2], basis[l3])
        assert float(traces.norm()) == pytest.approx(matrix_constant(l1, l2, l3, matrix_degree), abs=1e-10)


def test_zeros_of_the_matrix_constant():
    """Up to l~ = 10, and where both inputs fit (l1 + l2 <= 2 l~), only (3, 5, 6) at l~ = 6; six more where not."""
    missing = {}
    for matrix_degree in range(11):
        degrees = range(2 * matrix_degree + 1)
        for l1, l2, l3 in itertools.combinations_with_replacement(degrees, 3):
            if l3 <= l1 + l2 and matrix_constant(l1, l2, l3, matrix_degree) < 1e-10:
                missing[matrix_degree] = (l1, l2, l3)
    fitting = {size: triple for size, triple in missing.items() if sum(triple[:2]) <= 2 * size}
    assert fitting == {6: (3, 5, 6)}
    assert missing == fitting | {
        3: (3, 5, 5), 4: (5, 6, 7), 5: (4, 9, 9), 8: (9, 13, 15), 9: (11, 14, 17), 10: (14, 14, 19),
    }  # fmt: skip


def test_scalar_signals_give_the_gaunt_constant(data_dir):
    """K of the reference table, and its closed form for (0, l, l)."""
    table = json.loads((data_dir / "tensor-product-reference" / "coupling_constants_l4.json").read_text())["K_even"]
    for key, value in table.items():
        l1, l2, l3 = map(int, key.split(","))
        got = vector_constant((l1, l1), (l2, l2), (l3, l3), (0, 0, 0))
        assert got == pytest.approx(value, abs=1e-12), key
    for degree in range(30):
        got = vector_constant((0, 0), (degree, degree), (degree, degree), (0, 0, 0))
        assert got == pytest.approx(sqrt((2 * degree + 1) / (4 * pi)), rel=1e-13)
