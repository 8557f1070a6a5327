"""Conservativeness: analytic potentials pass, planted errors of 1 % are found, also in float32."""

import json

import pytest
import torch
from torch import nn

from intertwine.errors import ShapeError, SymmetryError
from intertwine.symmetry import conservativeness_error


def lennard_jones(positions):
    i, j = torch.triu_indices(len(positions), len(positions), 1)
    inverse = 1 / (positions[i] - positions[j]).square().sum(-1) ** 3
    return 4 * (inverse.square() - inverse).sum()


def morse(positions):
    i, j = torch.triu_indices(len(positions), len(positions), 1)
    bond = torch.exp(-3 * ((positions[i] - positions[j]).norm(dim=-1) - 1.1))
    return ((1 - bond) ** 2 - 1).sum()


def forces_of(energy, scale=1.0):
    def forces(positions):
        positions = positions if positions.requires_grad else positions.detach().requires_grad_(True)
        return -scale * torch.autograd.grad(energy(positions), positions, create_graph=True)[0]

    return forces


def cluster(seed, dtype):
    grid = torch.cartesian_prod(*[torch.arange(4, dtype=dtype)] * 3)[:30] * 1.15
    return grid + 0.05 * torch.randn(30, 3, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def one_component(dtype):
    scale = torch.ones(30, 3, dtype=dtype)
    scale[7, 1] = 1.01
    return scale


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("energy", [lennard_jones, morse])
def test_gradients_of_a_potential_pass(energy, dtype, rng):
    report = conservativeness_error(forces_of(energy), cluster(0, dtype), energy=energy, rng=rng)
    assert report.jacobian_asymmetry < 100 * torch.finfo(dtype).eps
    assert report.energy_mismatch < 100 * torch.finfo(dtype).eps
    assert report.passed()
    assert "in 6 random directions, the forces cannot be told from the gradient of this energy" in report.explain()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("energy", [lennard_jones, morse])
@pytest.mark.parametrize("seed", range(4))
def test_one_force_component_of_ninety_wrong_by_one_percent_is_found(energy, dtype, seed):
    forces = forces_of(energy, one_component(dtype))
    rng = torch.Generator().manual_seed(seed)
    report = conservativeness_error(forces, cluster(seed, dtype), rng=rng)
    assert not report.passed(), report.explain()
    assert report.energy_mismatch is None
    assert "No energy has these forces" in report.explain()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_common_factor_is_seen_only_by_the_energy(dtype, rng):
    forces, positions = forces_of(lennard_jones, 1.01), cluster(1, dtype)
    assert conservativeness_error(forces, positions, rng=rng).passed()
    report = conservativeness_error(forces, positions, energy=lennard_jones, rng=rng)
    assert report.energy_mismatch == pytest.approx(0.01 / 1.01, rel=1e-2)
    assert not report.passed()
    assert "not of this one" in report.explain()


def test_asymmetry_is_that_of_a_known_jacobian(rng):
    """For F = M x with M = S + A the expectation of the measured ratio is |A| / |S| off the diagonal."""
    symmetric = torch.randn(90, 90, dtype=torch.float64, generator=rng)
    symmetric = symmetric + symmetric.T
    other = torch.randn(90, 90, dtype=torch.float64, generator=rng)
    matrix = symmetric + 0.1 * (other - other.T)
    report = conservativeness_error(
        lambda x: (matrix @ x.flatten()).view_as(x), torch.ones(30, 3).double(), probes=40, rng=rng
    )
    assert report.jacobian_asymmetry == pytest.approx(0.1, rel=0.15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_detached_forces_need_finite_differences_and_the_error_says_so(dtype, rng):
    def detached(positions):
        return forces_of(lennard_jones)(positions).detach()

    with pytest.raises(SymmetryError) as caught:
        conservativeness_error(detached, cluster(2, dtype), rng=rng)
    assert 'method="finite_difference"' in caught.value.fix
    assert "create_graph=True" in caught.value.fix
    report = conservativeness_error(detached, cluster(2, dtype), method="finite_difference", rng=rng)
    assert report.passed()
    column = torch.ones(30, 3, dtype=dtype)
    column[:, 0] = 1.01
    broken = conservativeness_error(
        lambda x: column * detached(x), cluster(2, dtype), method="finite_difference", rng=rng
    )
    assert not broken.passed()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_energy_without_gradient_is_differenced(dtype, rng):
    positions = cluster(3, dtype)

    def detached(x):
        return lennard_jones(x).detach()

    report = conservativeness_error(forces_of(lennard_jones), positions, energy=detached, rng=rng)
    assert report.energy_method == "finite_difference"
    assert report.passed()
    scaled = conservativeness_error(forces_of(lennard_jones, 1.01), positions, energy=detached, rng=rng)
    assert scaled.energy_mismatch == pytest.approx(0.01 / 1.01, rel=0.05)
    assert not scaled.passed()


def test_a_module_is_converted_in_a_copy(rng):
    class Well(nn.Module):
        def __init__(self):
            super().__init__()
            self.stiffness = nn.Parameter(torch.tensor(2.0))

        def forward(self, positions):
            return -self.stiffness * positions

    well = Well()
    report = conservativeness_error(well, torch.randn(5, 3), rng=rng, dtype=torch.float64)
    assert report.dtype == torch.float64
    assert report.jacobian_asymmetry < 1e-14
    assert well.stiffness.dtype == torch.float32
    assert json.loads(json.dumps(report.to_dict()))["passed"] is True


def test_zero_and_constant_forces_are_conservative(rng):
    assert conservativeness_error(lambda x: 0 * x, torch.ones(4, 3), energy=lambda x: 0 * x.sum(), rng=rng).passed()


def test_wrong_shape_and_wrong_settings_are_refused(rng):
    with pytest.raises(ShapeError) as caught:
        conservativeness_error(lambda x: x.sum(-1), torch.ones(4, 3), rng=rng)
    assert caught.value.expected == (4, 3)
    for settings in ({"method": "symbolic"}, {"probes": 1}):
        with pytest.raises(SymmetryError):
            conservativeness_error(lambda x: x, torch.ones(4, 3), rng=rng, **settings)
