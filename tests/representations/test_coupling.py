"""Coupling tensors against e3nn, the shared reference arrays, and their own law."""

import itertools
import json

import numpy as np
import pytest
import torch
from e3nn import o3

from intertwine.errors import RepresentationError
from intertwine.groups import O
from intertwine.representations import spherical_harmonics, wigner_3j, wigner_D

DOUBLE = torch.float64


def test_equal_to_e3nn_up_to_degree_8():
    for l1, l2 in itertools.combinations_with_replacement(range(9), 2):
        for l3 in range(abs(l1 - l2), min(8, l1 + l2) + 1):
            difference = wigner_3j(l1, l2, l3, dtype=DOUBLE) - o3.wigner_3j(l1, l2, l3, dtype=DOUBLE)
            assert difference.abs().max() < 1e-10, (l1, l2, l3)


def test_equal_to_the_reference_arrays(data_dir):
    with np.load(data_dir / "tensor-product-reference" / "real_w3j_l3.npz") as stored:
        for name in stored.files:
            degrees = tuple(map(int, name.split("_")[1:]))
            ours = wigner_3j(*degrees, dtype=DOUBLE).numpy()
            assert np.abs(ours - stored[name]).max() < 1e-12, name


@pytest.mark.parametrize("degrees", [(1, 1, 1), (2, 3, 4), (4, 4, 4), (3, 5, 8), (6, 7, 3)])
def test_invariant_under_rotations_of_all_three_slots(degrees, rng):
    rotation = O(3).sample(rng=rng, dtype=DOUBLE)
    c = wigner_3j(*degrees, dtype=DOUBLE)
    turned = torch.einsum("ijk,ai,bj,ck->abc", c, *(wigner_D(degree, rotation) for degree in degrees))
    sign = torch.linalg.det(rotation).sign() ** sum(degrees)
    torch.testing.assert_close(turned, sign * c, rtol=0, atol=1e-13)
    assert c.norm() == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(
    ("degrees", "nonzero"),
    [
        ((1, 1, 1), 6),
        ((1, 1, 2), 11),
        ((2, 2, 2), 25),
        ((2, 2, 4), 37),
        ((3, 3, 3), 42),
        ((4, 4, 4), 97),
        ((4, 4, 8), 137),
    ],
)
def test_number_of_nonzeros(degrees, nonzero):
    assert int((wigner_3j(*degrees, dtype=DOUBLE).abs() > 1e-10).sum()) == nonzero


@pytest.mark.parametrize("degrees", [(1, 2, 3), (2, 2, 3), (4, 3, 2)])
def test_symmetric_up_to_sign_in_its_slots(degrees):
    c = wigner_3j(*degrees, dtype=DOUBLE)
    for order in itertools.permutations(range(3)):
        other = wigner_3j(*(degrees[i] for i in order), dtype=DOUBLE)
        swapped = c.permute(order)
        assert min((swapped - other).abs().max(), (swapped + other).abs().max()) < 1e-14


def test_known_values():
    torch.testing.assert_close(
        wigner_3j(1, 1, 0, dtype=DOUBLE)[..., 0], torch.eye(3, dtype=DOUBLE) / 3**0.5, rtol=0, atol=1e-15
    )
    epsilon = wigner_3j(1, 1, 1, dtype=DOUBLE) * 6**0.5
    assert epsilon[0, 1, 2] == pytest.approx(1, abs=1e-14)
    a, b = torch.tensor([[1.0, 2, 3], [-2, 0.5, 1]], dtype=DOUBLE)
    product = torch.einsum("ijk,i,j->k", epsilon, a, b)
    torch.testing.assert_close(product, torch.linalg.cross(a, b), rtol=0, atol=1e-13)


def test_gaunt_integrals_are_multiples_with_the_stored_constants(data_dir):
    """G = K C for even sums: the integral of three harmonics, by quadrature, against the stored K."""
    stored = json.loads((data_dir / "tensor-product-reference" / "coupling_constants_l4.json").read_text())
    nodes, weights = np.polynomial.legendre.leggauss(12)
    angles = torch.arange(24, dtype=DOUBLE) * (2 * np.pi / 24)
    cos, sin = torch.tensor(nodes), torch.tensor(np.sqrt(1 - nodes**2))
    points = torch.stack(
        [sin[:, None] * angles.sin(), cos[:, None].expand(-1, 24), sin[:, None] * angles.cos()], dim=-1
    )
    measure = torch.tensor(weights)[:, None].expand(-1, 24) * (2 * np.pi / 24)
    for name, k in stored["K_even"].items():
        l1, l2, l3 = map(int, name.split(","))
        a, b, c = (spherical_harmonics(degree, points) for degree in (l1, l2, l3))
        gaunt = torch.einsum("uv,uvi,uvj,uvk->ijk", measure, a, b, c)
        torch.testing.assert_close(gaunt, k * wigner_3j(l1, l2, l3, dtype=DOUBLE), rtol=0, atol=1e-12)


def test_degrees_that_do_not_couple_are_refused():
    with pytest.raises(RepresentationError) as caught:
        wigner_3j(1, 2, 4)
    assert caught.value.got == "(1, 2, 4)"
    assert caught.value.code == "E202"
