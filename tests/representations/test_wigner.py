"""Wigner matrices against e3nn, the stored rotation, and the law of a representation."""

import numpy as np
import pytest
import torch
from e3nn import o3

from intertwine.errors import ShapeError
from intertwine.groups import SO, O
from intertwine.representations import irreps_matrix, wigner_D

DOUBLE = torch.float64


@pytest.mark.usefixtures("float64_default")
@pytest.mark.parametrize("degree", range(9))
def test_equal_to_e3nn(degree, rng):
    rotation = SO(3).sample(20, rng=rng, dtype=DOUBLE)
    theirs = o3.Irrep(degree, 1).D_from_matrix(rotation)
    assert (wigner_D(degree, rotation) - theirs).abs().max() < 1e-10


@pytest.mark.usefixtures("float64_default")
def test_irreps_with_parity_equal_e3nn(rng):
    irreps = "2x0e + 0o + 2x1o + 1e + 2e + 2o + 3o"
    elements = O(3).sample(20, rng=rng, dtype=DOUBLE)
    assert {-1.0, 1.0} <= set(torch.linalg.det(elements).round().tolist())
    theirs = o3.Irreps(irreps).D_from_matrix(elements)
    assert (irreps_matrix(irreps, elements) - theirs).abs().max() < 1e-10


@pytest.mark.parametrize("degree", [*range(9), 12])
def test_a_homomorphism_into_orthogonal_matrices(degree, rng):
    a, b = O(3).sample(2, rng=rng, dtype=DOUBLE)
    d = wigner_D(degree, a)
    torch.testing.assert_close(wigner_D(degree, a @ b), d @ wigner_D(degree, b), rtol=0, atol=1e-12)
    torch.testing.assert_close(d @ d.mT, torch.eye(2 * degree + 1, dtype=DOUBLE), rtol=0, atol=1e-12)


def test_degree_1_is_the_rotation_itself_and_inversion_is_the_parity(rng):
    rotation = SO(3).sample(rng=rng, dtype=DOUBLE)
    assert torch.equal(wigner_D(1, rotation), rotation)
    for degree in range(6):
        minus = wigner_D(degree, -torch.eye(3, dtype=DOUBLE))
        torch.testing.assert_close(minus, (-1) ** degree * torch.eye(2 * degree + 1, dtype=DOUBLE))


@pytest.mark.parametrize("level", [1, 2, 3])
def test_equal_to_the_reference_arrays(level, data_dir):
    with np.load(data_dir / "tensor-product-reference" / f"case_L{level}.npz") as case:
        rotation, stored = torch.from_numpy(case["R"]), case["D"]
    irreps = [(1, (degree, (-1) ** degree)) for degree in range(2 * level + 1)]
    assert np.abs(irreps_matrix(irreps, rotation).numpy() - stored).max() < 1e-12


def test_derivatives_in_the_rotation(rng):
    rotation = SO(3).sample(rng=rng, dtype=DOUBLE).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: wigner_D(3, r), rotation)


def test_wrong_shape_is_refused():
    with pytest.raises(ShapeError) as caught:
        wigner_D(2, torch.zeros(3))
    assert caught.value.got == (3,)
