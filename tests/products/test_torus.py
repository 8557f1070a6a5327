"""Harmonics as Fourier series of the torus: stored tables, counts, symmetries, values, and the way back."""

import json
from math import pi

import numpy as np
import pytest
import torch

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products.gaunt.fourier_series import FromFourier, ToFourier, convolve, convolve_fft, fast_size
from intertwine.products.gaunt.reference_layout import from_reference_layout, reference_table, to_reference_layout
from intertwine.products.gaunt.torus import count_nonzeros, fourier_to_harmonics, harmonics_to_fourier, theta_integrals
from intertwine.representations import Irreps, spherical_harmonics

DOUBLE = torch.float64


def on_torus(coefficients, theta, phi):
    """The series with frequencies from -B to B on both axes, evaluated wave by wave."""
    width = coefficients.shape[-1] // 2
    frequencies = torch.arange(-width, width + 1)
    u, v = (torch.exp(1j * angle[:, None] * frequencies) for angle in (theta, phi))
    return torch.einsum("...uv,pu,pv->...p", coefficients, u, v)


def whole(half):
    """Both halves of a half series, by the realness of its function alone: f_{-u,-v} = conj f_{u,v}."""
    return torch.cat([half[..., 1:].flip(-1, -2).conj(), half], dim=-1)


# --- tables ----------------------------------------------------------------------------------------------


def test_equal_to_the_stored_table(data_dir):
    stored = json.loads((data_dir / "tensor-product-reference" / "sh_to_fourier_L2.json").read_text())
    expected = torch.zeros(9, 5, 5, dtype=torch.complex128)
    for degree, m, u, v, real, imaginary in stored["rows"]:
        expected[degree * degree + degree + m, u + 2, v + 2] = complex(real, imaginary)
    assert len(stored["rows"]) == count_nonzeros(2)
    torch.testing.assert_close(harmonics_to_fourier(2), expected, rtol=0, atol=1e-15)


def test_known_values():
    y = harmonics_to_fourier(1)
    assert y[0, 1, 1].item() == pytest.approx(0.2820947918, abs=1e-10)
    assert y[2, 0, 1].item() == y[2, 2, 1].item() == pytest.approx(0.2443012560, abs=1e-10)
    assert y[1, 0, 0].item() == y[1, 2, 2].item() == pytest.approx(-0.1221506280, abs=1e-10)
    assert y[1, 0, 2].item() == y[1, 2, 0].item() == pytest.approx(0.1221506280, abs=1e-10)
    assert y[3, 0, 0].item() == y[3, 0, 2].item() == pytest.approx(0.1221506280j, abs=1e-10)
    assert y[3, 2, 0].item() == y[3, 2, 2].item() == pytest.approx(-0.1221506280j, abs=1e-10)


def test_numbers_of_nonzeros():
    expected = [1, 11, 34, 86, 163, 289, 452]
    assert [count_nonzeros(lmax) for lmax in range(7)] == expected
    assert [int((harmonics_to_fourier(lmax).abs() > 1e-12).sum()) for lmax in range(7)] == expected
    dense = [harmonics_to_fourier(lmax).numel() for lmax in range(7)]
    assert dense == [1, 36, 225, 784, 2025, 4356, 8281]


@pytest.mark.parametrize("lmax", [1, 4, 7])
def test_rules_of_the_frequencies(lmax):
    y = harmonics_to_fourier(lmax)
    for degree in range(lmax + 1):
        for m in range(-degree, degree + 1):
            u, v = (places - lmax for places in y[degree * degree + degree + m].nonzero().T)
            assert ((u - degree) % 2 == 0).all()
            assert (v.abs() == abs(m)).all()
            assert m % 2 == 0 or (u != 0).all()
    signs = (-1.0) ** torch.arange(-lmax, lmax + 1)
    torch.testing.assert_close(y.flip(-2), signs * y, rtol=0, atol=1e-15)
    torch.testing.assert_close(y.flip(-1, -2), y.conj(), rtol=0, atol=1e-15)


def test_series_are_the_harmonics_and_continue_them(rng):
    theta, phi = torch.rand(2, 40, dtype=DOUBLE, generator=rng) * pi
    points = torch.stack([theta.sin() * phi.sin(), theta.cos(), theta.sin() * phi.cos()], dim=-1)
    expected = spherical_harmonics(list(range(9)), points).T
    y = harmonics_to_fourier(8)
    for values in (on_torus(y, theta, phi), on_torus(y, 2 * pi - theta, phi + pi)):
        torch.testing.assert_close(values.real, expected, rtol=0, atol=1e-13)
        assert values.imag.abs().max() < 1e-13


