"""The product of two functions on a grid on CUDA: to the grid, multiply, back, a block of points at a time.

    out = T^T [(A a) (B b)],   its tangent  out = T^T [(A a) (B tb) + (A ta) (B b)]

Value and both derivatives are this one function with the roles of the three tables exchanged, so one kernel serves all.
A program takes a block of columns, which are pairs of sample and channel, and of components of the result; the values
on its points stay on the chip. Matrix products of float32 are exact float32, whatever PyTorch is allowed to do;
bfloat16 is multiplied as TF32, which holds it exactly, and added in float32.

Compiled for sm_80 and sm_90 and run through Triton's interpreter; not run on hardware.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from intertwine.kernels.gpu.launch import launch
from intertwine.kernels.gpu.source import number_type, wide

__all__ = ["gradient", "tangent", "value"]

_INSIDE = 32
"""Most components that one matrix product to the grid takes at once."""
_OUTSIDE = 256
"""Most components of the result that a program computes."""


class _Function(NamedTuple):
    """A function by its coefficients (batch, component, channel), the table to the grid, and its tangent."""

    values: Tensor
    table: Tensor
    tangent: Tensor | None = None

    @property
    def block(self) -> int:
        """How many components a matrix product takes at once."""
        return min(_size(self.values.shape[1]), _INSIDE)


@triton.jit
def _on_points(
    values, table, row, column, inside, points, dim, channels,
    BLOCK: tl.constexpr, POINTS: tl.constexpr, COLUMNS: tl.constexpr, NUMBER: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    base = column // channels * dim * channels + column % channels
    total = tl.zeros([POINTS, COLUMNS], NUMBER)
    for first in range(0, dim, BLOCK):
        across, down = first + tl.arange(0, BLOCK)[None, :], first + tl.arange(0, BLOCK)[:, None]
        part = tl.load(table + row * dim + across, mask=(row < points) & (across < dim), other=0.0)
        block = tl.load(values + base + down * channels, mask=inside & (down < dim), other=0.0).to(NUMBER)
        total += tl.dot(part, block, input_precision=PRECISION, out_dtype=NUMBER)
    return total


@triton.jit
def _multiply(
    out, a, b, ta, tb, to_a, to_b, back, points, columns, channels, dim_a, dim_b, dim_out,
    A: tl.constexpr, B: tl.constexpr, OUT: tl.constexpr, POINTS: tl.constexpr, COLUMNS: tl.constexpr,
    MOVING_A: tl.constexpr, MOVING_B: tl.constexpr, NUMBER: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    column = tl.program_id(0).to(tl.int64) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = column < columns
    component = tl.program_id(1) * OUT + tl.arange(0, OUT)[:, None]
    total = tl.zeros([OUT, COLUMNS], NUMBER)
    for first in range(0, points, POINTS):
        row, line = first + tl.arange(0, POINTS)[:, None], first + tl.arange(0, POINTS)[None, :]
        on_a = _on_points(a, to_a, row, column, inside, points, dim_a, channels, A, POINTS, COLUMNS, NUMBER, PRECISION)
        on_b = _on_points(b, to_b, row, column, inside, points, dim_b, channels, B, POINTS, COLUMNS, NUMBER, PRECISION)
        product = on_a * on_b
        if MOVING_B:
            product = on_a * _on_points(
                tb, to_b, row, column, inside, points, dim_b, channels, B, POINTS, COLUMNS, NUMBER, PRECISION
            )
        if MOVING_A:
            change = on_b * _on_points(
                ta, to_a, row, column, inside, points, dim_a, channels, A, POINTS, COLUMNS, NUMBER, PRECISION
            )
            if MOVING_B:
                product += change
            else:
                product = change
        held = (line < points) & (component < dim_out)
        table = tl.load(back + line * dim_out + component, mask=held, other=0.0)
        total += tl.dot(table, product, input_precision=PRECISION, out_dtype=NUMBER)
    at = (column // channels * dim_out + component) * channels + column % channels
    tl.store(out + at, total, mask=inside & (component < dim_out))


def _size(components: int) -> int:
    """Return the power of two that holds the components; matrix products need 16 at least."""
    return max(16, triton.next_power_of_2(components))


def _product(a: _Function, b: _Function, back: Tensor) -> Tensor:
    """Return the coefficients of the product of two functions, or of its tangent if one of them has one."""
    batch, _, channels = a.values.shape
    dim = back.shape[1]
    out = a.values.new_empty(batch, dim, channels)
    outs = min(_size(dim), _OUTSIDE)
    columns = 16 if out.dtype == torch.float64 else 32
    tangents = [function.values if function.tangent is None else function.tangent for function in (a, b)]
    launch(
        _multiply, (-(-batch * channels // columns), -(-dim // outs)),
        out, a.values, b.values, *tangents, a.table, b.table, back,
        back.shape[0], batch * channels, channels, a.values.shape[1], b.values.shape[1], dim,
        A=a.block, B=b.block, OUT=outs, POINTS=16, COLUMNS=columns,
        MOVING_A=a.tangent is not None, MOVING_B=b.tangent is not None, NUMBER=number_type(out.dtype),
        PRECISION="tf32" if out.dtype == torch.bfloat16 else "ieee", warps=8,
    )  # fmt: skip
    return out


def _tables(static: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    return [table.to(wide(dtype)).contiguous() for table in static]


def value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    """Return z."""
    (x, y), (to1, to2, back) = inputs, _tables(static, inputs[0].dtype)
    return _product(_Function(x, to1), _Function(y, to2), back)


def gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    """Return the derivatives of ``sum(g z)`` by x and y, where wanted."""
    (x, y), (to1, to2, back) = inputs, _tables(static, inputs[0].dtype)
    dx = _product(_Function(g, back), _Function(y, to2), to1) if wanted[0] else None
    return [dx, _product(_Function(g, back), _Function(x, to1), to2) if wanted[1] else None]


def tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    """Return the derivatives of the gradient, and of z, along the tangents that are given."""
    (to1, to2, back), (tx, ty) = _tables(static, inputs[0].dtype), along
    x, y, seed = _Function(inputs[0], to1, tx), _Function(inputs[1], to2, ty), _Function(g, back)
    problems = [(seed, y, to1), (seed, x, to2), (x, y, back)]
    found: list[Tensor | None] = []
    for (a, b, table), like, flag in zip(problems, [*inputs, g], wanted, strict=True):
        still = a.tangent is None and b.tangent is None
        found.append(None if not flag else torch.zeros_like(like) if still else _product(a, b, table))
    return found
