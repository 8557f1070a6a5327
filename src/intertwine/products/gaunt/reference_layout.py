"""The layout of the code published with Gaunt tensor products, for comparing numbers with it.

There L counts degrees, one more than the largest degree. Coefficients are arrays (..., L, 2 L - 1) with m at place
m + L - 1 and zeros where |m| > l; tables to the Fourier basis are complex, (L, 2 L - 1, 2 L - 1, 2), indexed by
[l, m, u, sign of v]. That v = +|m| stands first in the last axis is not verified against that code.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.products.gaunt.torus import harmonics_to_fourier

__all__ = ["from_reference_layout", "reference_table", "to_reference_layout"]


def to_reference_layout(x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch degrees orders"]:
    """Return coefficients of all degrees from 0 on as an array of degrees and orders.

    Raises:
        ShapeError: if the number of coefficients is not a square.

    Example:
        >>> to_reference_layout(torch.arange(4.0))
        tensor([[0., 0., 0.],
                [1., 2., 3.]])
    """
    count = int(x.shape[-1] ** 0.5 + 0.5)
    if count * count != x.shape[-1]:
        raise ShapeError("these are not the coefficients of all degrees", got=tuple(x.shape), expected="1, 4, 9, ...")
    array = x.new_zeros(*x.shape[:-1], count * (2 * count - 1))
    places = _places(count).to(x.device)
    return array.index_copy(-1, places, x).unflatten(-1, (count, -1))


def from_reference_layout(array: Float[Tensor, "*batch degrees orders"]) -> Float[Tensor, "*batch dim"]:
    """Inverse of `to_reference_layout`.

    Raises:
        ShapeError: if the last axes are not (L, 2 L - 1).
    """
    count = array.shape[-2] if array.dim() > 1 else 0
    if array.shape[-1] != 2 * count - 1:
        raise ShapeError("an array of degrees and orders", got=tuple(array.shape), expected="(..., L, 2 L - 1)")
    return array.flatten(-2).index_select(-1, _places(count).to(array.device))


def reference_table(lmax: int) -> Complex[Tensor, "degrees orders frequencies 2"]:
    """Return the coefficients y of the Fourier series of the harmonics, for v = +|m| and v = -|m|.

    The entry of -|m| is zero for m = 0, so that the sum over the last axis counts v = 0 once.
    """
    y = harmonics_to_fourier(lmax)
    table = torch.zeros(lmax + 1, 2 * lmax + 1, 2 * lmax + 1, 2, dtype=torch.complex128)
    for degree in range(lmax + 1):
        for m in range(-degree, degree + 1):
            row = y[degree * degree + degree + m]
            table[degree, m + lmax, :, 0] = row[:, lmax + abs(m)]
            if m != 0:
                table[degree, m + lmax, :, 1] = row[:, lmax - abs(m)]
    return table


def _places(count: int) -> Tensor:
    """Where coefficient (l, m) stands in the flattened array."""
    width = 2 * count - 1
    return torch.tensor([degree * width + m + count - 1 for degree in range(count) for m in range(-degree, degree + 1)])
