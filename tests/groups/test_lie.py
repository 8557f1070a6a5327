"""Exponential and logarithm against scipy's matrix functions, and the conventions of coordinates."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch

from intertwine.errors import GroupError, ShapeError
from intertwine.groups import SE, SO, CyclicGroup, E, GLPlus, O, SymmetricGroup
from intertwine.groups.rotations import left_jacobian

EPS = torch.finfo(torch.float64).eps
LIE = [kind(n) for kind in (O, SO, E, SE) for n in (1, 2, 3, 4)]
WITH_LOG = [kind(n) for kind in (O, SO, E, SE) for n in (2, 3)]


@pytest.mark.parametrize("group", LIE, ids=str)
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0, 4.0])
def test_exp_is_the_matrix_exponential(group, scale, rng):
    coordinates = scale * torch.randn(8, group.dim, generator=rng, dtype=torch.float64)
    want = np.stack([scipy.linalg.expm(m) for m in group.hat(coordinates).numpy()])
    got = group.exp(coordinates)
    torch.testing.assert_close(got, torch.from_numpy(want), rtol=0, atol=1e-13 * max(1, scale**2))
    assert group.contains(got, tolerance=1e-13).all()


@pytest.mark.parametrize("group", WITH_LOG, ids=str)
def test_log_is_the_matrix_logarithm(group, rng):
    rotations = group.sample(8, rng=rng, dtype=torch.float64)
    rotations = rotations[torch.linalg.det(group.linear(rotations)) > 0]
    want = torch.from_numpy(np.stack([scipy.linalg.logm(m).real for m in rotations.numpy()]))
    torch.testing.assert_close(group.hat(group.log(rotations)), want, rtol=0, atol=1e-10)
    torch.testing.assert_close(group.exp(group.log(rotations)), rotations, rtol=0, atol=64 * EPS)


@pytest.mark.parametrize("group", WITH_LOG, ids=str)
@pytest.mark.parametrize("angle", [0.0, 1e-150, 1e-12, 1e-6, 0.3, 3.0, math.pi - 1e-6, math.pi - 1e-12])
def test_log_undoes_exp_at_every_angle(group, angle, rng):
    coordinates = torch.randn(10, group.dim, generator=rng, dtype=torch.float64)
    turning = group.n * (group.n - 1) // 2
    coordinates[:, :turning] *= angle / coordinates[:, :turning].norm(dim=-1, keepdim=True)
    got = group.log(group.exp(coordinates))
    difference = (got - coordinates).abs()
    assert difference.max() < 64 * EPS
    assert difference[:, :turning].max() <= 32 * EPS * angle


@pytest.mark.parametrize("group", LIE, ids=str)
def test_vee_undoes_hat(group, rng):
    coordinates = torch.randn(5, 2, group.dim, generator=rng, dtype=torch.float64)
    assert group.vee(group.hat(coordinates)).equal(coordinates)


def test_convention_hat_of_so3_is_the_cross_product(rng):
    w, u = torch.randn(2, 3, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(SO(3).hat(w) @ u, torch.linalg.cross(w, u))


def test_convention_other_coordinates_turn_axis_i_towards_axis_j():
    for n in (2, 4):
        pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
        for coordinate, (i, j) in zip(torch.eye(len(pairs), dtype=torch.float64), pairs, strict=True):
            quarter = SO(n).exp(coordinate * math.pi / 2)
            torch.testing.assert_close(quarter[:, i], torch.eye(n, dtype=torch.float64)[j])


def test_convention_coordinates_of_se3_are_rotation_then_velocity():
    g = SE(3).exp(torch.tensor([0.0, 0, 0, 1, 2, 3], dtype=torch.float64))
    assert SE(3).translation(g).tolist() == [1, 2, 3]
    screw = SE(3).exp(torch.tensor([0.0, 0, math.pi, 1, 0, 5], dtype=torch.float64))
    # half a turn while moving with unit velocity along the turning x axis: a half circle of radius 1/pi
    expected = torch.tensor([0, 2 / math.pi, 5], dtype=torch.float64)
    torch.testing.assert_close(SE(3).translation(screw), expected, rtol=0, atol=4 * EPS)


@pytest.mark.parametrize("n", [2, 3])
def test_left_jacobian_is_the_mean_of_the_turning(n, rng):
    algebra = SO(n).hat(2 * torch.randn(4, SO(n).dim, generator=rng, dtype=torch.float64))
    nodes, weights = np.polynomial.legendre.leggauss(30)
    mean = sum(w / 2 * torch.linalg.matrix_exp((x + 1) / 2 * algebra) for x, w in zip(nodes, weights, strict=True))
    torch.testing.assert_close(left_jacobian(algebra), mean, rtol=0, atol=1e-13)


@pytest.mark.parametrize("group", [SO(3), SE(2), SE(3)], ids=str)
@pytest.mark.parametrize("size", [0.0, 1e-7, 1.2])
def test_derivatives_up_to_second_order(group, size, rng):
    coordinates = size * torch.randn(group.dim, generator=rng, dtype=torch.float64)
    coordinates.requires_grad_()
    assert torch.autograd.gradcheck(group.exp, coordinates)
    assert torch.autograd.gradgradcheck(group.exp, coordinates, fast_mode=True)
    jacobian = torch.autograd.functional.jacobian(lambda c: group.log(group.exp(c)), coordinates)
    torch.testing.assert_close(jacobian, torch.eye(group.dim, dtype=torch.float64), rtol=0, atol=1e-11)
    assert torch.autograd.gradgradcheck(lambda c: group.log(group.exp(c)), coordinates, fast_mode=True)


@pytest.mark.parametrize("size", [1e3, 1e8])
def test_float32_gradients_stay_finite_far_out(size):
    coordinates = torch.tensor([size, 0.0, 0.0], requires_grad=True)
    SO(3).exp(coordinates).sum().backward()
    assert coordinates.grad.isfinite().all()


def test_reflections_have_no_logarithm():
    for group in (O(3), E(3)):
        mirror = group.identity(dtype=torch.float64)
        mirror[0, 0] = -1
        with pytest.raises(GroupError) as caught:
            group.log(mirror)
        assert "SO(3)" in caught.value.fix
    with pytest.raises(GroupError):
        SO(4).log(torch.eye(4))


def test_finite_groups_have_dimension_zero():
    for group in (SymmetricGroup(4), CyclicGroup(3)):
        assert group.dim == 0
        assert group.contains(group.exp(torch.zeros(5, 0))).shape == (5,)
        assert group.log(group.identity(5)).shape == (5, 0)
        with pytest.raises(GroupError):
            group.log(group.elements()[1])
        with pytest.raises(GroupError):
            group.hat(torch.zeros(0))


def test_linear_groups_say_that_they_have_no_logarithm_yet():
    group, matrix, coordinates = GLPlus(2), torch.eye(2), torch.zeros(4)
    for call, given in (
        (group.exp, coordinates),
        (group.hat, coordinates),
        (group.log, matrix),
        (group.vee, matrix),
    ):
        with pytest.raises(GroupError) as caught:
            call(given)
        assert caught.value.got == "GL+(2)"


def test_wrong_number_of_coordinates_is_refused():
    for group in (SO(3), SE(3)):
        with pytest.raises(ShapeError) as caught:
            group.exp(torch.zeros(4))
        assert caught.value.got == (4,)
