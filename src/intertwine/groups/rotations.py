"""Conversions between the ways to write a rotation: matrix, quaternion, rotation vector, Euler angles.

Rotations are active and act on column vectors: ``x -> R x``, right-handed about their axis. Quaternions are
``(w, x, y, z)`` with the real part first, and ``q`` and ``-q`` are the same rotation. A rotation vector is
the unit axis times the angle in radians. A sequence such as ``"ZYX"`` is intrinsic: ``R = R_z(a) R_y(b)
R_x(c)``, the upper-case notation of scipy; ``"YXY"`` is the convention of e3nn, ``R = R_y(alpha) R_x(beta)
R_y(gamma)``.

All functions take batches, keep dtype and device, and are differentiable twice where the rotation itself is.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import GroupError, ShapeError

__all__ = [
    "angle_to_matrix",
    "axis_rotation",
    "cross_matrix",
    "euler_to_matrix",
    "left_jacobian",
    "matrix_to_angle",
    "matrix_to_euler",
    "matrix_to_quaternion",
    "matrix_to_rotation_vector",
    "quaternion_conjugate",
    "quaternion_multiply",
    "quaternion_to_matrix",
    "quaternion_to_rotation_vector",
    "rotation_from_algebra",
    "rotation_vector_to_matrix",
    "rotation_vector_to_quaternion",
]

_TERMS = 11
_AXES = {"X": 0, "Y": 1, "Z": 2}


def angle_to_matrix(angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 2 2"]:
    """Return the rotation of the plane by ``angle``, counter-clockwise when x points right and y up."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).unflatten(-1, (2, 2))


def matrix_to_angle(matrix: Float[Tensor, "*batch 2 2"]) -> Float[Tensor, "*batch"]:
    """Return the angle in [-pi, pi] of a rotation of the plane."""
    _check(matrix, (2, 2))
    return torch.atan2(matrix[..., 1, 0] - matrix[..., 0, 1], matrix[..., 0, 0] + matrix[..., 1, 1])


