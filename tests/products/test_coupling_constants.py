"""Constants of Gaunt products: the integrals of three harmonics that they stand for, known values, symmetries."""

import itertools
import json
from math import pi

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError
from intertwine.products.gaunt.coupling_constants import curl_constant, gaunt_constant
from intertwine.products.gaunt.grid import GauntDense
from intertwine.representations import Irreps, spherical_harmonics, wigner_3j

DOUBLE = torch.float64


def block(l1, l2, l3):
    return tuple(slice(degree**2, (degree + 1) ** 2) for degree in (l1, l2, l3))


def triangles(lmax):
    for l1, l2 in itertools.product(range(lmax + 1), repeat=2):
        for l3 in range(abs(l1 - l2), min(l1 + l2, lmax) + 1):
            yield l1, l2, l3


@pytest.fixture(scope="module")
def integrals():
    """Integrals of three harmonics up to degree 6, by a quadrature of its own."""
    nodes, weights = np.polynomial.legendre.leggauss(12)
    angles = torch.arange(24, dtype=DOUBLE) * (2 * pi / 24)
    cos, sin = torch.tensor(nodes)[:, None], torch.tensor(np.sqrt(1 - nodes**2))[:, None]
    points = torch.stack([sin * angles.sin(), cos.expand(-1, 24), sin * angles.cos()], dim=-1).flatten(0, 1)
    y = spherical_harmonics(list(range(7)), points)
    measure = torch.tensor(weights).repeat_interleave(24) * (2 * pi / 24)
    pairs = (y[:, :, None] * y[:, None]).flatten(1)
    return (pairs.T @ (y * measure[:, None])).unflatten(0, (49, 49))


def test_integrals_are_the_constant_times_the_coupling_tensor(integrals):
    for l1, l2, l3 in triangles(6):
        expected = gaunt_constant(l1, l2, l3) * wigner_3j(l1, l2, l3, dtype=DOUBLE)
        assert (integrals[block(l1, l2, l3)] - expected).abs().max() < 1e-13, (l1, l2, l3)
        if (l1 + l2 + l3) % 2:
            assert gaunt_constant(l1, l2, l3) == 0
        else:
            assert gaunt_constant(l1, l2, l3) > 0
    assert gaunt_constant(1, 1, 4) == 0
    assert all(gaunt_constant(*t) > 0 for t in triangles(12) if sum(t) % 2 == 0)  # no accidental zeros


@pytest.mark.parametrize(
    ("degrees", "value"),
    [
        ((0, 0, 0), 0.28209479), ((0, 1, 1), 0.48860251), ((0, 2, 2), 0.63078313), ((1, 1, 2), 0.69098830),
        ((1, 2, 3), 0.84628438), ((2, 2, 2), 0.75393004), ((2, 2, 4), 1.01150330), ((2, 3, 3), 0.86181382),
        ((2, 4, 4), 0.96443055), ((3, 3, 4), 0.95473754),
    ],
)  # fmt: skip
def test_known_constants(degrees, value):
    for order in itertools.permutations(degrees):
        assert gaunt_constant(*order) == pytest.approx(value, abs=5e-9)


def test_stored_constants(data_dir):
    stored = json.loads((data_dir / "tensor-product-reference" / "coupling_constants_l4.json").read_text())
    for key, function in (("K_even", gaunt_constant), ("C_odd", curl_constant)):
        for name, value in stored[key].items():
            assert function(*map(int, name.split(","))) == pytest.approx(value, abs=1e-12, rel=1e-12)


def test_large_degrees_stay_exact():
    """(0, l, l) has a closed form, where factorials of 400 would overflow a float."""
    assert gaunt_constant(0, 200, 200) == pytest.approx((401 / (4 * pi)) ** 0.5, rel=1e-15)
    with pytest.raises(RepresentationError):
        gaunt_constant(-1, 1, 0)


def test_nonzero_integrals_of_two_vectors_and_degree_2():
    table = GauntDense("1o", "1o", "2e").double().coefficients
    positive = [(1, 1, 2), (-1, 1, -2), (1, -1, -2), (0, 1, 1), (1, 0, 1), (-1, 0, -1), (0, -1, -1)]
    expected = {(0, 0, 0): 0.25231325, (1, 1, 0): -0.12615663, (-1, -1, 0): -0.12615663, (-1, -1, 2): -0.21850969}
    expected |= dict.fromkeys(positive, 0.21850969)
    found = {tuple(p): table[tuple(p)].item() for p in (table.abs() > 1e-12).nonzero().tolist()}
    assert len(found) == len(expected) == 11
    for (m1, m2, m3), value in expected.items():
        assert found[m1 + 1, m2 + 1, m3 + 2] == pytest.approx(value, abs=5e-9)


def test_the_tensor_is_symmetric_in_its_three_slots():
    table = GauntDense(*[Irreps.spherical_harmonics(3)] * 3).double().coefficients
    for order in itertools.permutations(range(3)):
        torch.testing.assert_close(table.permute(order), table, rtol=0, atol=1e-15)
