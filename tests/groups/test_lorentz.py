"""Lorentz groups: velocities add as Einstein's do, draws have the stated rapidities, and checks can use them."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch

from intertwine.errors import GroupError
from intertwine.groups import Lorentz, O, ProperLorentz, SymmetricGroup, minkowski_metric
from intertwine.representations import Invariant, Permuted, Vector
from intertwine.symmetry import Symmetry, equivariance_error

EPS = torch.finfo(torch.float64).eps
GROUPS = [kind(n) for kind in (Lorentz, ProperLorentz) for n in (2, 3, 4)]
over_groups = pytest.mark.parametrize("group", GROUPS, ids=str)


@over_groups
def test_dimension_and_kind(group):
    assert group.dim == group.n * (group.n - 1) // 2
    assert group.order is None
    assert not group.orthogonal


@over_groups
def test_exp_is_the_matrix_exponential_and_an_element(group, rng):
    coordinates = torch.randn(8, group.dim, generator=rng, dtype=torch.float64)
    want = np.stack([scipy.linalg.expm(m) for m in group.hat(coordinates).numpy()])
    got = group.exp(coordinates)
    torch.testing.assert_close(got, torch.from_numpy(want), rtol=1e-13, atol=1e-13)
    assert group.contains(got).all()
    assert group.vee(group.hat(coordinates)).equal(coordinates)


@over_groups
def test_hat_belongs_to_the_metric(group, rng):
    """The derivative of g^T eta g = eta at the identity."""
    algebra = group.hat(torch.randn(5, group.dim, generator=rng, dtype=torch.float64))
    eta = torch.diag(minkowski_metric(group.n, torch.float64))
    assert (algebra.mT @ eta + eta @ algebra).abs().max() == 0


def test_convention_boosts_carry_rest_to_the_hyperbolic_tangent_of_the_rapidity():
    rapidity = torch.tensor([0.3, -0.4, 1.2], dtype=torch.float64)
    boost = Lorentz(4).exp(torch.cat([torch.zeros(3, dtype=torch.float64), rapidity]))
    time, *velocity = boost[:, 0]
    expected = math.tanh(1.3) * rapidity / 1.3
    torch.testing.assert_close(torch.stack(velocity) / time, expected, rtol=0, atol=4 * EPS)


def test_velocities_add_as_einstein_said():
    """For parallel boosts, tanh(a + b) = (u + v) / (1 + u v)."""
    one, two = (Lorentz(2).exp(torch.tensor([r], dtype=torch.float64)) for r in (0.7, 1.1))
    both = Lorentz(2).compose(one, two)
    u, v = math.tanh(0.7), math.tanh(1.1)
    assert abs(both[1, 0] / both[0, 0] - (u + v) / (1 + u * v)) < 4 * EPS


def test_the_four_components_are_drawn_alike(rng):
    drawn = Lorentz(4).sample(4000, rng=rng, dtype=torch.float64)
    forward, orientation = drawn[:, 0, 0] > 0, torch.linalg.det(drawn) > 0
    for future, upright in itertools.product((True, False), repeat=2):
        assert 850 < ((forward == future) & (orientation == upright)).sum() < 1150
    proper = ProperLorentz(4).sample(4000, rng=rng, dtype=torch.float64)
    assert (torch.linalg.det(proper) > 0).all()
    assert 1800 < (proper[:, 0, 0] > 0).sum() < 2200


@pytest.mark.parametrize("kind", [Lorentz, ProperLorentz])
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_rapidities_have_the_stated_scale(kind, scale, rng):
    """The hyperbolic cosine of the rapidity is the first entry; its square sums three squared normals."""
    drawn = kind(4, rapidity_scale=scale).sample(20_000, rng=rng, dtype=torch.float64)
    rapidity = torch.acosh(drawn[:, 0, 0].abs().clamp(min=1))
    assert abs(rapidity.square().mean().item() / (3 * scale**2) - 1) < 0.04
    assert kind(4, rapidity_scale=scale) == kind(4)
    with pytest.raises(GroupError):
        kind(4, rapidity_scale=0.0)


def test_time_needs_space():
    with pytest.raises(GroupError) as caught:
        Lorentz(1)
    assert caught.value.got == "1"


class Masses(torch.nn.Module):
    """The invariant mass of each pair of particles."""

    symmetry = Symmetry(
        Lorentz(4) * SymmetricGroup(None), inputs={"momenta": Permuted((0,), Vector())}, output=Permuted((0, 1))
    )

    def forward(self, momenta):
        pairs = momenta.unsqueeze(0) + momenta.unsqueeze(1)
        return (pairs.square() * minkowski_metric(4, momenta.dtype)).sum(-1)


def test_a_check_of_lorentz_symmetry_passes_and_catches_energy(rng):
    momenta = torch.randn(5, 4, generator=rng, dtype=torch.float64)
    good = equivariance_error(Masses(), (momenta,), trials=8, rng=rng)
    assert good.worst.relative < 1e-12

    def energy(momenta):
        return momenta[:, 0].abs().sum()

    claim = Symmetry(Lorentz(4), inputs={"momenta": Vector()}, output=Invariant())
    bad = equivariance_error(energy, (momenta,), symmetry=claim, trials=8, rng=rng)
    assert bad.worst.relative > 1e-2
    slow = Lorentz(4, rapidity_scale=1e-15)  # rotations of space are left
    still = equivariance_error(energy, (momenta,), symmetry=claim.restrict(slow), trials=8, rng=rng)
    assert still.worst.relative < 1e-12


def test_boosts_are_not_orthogonal(rng):
    drawn = Lorentz(4).sample(16, rng=rng, dtype=torch.float64)
    assert not O(4).contains(drawn, tolerance=1e-3).any()
