"""Weights of paths and weights of SO(2): two bases of the same convolutions with an edge.

With the edge on the polar axis, C^{li lf lo}[:, m = 0, :] is diagonal in m if li + lf + lo is even, and joins m to -m
if it is odd. So for one pair (li, lo) the 2 min(li, lo) + 1 paths lf span the maps
``out_{+m} = r_m x_{+m} - i_m x_{-m}``, ``out_{-m} = r_m x_{-m} + i_m x_{+m}``, with r_0, r_m and i_m free: even paths
make the r, odd paths the i. (Passaro and Zitnick, "Reducing SO(3) convolutions to SO(2)", ICML 2023.)
"""

from functools import cache
from math import pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.representations import wigner_3j

__all__ = ["axis_harmonic", "axis_slice", "paths_from_so2", "so2_from_paths", "so2_matrix"]


def axis_harmonic(degree: int, normalization: str) -> float:
    """Return the one component m = 0 that harmonics of this degree have on the polar axis.

    Raises:
        RepresentationError: if the normalization is not ``component``, ``integral`` or ``norm``.
    """
    if normalization not in ("component", "integral", "norm"):
        raise RepresentationError(
            "unknown normalization of spherical harmonics",
            got=normalization,
            expected="component, integral or norm",
        )
    if normalization == "norm":
        return 1.0
    return sqrt(2 * degree + 1) / (1.0 if normalization == "component" else sqrt(4 * pi))


def axis_slice(l_in: int, l_filter: int, l_out: int) -> Float[Tensor, " kept"]:
    """Return the numbers s with ``C^{in, filter, out}(x, e)_m = s_m x_{m}`` (even sum) or ``s_m x_{-m}`` (odd sum).

    e is the unit vector m = 0, C the coupling tensor of norm 1, and m runs over -min(l_in, l_out) to its negative:
    no other component is coupled.
    """
    reach = min(l_in, l_out)
    table = wigner_3j(l_in, l_filter, l_out, dtype=torch.float64)[:, l_filter]
    table = table[l_in - reach : l_in + reach + 1, l_out - reach : l_out + reach + 1]
    return (table if (l_in + l_filter + l_out) % 2 == 0 else table.flip(0)).diagonal().clone()


@cache
def _so2_matrix(l_in: int, l_out: int, normalization: str) -> Tensor:
    reach = min(l_in, l_out)
    columns = []
    for degree in range(abs(l_in - l_out), l_in + l_out + 1):
        numbers = axis_slice(l_in, degree, l_out) * (sqrt(2 * l_out + 1) * axis_harmonic(degree, normalization))
        real, imaginary = numbers[reach:], torch.zeros(reach, dtype=torch.float64)
        if (l_in + degree + l_out) % 2:
            # entry m < 0 of an odd path is what out_{-|m|} takes from x_{+|m|}
            real, imaginary = torch.zeros(reach + 1, dtype=torch.float64), numbers[:reach].flip(0)
        columns.append(torch.cat([real, imaginary]))
    return torch.stack(columns, dim=-1)


def so2_matrix(l_in: int, l_out: int, normalization: str = "component") -> Float[Tensor, "weights paths"]:
    """Return the matrix that takes path weights to SO(2) weights, in float64.

    Rows are r_0, r_1 ... r_k, i_1 ... i_k with k = min(l_in, l_out); columns are the filter degrees from
    ``|l_in - l_out|`` to ``l_in + l_out``. A path of weight h contributes ``h sqrt(2 l_out + 1) C(x, Y(r))``.

    Args:
        l_in, l_out: degrees of the features.
        normalization: that of the harmonics Y.

    Raises:
        RepresentationError: if a degree is negative or the normalization unknown.
    """
    if min(l_in, l_out) < 0:
        raise RepresentationError("a degree cannot be negative", got={"l_in": l_in, "l_out": l_out})
    return _so2_matrix(l_in, l_out, normalization).clone()


def so2_from_paths(
    weights: Float[Tensor, "*batch paths"], l_in: int, l_out: int, normalization: str = "component"
) -> Float[Tensor, "*batch weights"]:
    """Return the SO(2) weights r_0, r_1 ... i_1 ... of the convolution with these path weights.

    Raises:
        ShapeError: unless there are 2 min(l_in, l_out) + 1 weights.

    Example:
        >>> so2_from_paths(torch.tensor([0.0, 1.0, 0.0]), 1, 1, "norm")  # the cross product: an i and no r
        tensor([ 0.0000,  0.0000, -0.7071])
    """
    _check(weights, l_in, l_out)
    return weights @ so2_matrix(l_in, l_out, normalization).to(weights).mT


def paths_from_so2(
    weights: Float[Tensor, "*batch weights"], l_in: int, l_out: int, normalization: str = "component"
) -> Float[Tensor, "*batch paths"]:
    """Return the path weights of the convolution with these SO(2) weights: the inverse of `so2_from_paths`.

    The columns of the matrix are orthogonal if every m > 0 counts twice, so its inverse is a scaled transpose.

    Raises:
        ShapeError: unless there are 2 min(l_in, l_out) + 1 weights.
    """
    _check(weights, l_in, l_out)
    matrix = so2_matrix(l_in, l_out, normalization)
    matrix[1:] *= 2
    # column lf of the unscaled matrix has squared length |h sqrt(2 lo + 1) Y|^2 / (2 lf + 1)
    squares = torch.tensor(
        [
            (2 * l_out + 1) * axis_harmonic(degree, normalization) ** 2 / (2 * degree + 1)
            for degree in range(abs(l_in - l_out), l_in + l_out + 1)
        ],
        dtype=torch.float64,
    )
    return weights @ (matrix / squares).to(weights)


def _check(weights: Tensor, l_in: int, l_out: int) -> None:
    count = 2 * min(l_in, l_out) + 1
    if weights.shape[-1:] != (count,):
        raise ShapeError(
            f"a convolution from degree {l_in} to degree {l_out} has {count} weights",
            got=tuple(weights.shape),
            expected=f"(..., {count})",
        )
