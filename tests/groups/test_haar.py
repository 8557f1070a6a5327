"""Draws are Haar draws: moments and laws in closed form, and samplers that are not, which must be caught."""

import math

import pytest
import torch
from scipy import stats

from intertwine.groups import SO, CyclicGroup, DihedralGroup, O, SymmetricGroup
from intertwine.groups.rotations import euler_to_matrix, matrix_to_angle, matrix_to_rotation_vector

DRAWS = 20_000


def worst_moment(matrices: torch.Tensor) -> float:
    """Largest deviation of E[R_ij] from 0 and of E[R_ij R_kl] from delta_ik delta_jl / n, in standard errors.

    These hold for O(n), and for SO(n) from n = 3 on.
    """
    n = matrices.shape[-1]
    flat = matrices.flatten(1)
    products = (flat.unsqueeze(1) * flat.unsqueeze(2)).flatten(1)
    samples = torch.cat([flat, products], dim=1)
    expected = torch.cat([torch.zeros(n * n), torch.eye(n * n).flatten() / n]).double()
    error = samples.std(0).clamp(min=1e-3) / math.sqrt(len(samples))
    return ((samples.mean(0) - expected).abs() / error).max().item()


@pytest.mark.parametrize("group", [SO(3), SO(4), O(2), O(3), O(4)], ids=str)
def test_first_and_second_moments(group, rng):
    assert worst_moment(group.sample(DRAWS, rng=rng, dtype=torch.float64)) < 5


def uniform_euler_angles(rng):
    return euler_to_matrix(math.pi * torch.rand(DRAWS, 3, generator=rng, dtype=torch.float64) * torch.tensor([2, 1, 2]))


def qr_without_signs(rng):
    return torch.linalg.qr(torch.randn(DRAWS, 3, 3, generator=rng, dtype=torch.float64)).Q


def small_turns(rng):
    return SO(3).exp(torch.randn(DRAWS, 3, generator=rng, dtype=torch.float64))


@pytest.mark.parametrize("broken", [uniform_euler_angles, qr_without_signs, small_turns])
def test_the_moments_catch_samplers_that_are_not_haar(broken, rng):
    assert worst_moment(broken(rng)) > 50


def test_rotation_angles_of_space_follow_their_law(rng):
    """The angle has density (1 - cos t) / pi; a fixed element times a draw has the same law."""
    drawn = SO(3).sample(DRAWS, rng=rng, dtype=torch.float64)

    def cumulative(t):
        return (t - torch.from_numpy(t).sin().numpy()) / math.pi

    for fixed in (torch.eye(3, dtype=torch.float64), SO(3).sample(rng=rng, dtype=torch.float64)):
        angle = matrix_to_rotation_vector(fixed @ drawn).norm(dim=-1)
        assert stats.kstest(angle.numpy(), cumulative).pvalue > 1e-4
    biased = matrix_to_rotation_vector(uniform_euler_angles(rng)).norm(dim=-1)
    assert stats.kstest(biased.numpy(), cumulative).pvalue < 1e-10


def test_rotation_angles_of_the_plane_are_uniform(rng):
    angle = matrix_to_angle(SO(2).sample(DRAWS, rng=rng, dtype=torch.float64))
    assert stats.kstest(angle.numpy(), stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 1e-4


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_both_components_are_drawn_alike(n, rng):
    reflections = (torch.linalg.det(O(n).sample(DRAWS, rng=rng, dtype=torch.float64)) < 0).sum().item()
    assert stats.binomtest(reflections, DRAWS, 0.5).pvalue > 1e-4
    assert (torch.linalg.det(SO(n).sample(100, rng=rng, dtype=torch.float64)) > 0).all()


@pytest.mark.parametrize("group", [SymmetricGroup(4), CyclicGroup(5), DihedralGroup(4)], ids=str)
def test_finite_groups_are_drawn_uniformly(group, rng):
    counts = group.index(group.sample(DRAWS, rng=rng)).bincount(minlength=group.order)
    assert len(counts) == group.order
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4
