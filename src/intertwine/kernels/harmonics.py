"""Spherical harmonics by recursion over degrees, as a family of operators.

    Y[to] = sum over terms of  value * Y[from] * r[axis],   Y[0] = 1;   the result is scale[i] * Y[i]

The terms are given, so that nothing here knows a convention; `intertwine.representations` makes them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels.build import load_library
from intertwine.kernels.family import Family, Implementation
from intertwine.kernels.pointers import address, integers, suffix, threads

__all__ = ["harmonics"]


def _reference(
    r: Float[Tensor, "vectors 3"], terms: Float[Tensor, "terms 4"], scales: Float[Tensor, " dim"], degrees: int
) -> Float[Tensor, "vectors dim"]:
    """Raise degree after degree by one matrix product."""
    level = torch.ones_like(r[:, :1])
    levels = [level]
    for degree in range(degrees):
        low, high = degree**2, (degree + 1) ** 2
        rows = (terms[:, 0] >= low) & (terms[:, 0] < high)
        # a product with the indicator instead of a selection: the shapes do not depend on the data
        places = (terms[:, 0] - low).long().clamp(0, high - low - 1), terms[:, 1].long()
        target = (terms[:, 2] - high).long().clamp(0, 2 * degree + 2)
        table = r.new_zeros(high - low, 3, 2 * degree + 3)
        table = table.index_put((*places, target), (terms[:, 3] * rows).to(r), accumulate=True)
        level = (level.unsqueeze(-1) * r.unsqueeze(-2)).flatten(-2) @ table.flatten(0, 1)
        levels.append(level)
    return torch.cat(levels, dim=-1) * scales.to(r)


def _shape(inputs: Sequence[Tensor], static: Sequence[Any]) -> tuple[int, int]:
    return (inputs[0].shape[0], static[1].shape[0])


def _example(dtype: torch.dtype, device: str) -> tuple[list[Tensor], list[Any]]:
    """Nineteen vectors, any recursion to degree 2."""
    rng = torch.Generator().manual_seed(0)
    r = torch.randn(19, 3, generator=rng, dtype=dtype)
    terms = [(0, axis, 1 + axis, 1.0) for axis in range(3)]
    terms += [(1, 2, 4, 1.5), (2, 0, 5, 0.5), (1, 1, 5, 0.25), (3, 1, 6, -1.0), (3, 2, 7, 2.0), (2, 2, 8, 0.75)]
    scales = torch.linspace(0.5, 1.5, 9, dtype=torch.float64, device=device)
    return [r.to(device)], [torch.tensor(terms, dtype=torch.float64, device=device), scales, 2]


harmonics = Family(
    "harmonics",
    inputs=("r",),
    static="Tensor terms, Tensor scales, int degrees",
    reference=_reference,
    shape=_shape,
    example=_example,
)
"""``harmonics(r, terms, scales, degrees)``.

Args:
    r: vectors (vectors, 3).
    terms: rows (from, axis, to, value) in float64, sorted by ``to``; component i of degree l is ``l^2 + i``.
    scales: factor of each component in float64.
    degrees: the largest degree.
"""


# --- CPU --------------------------------------------------------------------------------------------------


def _run(name: str, r: Tensor, static: Sequence[Any], *arguments: Tensor | None) -> None:
    terms, scales, _ = static
    function = getattr(load_library("harmonics"), f"{name}_{suffix(r.dtype)}")
    sizes = (r.shape[0], len(scales), len(terms))
    function(integers(sizes), *map(address, (terms, scales, r, *arguments)), threads())


def _value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    y = inputs[0].new_empty(_shape(inputs, static))
    _run("value", inputs[0], static, y)
    return y


def _gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    step = torch.empty_like(inputs[0])
    _run("gradient", inputs[0], static, g, step)
    return [step]


def _tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    found = [torch.empty_like(a) if flag else None for a, flag in zip([*inputs, g], wanted, strict=True)]
    _run("tangent", inputs[0], static, g, *along, *found)
    return found


harmonics.implement("cpu", Implementation(_value, _gradient, _tangent))
