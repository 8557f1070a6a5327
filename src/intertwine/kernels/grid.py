"""The product of two functions on a grid, from coefficients to coefficients, as a family of operators.

    z[b, k u] = sum over points p of  back[p, k] (sum_i to1[p, i] x[b, i u]) (sum_j to2[p, j] y[b, j u])

The fused kernels never hold the values on the grid; the reference does.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.build import load_library
from intertwine.kernels.family import Family, Implementation
from intertwine.kernels.pointers import address, integers, suffix, threads

__all__ = ["grid_product"]


def _reference(
    x: Float[Tensor, "batch dim1 channels"],
    y: Float[Tensor, "batch dim2 channels"],
    to1: Float[Tensor, "points dim1"],
    to2: Float[Tensor, "points dim2"],
    back: Float[Tensor, "points dim3"],
) -> Float[Tensor, "batch dim3 channels"]:
    """Three matrix products and one product of values."""
    return back.mT @ ((to1 @ x) * (to2 @ y))


def _shape(inputs: Sequence[Tensor], static: Sequence[Any]) -> tuple[int, int, int]:
    return (inputs[0].shape[0], static[2].shape[1], inputs[0].shape[2])


def _example(dtype: torch.dtype, device: str) -> tuple[list[Tensor], list[Any]]:
    """Seven points, three samples, seven channels: lanes cross from one sample to the next."""
    rng = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(*shape, generator=rng, dtype=dtype) for shape in ((3, 4, 7), (3, 1, 7), (7, 4), (7, 1), (7, 9))
    ]
    x, y, *tables = (a.to(device) for a in tensors)
    return [x, y], tables


grid_product = Family(
    "grid_product",
    inputs=("x", "y"),
    static="Tensor to1, Tensor to2, Tensor back",
    reference=_reference,
    shape=_shape,
    example=_example,
)
"""``grid_product(x, y, to1, to2, back)``: coefficients (batch, component, channel), tables (point, component)."""


# --- CPU --------------------------------------------------------------------------------------------------


def _run(name: str, inputs: Sequence[Tensor], static: Sequence[Any], *arguments: Tensor | None) -> None:
    x, y = inputs
    tables = [table.to(x.dtype).contiguous() for table in static]
    sizes = (x.shape[0], x.shape[2], len(tables[0]), *(table.shape[1] for table in tables))
    function = getattr(load_library("grid"), f"{name}_{suffix(x.dtype)}")
    function(integers(sizes), *map(address, (*tables, x, y, *arguments)), threads())


def _value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    z = inputs[0].new_empty(_shape(inputs, static))
    _run("value", inputs, static, z)
    return z


def _gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    found = [torch.empty_like(a) if flag else None for a, flag in zip(inputs, wanted, strict=True)]
    _run("gradient", inputs, static, g, *found)
    return found


def _tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    found = [torch.empty_like(a) if flag else None for a, flag in zip([*inputs, g], wanted, strict=True)]
    _run("tangent", inputs, static, g, *along, *found)
    return found


grid_product.implement("cpu", Implementation(_value, _gradient, _tangent))
