"""Conversions of rotations against scipy and e3nn, and their derivatives."""

import itertools
import math

import numpy as np
import pytest
import torch
from e3nn import o3
from scipy.spatial.transform import Rotation

from intertwine.errors import GroupError, ShapeError
from intertwine.groups import SO
from intertwine.groups import rotations as r

EPS = torch.finfo(torch.float64).eps
SEQUENCES = ["".join(s) for s in itertools.product("XYZ", repeat=3) if s[0] != s[1] and s[1] != s[2]]


@pytest.fixture
def matrices(rng):
    return SO(3).sample(200, rng=rng, dtype=torch.float64)


def close(got, want, epsilons=16.0):
    want = want if isinstance(want, torch.Tensor) else torch.from_numpy(np.array(want))
    torch.testing.assert_close(got, want, rtol=0, atol=epsilons * EPS)


def test_quaternions_match_scipy(matrices, rng):
    quaternion = r.matrix_to_quaternion(matrices)
    close(quaternion, Rotation.from_matrix(matrices.numpy()).as_quat(canonical=True, scalar_first=True))
    close(r.quaternion_to_matrix(quaternion), matrices)
    q = torch.randn(50, 4, generator=rng, dtype=torch.float64)
    close(r.quaternion_to_matrix(q), Rotation.from_quat(q.numpy(), scalar_first=True).as_matrix())


def test_quaternion_product_is_composition(rng):
    p, q = torch.randn(2, 50, 4, generator=rng, dtype=torch.float64)
    product = r.quaternion_multiply(p, q)
    close(r.quaternion_to_matrix(product), r.quaternion_to_matrix(p) @ r.quaternion_to_matrix(q))
    close(product.norm(dim=-1) / (p.norm(dim=-1) * q.norm(dim=-1)), torch.ones(50, dtype=torch.float64))
    norm = q.square().sum(-1, keepdim=True)
    close(r.quaternion_multiply(q, r.quaternion_conjugate(q)) / norm, [[1.0, 0, 0, 0]] * 50)
    i, j, k = torch.eye(4, dtype=torch.float64)[1:]
    close(r.quaternion_multiply(i, j), k)


@pytest.mark.parametrize("index", range(4))
def test_every_branch_of_the_quaternion_is_exact(index, rng):
    """Each component in turn is the only large one."""
    q = 1e-9 * torch.randn(20, 4, generator=rng, dtype=torch.float64)
    q[:, index] += 1
    q /= q.norm(dim=-1, keepdim=True)
    got = r.matrix_to_quaternion(r.quaternion_to_matrix(q))
    close(got * (got * q).sum(-1, keepdim=True).sign(), q, 4)


ANGLES = [0.0, 1e-300, 1e-160, 1e-12, 1e-8, 1e-4, 0.19, 0.21, 0.999, 1.001, 2.0, 3.0, math.pi - 1e-4]
ANGLES += [math.pi - 1e-8, math.pi - 1e-12, math.pi]


@pytest.mark.parametrize("angle", ANGLES)
def test_rotation_vectors_at_every_angle(angle, rng):
    axis = torch.randn(40, 3, generator=rng, dtype=torch.float64)
    axis[:3] = torch.eye(3)
    vector = angle * axis / axis.norm(dim=-1, keepdim=True)
    scipy_rotation = Rotation.from_rotvec(vector.numpy())
    matrix = r.rotation_vector_to_matrix(vector)
    close(matrix, scipy_rotation.as_matrix())
    for back in (
        r.matrix_to_rotation_vector(matrix),
        r.quaternion_to_rotation_vector(r.rotation_vector_to_quaternion(vector)),
    ):
        if angle > math.pi - 1e-9:  # the opposite vector may serve as well, within rounding
            back = back * (back * vector).sum(-1, keepdim=True).sign()
        assert (back - vector).abs().max() <= 16 * EPS * angle
    quaternion = r.rotation_vector_to_quaternion(vector)
    close(quaternion, scipy_rotation.as_quat(canonical=False, scalar_first=True), 4)