@pytest.mark.parametrize(("lmax", "bandwidth"), [*((lmax, lmax) for lmax in range(11)), (2, 3), (4, 12)])
def test_there_and_back(lmax, bandwidth):
    y, z = harmonics_to_fourier(lmax), fourier_to_harmonics(lmax, bandwidth)
    inner = slice(bandwidth - lmax, bandwidth + lmax + 1)
    back = torch.einsum("auv,buv->ab", y, z[:, inner, inner])
    torch.testing.assert_close(back, torch.eye(len(y), dtype=back.dtype), rtol=0, atol=1e-12)


def test_integrals_over_theta_against_quadrature():
    nodes, weights = np.polynomial.legendre.leggauss(60)
    theta, weights = torch.from_numpy((nodes + 1) * pi / 2), torch.from_numpy(weights * pi / 2)
    points = torch.stack([0 * theta, theta.cos(), theta.sin()], dim=-1)  # alpha = 0: every sine vanishes there
    harmonics = spherical_harmonics(list(range(4)), points)
    waves = torch.exp(1j * theta[:, None] * torch.arange(-5, 6))
    for degree in range(4):
        for m in range(degree + 1):
            values = harmonics[:, degree * degree + degree + m] / (1 if m == 0 else 2**0.5)
            expected = torch.einsum("p,p,pu->u", (weights * theta.sin()).to(waves.dtype), values.to(waves.dtype), waves)
            torch.testing.assert_close(theta_integrals(3, 5)[m, degree], expected, rtol=0, atol=1e-13)


def test_too_few_frequencies_are_refused():
    with pytest.raises(RepresentationError) as caught:
        fourier_to_harmonics(3, 2)
    assert caught.value.got == {"lmax": 3, "bandwidth": 2}


# --- transforms of features ------------------------------------------------------------------------------


@pytest.mark.parametrize("irreps", ["0e", "1o", "0e + 1o + 2e + 3o", "2e + 0e + 3o", "1e + 2o"])
def test_transforms_are_products_with_the_tables(irreps, rng):
    irreps = Irreps(irreps)
    columns = torch.cat([torch.arange(ir.l**2, (ir.l + 1) ** 2) for ir in irreps.irreps])
    x = irreps.random(5, rng=rng, dtype=DOUBLE)
    half = ToFourier(irreps).double()(x)
    expected = torch.einsum("na,auv->nuv", x.to(torch.complex128), harmonics_to_fourier(irreps.lmax)[columns])
    torch.testing.assert_close(half, expected[..., irreps.lmax :], rtol=0, atol=1e-14)
    torch.testing.assert_close(whole(half), expected, rtol=0, atol=1e-14)
    scales = [2.0 + i for i in range(len(irreps))]
    back = FromFourier(irreps, irreps.lmax, scales).double()(half)
    factors = torch.cat([torch.full((ir.dim,), s, dtype=DOUBLE) for ir, s in zip(irreps.irreps, scales, strict=True)])
    torch.testing.assert_close(back, factors * x, rtol=0, atol=1e-13)


@pytest.mark.parametrize("way", [convolve, convolve_fft])
@pytest.mark.parametrize("orders", [None, 0, 2, 5])
def test_convolutions_multiply_functions(way, orders, rng):
    f = ToFourier(Irreps.spherical_harmonics(2)).double()(torch.randn(3, 1, 9, dtype=DOUBLE, generator=rng))
    g = ToFourier(Irreps.spherical_harmonics(3)).double()(torch.randn(4, 16, dtype=DOUBLE, generator=rng))
    full = torch.zeros(3, 4, 11, 11, dtype=torch.complex128)
    for u in range(5):
        for v in range(5):
            full[..., u : u + 7, v : v + 7] += whole(f)[..., u, v, None, None] * whole(g)
    got = way(f, g, orders)
    assert got.shape == (3, 4, 11, 1 + (5 if orders is None else orders))
    torch.testing.assert_close(got, full[..., 5 : 5 + got.shape[-1]], rtol=0, atol=1e-13)


def test_lengths_of_fast_transforms():
    assert [fast_size(n) for n in (1, 5, 7, 11, 13, 17, 31, 61)] == [1, 5, 8, 12, 15, 18, 32, 64]


# --- the layout of the published code --------------------------------------------------------------------


def test_reference_layout_there_and_back(rng):
    x = torch.randn(2, 3, 16, dtype=DOUBLE, generator=rng)
    array = to_reference_layout(x)
    assert array.shape == (2, 3, 4, 7)
    assert torch.equal(from_reference_layout(array), x)
    assert torch.equal(array[..., 2, 1], x[..., 4])  # l = 2, m = -2
    assert array.count_nonzero() == x.numel()
    series = torch.einsum("ablm,lmus->abus", array.to(torch.complex128), reference_table(3))
    expected = torch.einsum("abi,iuv->abuv", x.to(torch.complex128), harmonics_to_fourier(3))
    torch.testing.assert_close(series.sum(-1), expected.sum(-1), rtol=0, atol=1e-14)
    with pytest.raises(ShapeError):
        to_reference_layout(torch.zeros(5))
    with pytest.raises(ShapeError):
        from_reference_layout(torch.zeros(3, 4))
