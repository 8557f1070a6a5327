"""Radial bases and cutoffs: closed forms, smoothness at the cutoff, finite limits."""

import math

import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.nn import BesselBasis, CosineCutoff, GaussianBasis, PolynomialCutoff, RadialNetwork

DOUBLE = torch.float64


@pytest.mark.parametrize("power", [2, 5, 6])
def test_polynomial_cutoff_closed_form(power):
    r = torch.linspace(0, 4, 41, dtype=DOUBLE)
    x, p = r / 4, power
    expected = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
    torch.testing.assert_close(PolynomialCutoff(4.0, power)(r), expected, rtol=0, atol=1e-13)
    assert (PolynomialCutoff(4.0, power)(torch.tensor([4.0, 4.5, 100.0])) == 0).all()


@pytest.mark.parametrize(("envelope", "orders"), [(PolynomialCutoff(3.0, 5), 2), (CosineCutoff(3.0), 1)])
def test_derivatives_vanish_at_the_cutoff(envelope, orders):
    r = torch.tensor(3.0 - 1e-7, dtype=DOUBLE, requires_grad=True)
    value = envelope(r)
    for _ in range(orders):
        assert abs(value.item()) < 1e-5
        (value,) = torch.autograd.grad(value, r, create_graph=True)
    assert abs(value.item()) < 1e-4


def test_bessel_basis_closed_form_and_limit_at_zero():
    basis = BesselBasis(5.0, 8).double()
    r = torch.linspace(0.1, 5, 30, dtype=DOUBLE)
    n = torch.arange(1, 9, dtype=DOUBLE)
    expected = math.sqrt(2 / 5) * torch.sin(n * math.pi * r[:, None] / 5) / r[:, None]
    torch.testing.assert_close(basis(r), expected, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(basis(torch.zeros(1, dtype=DOUBLE))[0], math.sqrt(2 / 5) * n * math.pi / 5)


def test_bessel_basis_is_orthonormal():
    """With the measure r^2 dr on [0, cutoff]."""
    r = (torch.arange(20000, dtype=DOUBLE) + 0.5) * (5 / 20000)
    b = BesselBasis(5.0, 6).double()(r) * r[:, None]
    torch.testing.assert_close(b.T @ b * (5 / 20000), torch.eye(6, dtype=DOUBLE), rtol=0, atol=1e-6)


def test_gaussian_basis_peaks_at_its_centres():
    basis = GaussianBasis(6.0, 13)
    values = basis(basis.centres)
    assert torch.equal(values.argmax(-1), torch.arange(13))
    assert values.diagonal().allclose(torch.ones(13))


def test_trainable_frequencies_are_parameters():
    assert len(list(BesselBasis(5.0, trainable=True).parameters())) == 1
    assert not list(BesselBasis(5.0).parameters())


def test_radial_network_keeps_unit_variance(rng):
    outputs = []
    for _ in range(20):
        network = RadialNetwork([16, 64, 64, 32], rng)
        outputs.append(network(torch.randn(500, 16, generator=rng)).detach())
    assert torch.stack(outputs).square().mean().item() == pytest.approx(1, abs=0.15)
    assert network(torch.zeros(3, 16)).abs().max() == 0  # no bias: nothing beyond the cutoff


@pytest.mark.parametrize("arguments", [(0.0,), (-1.0, 6), (5.0, 1)])
def test_impossible_cutoffs_are_refused(arguments):
    with pytest.raises(ConfigError):
        PolynomialCutoff(*arguments)
    if arguments[0] <= 0:
        with pytest.raises(ConfigError):
            CosineCutoff(arguments[0])
