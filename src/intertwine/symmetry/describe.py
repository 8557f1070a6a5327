"""Group elements in words: "rotation by 133° about (0.10, 0.20, 0.97), shifted by (1.20, -0.30, 0.41)".

Only the three capabilities of a group are read (linear part, translation, permutation), so any group is
described.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["describe_element"]

_SMALL_ANGLE = 1e-4
_LISTED_ITEMS = 8


def describe_element(group, element) -> str:
    """Return one element of a group in plain words.

    Args:
        group: the group; its capabilities ``linear``, ``translation`` and ``permutation`` are used.
        element: one element, without batch axes.
    """
    linear, translation, permutation = (
        group.linear(element),
        group.translation(element),
        group.permutation(element),
    )
    parts = []
    if linear is not None:
        parts.append(_describe_linear(linear.detach().double().cpu()))
    if translation is not None:
        parts.append(_describe_translation(translation.detach().double().cpu()))
    if permutation is not None:
        parts.append(_describe_permutation(permutation.detach().cpu()))
    words = [part for part in parts if part]
    if not words and (linear, translation, permutation) == (None, None, None):
        return f"the element {_plain(element)}"
    return ", ".join(words) or "the identity"


def _describe_linear(matrix: Float[Tensor, "n n"]) -> str:
    size = matrix.shape[-1]
    identity = torch.eye(size, dtype=matrix.dtype)
    if (matrix.mT @ matrix - identity).abs().max() > 1e-3:
        values = torch.linalg.svdvals(matrix)
        return f"linear map with singular values {_numbers(values)}"
    if (matrix - identity).abs().max() < _SMALL_ANGLE:
        return ""
    improper = bool(torch.linalg.det(matrix) < 0)
    if size == 1:
        return "sign change"
    if size == 2:
        return _describe_plane(matrix, improper)
    if size == 3:
        return _describe_space(matrix, improper)
    kind = "improper rotation" if improper else "rotation"
    largest = torch.linalg.eigvals(matrix).angle().abs()
    turn = largest[largest < math.pi - 1e-9].max() if improper and size > 1 else largest.max()
    return f"{kind} in {size} dimensions (largest turn {_degrees(turn)})"


def _describe_plane(matrix: Float[Tensor, "2 2"], improper: bool) -> str:
    angle = torch.atan2(matrix[1, 0], matrix[0, 0])
    if improper:
        return f"reflection across the line at {_degrees(angle / 2)}"
    return f"rotation by {_degrees(angle)}"


def _describe_space(matrix: Float[Tensor, "3 3"], improper: bool) -> str:
    """A rotation by angle and axis; an improper one as that and a reflection in the plane normal to it."""
    if not improper:
        angle, axis = _angle_axis(matrix)
        return f"rotation by {_degrees(angle)} about {_numbers(axis)}"
    angle, axis = _angle_axis(-matrix)
    turn = math.pi - float(angle)
    if float(angle) < _SMALL_ANGLE:
        return "inversion"
    if turn < _SMALL_ANGLE:
        return f"reflection across the plane normal to {_numbers(axis)}"
    return f"rotation by {_degrees(turn)} about {_numbers(-axis)}, reflected across the plane normal to it"


def _angle_axis(rotation: Float[Tensor, "3 3"]) -> tuple[Tensor, Tensor]:
    """Angle in [0, pi] and unit axis, which comes from the symmetric part where the angle is near pi."""
    cosine = ((rotation.trace() - 1) / 2).clamp(-1, 1)
    skew = torch.stack(
        [
            rotation[2, 1] - rotation[1, 2],
            rotation[0, 2] - rotation[2, 0],
            rotation[1, 0] - rotation[0, 1],
        ]
    )
    angle = torch.atan2(skew.norm() / 2, cosine)
    if skew.norm() > 1e-6:
        return angle, skew / skew.norm()
    values, vectors = torch.linalg.eigh((rotation + rotation.mT) / 2)
    return angle, vectors[:, values.argmax()]


def _describe_translation(shift: Float[Tensor, " n"]) -> str:
    return f"shifted by {_numbers(shift)}" if shift.abs().max() > 0 else ""


def _describe_permutation(places: Tensor) -> str:
    moved = int((places != torch.arange(places.shape[-1])).sum())
    if moved == 0:
        return ""
    if places.shape[-1] <= _LISTED_ITEMS:
        arrows = ", ".join(f"{item}→{int(place)}" for item, place in enumerate(places) if item != int(place))
        return f"items moved {arrows}"
    return f"{moved} of {places.shape[-1]} items moved"


def _plain(element) -> str:
    if isinstance(element, tuple):
        return "(" + ", ".join(_plain(part) for part in element) + ")"
    return str(element.tolist())


def _degrees(angle: Tensor | float) -> str:
    return f"{math.degrees(float(angle)):.3g}°"


def _numbers(values: Tensor) -> str:
    return "(" + ", ".join(f"{round(float(value), 2) + 0.0:.2f}" for value in values) + ")"