def axis_rotation(axis: str, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation by ``angle`` about the coordinate axis ``"X"``, ``"Y"`` or ``"Z"``."""
    if axis not in _AXES:
        raise GroupError("unknown coordinate axis", got=repr(axis), expected="'X', 'Y' or 'Z'")
    fixed = _AXES[axis]
    first, second = (fixed + 1) % 3, (fixed + 2) % 3
    cos, sin = angle.cos(), angle.sin()
    entries = [torch.zeros_like(angle)] * 9
    entries[4 * fixed] = torch.ones_like(angle)
    entries[4 * first] = entries[4 * second] = cos
    entries[3 * first + second] = -sin
    entries[3 * second + first] = sin
    return torch.stack(entries, dim=-1).unflatten(-1, (3, 3))


def cross_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the antisymmetric matrix ``W`` with ``W u = vector x u``."""
    _check(vector, (3,))
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def quaternion_multiply(p: Float[Tensor, "*p 4"], q: Float[Tensor, "*q 4"]) -> Float[Tensor, "*pq 4"]:
    """Return the Hamilton product ``p q``, which rotates by ``q`` first and by ``p`` second."""
    _check(p, (4,))
    _check(q, (4,))
    a, u = p[..., :1], p[..., 1:]
    b, v = q[..., :1], q[..., 1:]
    real = a * b - (u * v).sum(-1, keepdim=True)
    return torch.cat([real, a * v + b * u + torch.linalg.cross(u, v)], dim=-1)


def quaternion_conjugate(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Return ``(w, -x, -y, -z)``, the inverse rotation of a unit quaternion."""
    _check(q, (4,))
    return torch.cat([q[..., :1], -q[..., 1:]], dim=-1)


def quaternion_to_matrix(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation matrix of ``q / |q|``; ``q`` need not be a unit quaternion, only not zero."""
    _check(q, (4,))
    norm = q.square().sum(-1)[..., None, None]
    w, v = q[..., :1], q[..., 1:]
    turn = cross_matrix(v)
    return torch.eye(3, dtype=q.dtype, device=q.device) + 2 / norm * (w.unsqueeze(-1) * turn + turn @ turn)


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Return the unit quaternion of a rotation matrix, the one of the two with ``w >= 0``.

    The matrix ``4 q q^T`` is linear in the rotation; the column with the largest diagonal entry, normalised,
    is q. No other column is well conditioned at every angle.
    """
    _check(matrix, (3, 3))
    xx, xy, xz, yx, yy, yz, zx, zy, zz = matrix.flatten(-2).unbind(-1)
    rows = [
        [1 + xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz],
    ]
    outer = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)
    largest = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    q = outer.take_along_dim(largest[..., None, None], dim=-2).squeeze(-2)
    q = torch.where(q[..., :1] < 0, -q, q)
    return q / q.norm(dim=-1, keepdim=True)


def rotation_vector_to_quaternion(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """Return the unit quaternion of a rotation vector; smooth everywhere, at zero too."""
    _check(vector, (3,))
    square = vector.square().sum(-1, keepdim=True) / 4
    sinc, versine, _ = _exponential_coefficients(square)
    return torch.cat([1 - square * versine, sinc * vector / 2], dim=-1)


def quaternion_to_rotation_vector(q: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """Return the rotation vector, of length at most pi, of ``q / |q|``; smooth at the identity."""
    _check(q, (4,))
    q = torch.where(q[..., :1] < 0, -q, q)
    w, v = q[..., :1], q[..., 1:]
    square = v.square().sum(-1, keepdim=True)
    near = square < 0.01 * w.square()
    ratio = torch.where(near, square, 0) / torch.where(near, w, 1).square()
    series = torch.zeros_like(ratio)
    for k in reversed(range(_TERMS)):
        series = 1 / (2 * k + 1) - ratio * series
    length = torch.where(near, 1, square).sqrt()
    return v * torch.where(near, 2 * series / torch.where(near, w, 1), 2 * torch.atan2(length, w) / length)


def rotation_vector_to_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the rotation about ``vector`` by its length (Rodrigues); smooth everywhere, at zero too."""
    return rotation_from_algebra(cross_matrix(vector))


def matrix_to_rotation_vector(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Return the rotation vector of smallest length; at angle pi, where two serve, one of them."""
    return quaternion_to_rotation_vector(matrix_to_quaternion(matrix))


def rotation_from_algebra(algebra: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """Return ``exp(W)`` of antisymmetric matrices of size 2 or 3, in closed form and smooth at zero."""
    sinc, versine, _ = _exponential_coefficients(_squared_angle(algebra))
    identity = torch.eye(algebra.shape[-1], dtype=algebra.dtype, device=algebra.device)
    return identity + sinc * algebra + versine * (algebra @ algebra)


def left_jacobian(algebra: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
    """Return ``J = integral of exp(t W) over 0 <= t <= 1`` of antisymmetric matrices of size 2 or 3.

    A rigid motion with turning velocity W and velocity v ends at ``(exp(W), J v)`` after one unit of time.
    """
    _, versine, rest = _exponential_coefficients(_squared_angle(algebra))
    identity = torch.eye(algebra.shape[-1], dtype=algebra.dtype, device=algebra.device)
    return identity + versine * algebra + rest * (algebra @ algebra)


def euler_to_matrix(angles: Float[Tensor, "*batch 3"], sequence: str = "YXY") -> Float[Tensor, "*batch 3 3"]:
    """Return ``R_i(a) R_j(b) R_k(c)`` for the intrinsic sequence ``ijk``, by default that of e3nn.

    Raises:
        GroupError: if ``sequence`` is not three of X, Y, Z without an axis twice in a row.
    """
    _check(angles, (3,))
    _euler_axes(sequence)
    first, second, third = (axis_rotation(axis, angles[..., i]) for i, axis in enumerate(sequence))
    return first @ second @ third


def matrix_to_euler(matrix: Float[Tensor, "*batch 3 3"], sequence: str = "YXY") -> Float[Tensor, "*batch 3"]:
    """Return the angles (a, b, c) with ``euler_to_matrix`` equal to ``matrix``.

    a and c are in [-pi, pi]; b is in [0, pi] when the first axis returns as the third, else in [-pi/2, pi/2].
    At gimbal lock only a + c or a - c is determined: the split is then arbitrary, and the rotation still
    exact, because c is read from what remains once a and b are undone.
    """
    _check(matrix, (3, 3))
    i, j, k, sign = _euler_axes(sequence)
    if sequence[0] == sequence[2]:
        a = torch.atan2(matrix[..., j, i], 0.0 - sign * matrix[..., k, i])
        b = torch.atan2(torch.hypot(matrix[..., j, i], matrix[..., k, i]), matrix[..., i, i])
    else:
        a = torch.atan2(0.0 - sign * matrix[..., j, k], matrix[..., k, k])
        b = torch.atan2(sign * matrix[..., i, k], torch.hypot(matrix[..., j, k], matrix[..., k, k]))
    rest = (axis_rotation(sequence[0], a) @ axis_rotation(sequence[1], b)).mT @ matrix
    last = _AXES[sequence[2]]
    p, q = (last + 1) % 3, (last + 2) % 3
    c = torch.atan2(rest[..., q, p] - rest[..., p, q], rest[..., p, p] + rest[..., q, q])
    return torch.stack([a, b, c], dim=-1)


def _exponential_coefficients(square: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return sin(t)/t, (1 - cos t)/t^2 and (t - sin t)/t^3 as smooth functions of ``square = t^2``.

    Below 1 their power series have converged to the last bit of float64, and above it the closed forms lose
    less than one digit. Each branch sees only arguments it is good for, so gradients of any order are finite.
    """
    near = square < 1
    small = torch.where(near, square, 0)
    angle = torch.where(near, 1, square).sqrt()
    far = (angle.sin() / angle, 2 * ((angle / 2).sin() / angle).square(), (angle - angle.sin()) / angle**3)
    coefficients = []
    for first, value in enumerate(far, start=1):
        series = torch.zeros_like(small)
        for k in reversed(range(_TERMS)):
            series = 1 / math.factorial(2 * k + first) - small * series
        coefficients.append(torch.where(near, series, value))
    return coefficients[0], coefficients[1], coefficients[2]


def _squared_angle(algebra: Tensor) -> Tensor:
    return algebra.square().sum((-2, -1), keepdim=True) / 2


def _euler_axes(sequence: str) -> tuple[int, int, int, int]:
    """Return the first two axes, the remaining one, and the sign of that permutation of (x, y, z)."""
    known = len(sequence) == 3 and set(sequence) <= set(_AXES)
    if not known or sequence[0] == sequence[1] or sequence[1] == sequence[2]:
        raise GroupError(
            "unknown sequence of Euler axes",
            got=repr(sequence),
            expected="three of X, Y, Z, no axis twice in a row, such as 'ZYX' or 'YXY'",
            fix="write intrinsic sequences in upper case; reverse sequence and angles of an extrinsic one",
        )
    i, j = _AXES[sequence[0]], _AXES[sequence[1]]
    return i, j, 3 - i - j, 1 if (j - i) % 3 == 1 else -1


def _check(tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape[-len(shape) :]) != shape:
        raise ShapeError(
            "a rotation has the wrong shape",
            got=tuple(tensor.shape),
            expected=f"(..., {', '.join(map(str, shape))})",
        )