def test_large_rotation_vectors_wrap(rng):
    vector = 30 * torch.randn(100, 3, generator=rng, dtype=torch.float64)
    close(r.rotation_vector_to_matrix(vector), Rotation.from_rotvec(vector.numpy()).as_matrix(), 300)
    back = r.matrix_to_rotation_vector(r.rotation_vector_to_matrix(vector))
    close(back, Rotation.from_rotvec(vector.numpy()).as_rotvec(), 1000)
    assert back.norm(dim=-1).max() <= math.pi + 4 * EPS


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_euler_angles_match_scipy(sequence, matrices, rng):
    angles = 3 * torch.randn(60, 3, generator=rng, dtype=torch.float64)
    close(r.euler_to_matrix(angles, sequence), Rotation.from_euler(sequence, angles.numpy()).as_matrix())
    got = r.matrix_to_euler(matrices, sequence)
    want = torch.from_numpy(Rotation.from_matrix(matrices.numpy()).as_euler(sequence))
    turn = 2 * math.pi
    difference = (got - want + math.pi) % turn - math.pi
    assert difference.abs().max() < 1e-12
    close(r.euler_to_matrix(got, sequence), matrices, 16)


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("offset", [0.0, 1e-15, 1e-9, 1e-7])
def test_gimbal_lock_loses_no_rotation(sequence, offset, rng):
    angles = 2 * torch.randn(50, 3, generator=rng, dtype=torch.float64)
    locked = [0.0, math.pi] if sequence[0] == sequence[2] else [math.pi / 2, -math.pi / 2]
    angles[:, 1] = torch.tensor(locked * 25, dtype=torch.float64) + offset
    matrix = r.euler_to_matrix(angles, sequence)
    close(r.euler_to_matrix(r.matrix_to_euler(matrix, sequence), sequence), matrix)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_identity_has_zero_angles(sequence):
    assert not r.matrix_to_euler(torch.eye(3), sequence).any()


def test_convention_default_euler_angles_are_those_of_e3nn(rng):
    angles = torch.rand(50, 3, generator=rng, dtype=torch.float64) * 3
    close(r.euler_to_matrix(angles), o3.angles_to_matrix(*angles.unbind(-1)))
    close(r.matrix_to_euler(r.euler_to_matrix(angles)), angles, 200)


def test_convention_quaternion_and_axis_agree_with_e3nn(rng):
    q = r.matrix_to_quaternion(SO(3).sample(20, rng=rng, dtype=torch.float64))
    close(r.quaternion_to_matrix(q), o3.quaternion_to_matrix(q), 64)


def test_planar_angles(rng):
    angle = 10 * torch.randn(100, generator=rng, dtype=torch.float64)
    back = r.matrix_to_angle(r.angle_to_matrix(angle))
    close(torch.stack([back.cos(), back.sin()]), torch.stack([angle.cos(), angle.sin()]))
    quarter = r.angle_to_matrix(torch.tensor(math.pi / 2, dtype=torch.float64))
    close(quarter @ torch.tensor([1.0, 0.0], dtype=torch.float64), [0.0, 1.0])


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.1, 1.0, 3.0])
def test_derivatives_up_to_second_order(size, rng):
    vector = torch.randn(3, generator=rng, dtype=torch.float64)
    vector = (size * vector / vector.norm()).requires_grad_()
    assert torch.autograd.gradcheck(r.rotation_vector_to_matrix, vector)
    assert torch.autograd.gradgradcheck(r.rotation_vector_to_matrix, vector)
    assert torch.autograd.gradgradcheck(r.rotation_vector_to_quaternion, vector)

    def there_and_back(v):
        return r.matrix_to_rotation_vector(r.rotation_vector_to_matrix(v))

    jacobian = torch.autograd.functional.jacobian(there_and_back, vector)
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.autograd.gradgradcheck(there_and_back, vector)


def test_derivatives_of_quaternions_and_euler_angles(rng):
    q = torch.randn(2, 4, generator=rng, dtype=torch.float64, requires_grad=True)
    matrix = SO(3).sample(2, rng=rng, dtype=torch.float64).requires_grad_()
    for function, argument in [
        (r.quaternion_to_matrix, q),
        (r.quaternion_to_rotation_vector, q),
        (r.matrix_to_quaternion, matrix),
        (r.matrix_to_euler, matrix),
        (r.euler_to_matrix, q[:, :3].detach().requires_grad_()),
    ]:
        assert torch.autograd.gradcheck(function, argument)
        assert torch.autograd.gradgradcheck(function, argument)


def test_float32_keeps_its_precision(matrices):
    narrow = matrices.float()
    for there, back in [
        (r.matrix_to_quaternion, r.quaternion_to_matrix),
        (r.matrix_to_rotation_vector, r.rotation_vector_to_matrix),
        (r.matrix_to_euler, r.euler_to_matrix),
    ]:
        result = back(there(narrow))
        assert result.dtype == torch.float32
        assert (result - narrow).abs().max() < 16 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("sequence", ["yxy", "XXY", "XYY", "XY", "ABC", ""])
def test_unknown_sequences_are_refused(sequence):
    for call in (r.euler_to_matrix, r.matrix_to_euler):
        with pytest.raises(GroupError) as caught:
            call(torch.zeros(3, 3), sequence)
        assert caught.value.got == repr(sequence)
    with pytest.raises(GroupError):
        r.axis_rotation("x", torch.zeros(()))


def test_wrong_shapes_are_refused():
    for call in (
        r.quaternion_to_matrix,
        r.matrix_to_quaternion,
        r.matrix_to_euler,
        r.rotation_vector_to_matrix,
    ):
        with pytest.raises(ShapeError) as caught:
            call(torch.zeros(5, 2))
        assert caught.value.got == (5, 2)
