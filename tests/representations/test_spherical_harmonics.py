"""Spherical harmonics against e3nn, scipy, closed forms, and their transformation law."""

import math

import numpy as np
import pytest
import torch
from e3nn import o3
from scipy.special import sph_harm_y

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.representations import SphericalHarmonics, spherical_harmonics, wigner_D
from intertwine.testing import check_compile

DOUBLE = torch.float64


@pytest.mark.parametrize("normalization", ["integral", "component", "norm"])
@pytest.mark.parametrize("normalize", [True, False])
def test_equal_to_e3nn(normalization, normalize, rng):
    vectors = torch.randn(40, 3, dtype=DOUBLE, generator=rng)
    if not normalize:
        vectors = vectors / vectors.norm(dim=-1, keepdim=True) * 1.3
    degrees = list(range(12))  # e3nn 0.6 ends at degree 11
    ours = spherical_harmonics(degrees, vectors, normalize, normalization)
    theirs = o3.spherical_harmonics(degrees, vectors, normalize, normalization)
    assert (ours - theirs).abs().max() < 1e-10 * theirs.abs().max()


def test_equal_to_scipy_at_degree_12(rng):
    """scipy's complex harmonics have the polar axis z and the Condon-Shortley sign."""
    vectors = torch.randn(30, 3, dtype=DOUBLE, generator=rng)
    x, y, z = (vectors / vectors.norm(dim=-1, keepdim=True)).numpy().T
    polar, azimuth = np.arccos(y), np.arctan2(x, z)
    columns = []
    for m in range(-12, 13):
        value = sph_harm_y(12, abs(m), polar, azimuth) * (-1) ** m
        columns.append(value.real if m == 0 else math.sqrt(2) * (value.real if m > 0 else value.imag))
    ours = spherical_harmonics(12, vectors).numpy()
    assert np.abs(ours - np.stack(columns, axis=-1)).max() < 1e-13


def test_closed_forms_of_degree_1_and_2(rng):
    x, y, z = torch.nn.functional.normalize(torch.randn(3, 20, dtype=DOUBLE, generator=rng), dim=0)
    vectors = torch.stack([x, y, z], dim=-1)
    one = math.sqrt(3 / (4 * math.pi)) * vectors
    s = math.sqrt(15 / (4 * math.pi))
    two = torch.stack(
        [
            s * x * z,
            s * x * y,
            math.sqrt(5 / (4 * math.pi)) * (y**2 - (x**2 + z**2) / 2),
            s * y * z,
            s * (z**2 - x**2) / 2,
        ],
        dim=-1,
    )
    torch.testing.assert_close(spherical_harmonics([1, 2], vectors), torch.cat([one, two], -1), rtol=0, atol=1e-14)


def test_orthonormal_on_the_sphere():
    nodes, weights = np.polynomial.legendre.leggauss(13)
    angles = torch.arange(26, dtype=DOUBLE) * (2 * math.pi / 26)
    cos, sin = torch.tensor(nodes), torch.tensor(np.sqrt(1 - nodes**2))
    points = torch.stack(
        [sin[:, None] * angles.sin(), cos[:, None].expand(-1, 26), sin[:, None] * angles.cos()], dim=-1
    )
    harmonics = spherical_harmonics(list(range(13)), points)
    measure = torch.tensor(weights)[:, None] * (2 * math.pi / 26)
    gram = torch.einsum("uv,uvi,uvj->ij", measure.expand(-1, 26), harmonics, harmonics)
    torch.testing.assert_close(gram, torch.eye(169, dtype=DOUBLE), rtol=0, atol=1e-13)


@pytest.mark.parametrize("degree", [*range(9), 12])
def test_rotates_by_the_wigner_matrix(degree, rng):
    rotation = O(3).sample(16, rng=rng, dtype=DOUBLE)
    vectors = torch.randn(16, 3, dtype=DOUBLE, generator=rng)
    turned = spherical_harmonics(degree, torch.einsum("nij,nj->ni", rotation, vectors))
    expected = torch.einsum("nij,nj->ni", wigner_D(degree, rotation), spherical_harmonics(degree, vectors))
    torch.testing.assert_close(turned, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("normalize", [True, False])
def test_first_and_second_derivatives(normalize, rng):
    vectors = torch.randn(3, 3, dtype=DOUBLE, generator=rng, requires_grad=True)

    def function(v):
        return spherical_harmonics([0, 1, 2, 3, 4], v, normalize, "component")

    assert torch.autograd.gradcheck(function, vectors)
    assert torch.autograd.gradgradcheck(function, vectors)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("vector", [[0.0, 0, 0], [0, 1, 0], [0, -2, 0], [1e-60, 0, 0], [0, 1e-30, 1e-30]])
def test_derivatives_are_finite_everywhere(normalize, vector):
    v = torch.tensor([vector], dtype=DOUBLE, requires_grad=True)
    y = spherical_harmonics(list(range(13)), v, normalize)
    (gradient,) = torch.autograd.grad(y.sum(), v, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), v)
    assert y.isfinite().all()
    assert gradient.isfinite().all()
    assert second.isfinite().all()


def test_zero_vector_has_only_the_constant():
    y = spherical_harmonics([0, 1, 2], torch.zeros(3, dtype=DOUBLE))
    assert y[0] == pytest.approx(1 / math.sqrt(4 * math.pi))
    assert (y[1:] == 0).all()


def test_irreps_choose_degrees_and_axial_vectors_are_allowed():
    v = torch.tensor([0.3, -0.2, 0.9])
    assert torch.equal(spherical_harmonics("2x1o + 0e", v), spherical_harmonics([1, 1, 0], v))
    assert torch.equal(spherical_harmonics("1e + 2e", v), spherical_harmonics([1, 2], v))
    with pytest.raises(RepresentationError) as caught:
        spherical_harmonics("1o + 2o", v)
    assert caught.value.got == "1o + 2o" or str(caught.value.got) == "1x1o + 1x2o"


def test_module_compiles_keeps_precision_and_takes_empty_batches(rng):
    module = SphericalHarmonics([0, 1, 2, 3, 4], normalization="component").double()
    vectors = torch.randn(9, 3, dtype=DOUBLE, generator=rng)
    expected = spherical_harmonics([0, 1, 2, 3, 4], vectors, normalization="component")
    assert torch.equal(module(vectors), expected)
    check_compile(module, {"vectors": vectors})
    assert module(vectors[:0]).shape == (0, 25)
    assert module.float()(vectors.float()).dtype == torch.float32
    assert str(module.irreps_out) == "1x0e + 1x1o + 1x2e + 1x3o + 1x4e"


@pytest.mark.parametrize("shape", [(3, 2), (4,), ()])
def test_wrong_shapes_are_refused(shape):
    with pytest.raises(ShapeError) as caught:
        spherical_harmonics(1, torch.zeros(shape))
    assert caught.value.got == shape


def test_unknown_normalization_is_refused():
    with pytest.raises(RepresentationError) as caught:
        spherical_harmonics(1, torch.zeros(3), normalization="unit")
    assert caught.value.got == "unit"
