"""Polynomials of each channel's components with coefficients by species, as a family of operators.

    z[a, o u] = sum over terms t that write o of  v[species(a), t u] * monomial_t(x[a, . u])

Each monomial is one of a degree less times a component, so all of them cost one product each. Features are in the
layout ``ir_mul``, split into (component, channel).
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.kernels.build import load_library
from intertwine.kernels.family import Family, Implementation
from intertwine.kernels.pointers import address, integers, suffix, threads

__all__ = ["symmetric_polynomials"]


def _reference(
    x: Float[Tensor, "atoms dim channels"],
    v: Float[Tensor, "kinds terms channels"],
    species: Int64[Tensor, " atoms"],
    heads: Int64[Tensor, " monomials"],
    lasts: Int64[Tensor, " monomials"],
    monomials: Int64[Tensor, " terms"],
    outs: Int64[Tensor, " terms"],
    counts: Sequence[int],
    dim_out: int,
) -> Float[Tensor, "atoms dim_out channels"]:
    """Form all monomials of all atoms degree by degree, then add up the terms."""
    level = x.index_select(1, lasts[: counts[0]])
    powers, start = level, counts[0]
    for count in counts[1:]:
        places = slice(start, start + count)
        level = powers.index_select(1, heads[places]) * x.index_select(1, lasts[places])
        powers, start = torch.cat([powers, level], dim=1), start + count
    terms = v.index_select(0, species) * powers.index_select(1, monomials)
    return x.new_zeros(x.shape[0], dim_out, x.shape[2]).index_add(1, outs, terms)


def _shape(inputs: Sequence[Tensor], static: Sequence[Any]) -> tuple[int, int, int]:
    return (inputs[0].shape[0], static[-1], inputs[0].shape[2])


def _example(dtype: torch.dtype, device: str) -> tuple[list[Tensor], list[Any]]:
    """Six atoms of three species; monomials a, b, aa, ab, abb; channels fill a vector of lanes and a rest."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, 19, generator=rng, dtype=dtype)
    v = torch.randn(3, 6, 19, generator=rng, dtype=dtype)
    species = torch.tensor([0, 2, 0, 2, 2, 0])
    tables = [[-1, -1, 0, 0, 3], [0, 1, 0, 1, 1], [0, 2, 4, 1, 3, 4], [0, 0, 0, 1, 1, 1]]
    places = [torch.tensor(table, device=device) for table in tables]
    return [x.to(device), v.to(device)], [species.to(device), *places, [2, 2, 1], 2]


symmetric_polynomials = Family(
    "symmetric_polynomials",
    inputs=("x", "v"),
    static="Tensor species, Tensor heads, Tensor lasts, Tensor monomials, Tensor outs, int[] counts, SymInt dim_out",
    reference=_reference,
    shape=_shape,
    example=_example,
)
"""``symmetric_polynomials(x, v, species, heads, lasts, monomials, outs, counts, dim_out)``.

Args:
    x: components of every atom, (atoms, component, channel).
    v: coefficients, (species, term, channel).
    species: of each atom.
    heads, lasts: a monomial is monomial ``head`` (-1: one) times component ``last``; sorted by degree.
    monomials, outs: what each term multiplies and where it writes; sorted by ``outs``.
    counts: number of monomials of degree 1, 2, ...
    dim_out: number of components to write.
"""


# --- CPU --------------------------------------------------------------------------------------------------


def _run(name: str, inputs: Sequence[Tensor], static: Sequence[Any], *arguments: Tensor | None) -> None:
    x, v = inputs
    species, heads, lasts, monomials, outs, _, dim_out = static
    sizes = (x.shape[0], v.shape[0], len(heads), len(monomials), x.shape[1], dim_out, x.shape[2])
    places = [address(part) for part in (species, heads, lasts, monomials, outs)]
    function = getattr(load_library("symmetric"), f"{name}_{suffix(x.dtype)}")
    if function(*places, integers(sizes), address(x), address(v), *map(address, arguments), threads()):
        raise ShapeError(
            "an atom has a species that the weights do not know",
            got={"smallest": int(species.min()), "largest": int(species.max())},
            expected=f"0 to {v.shape[0] - 1}",
        )


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


symmetric_polynomials.implement("cpu", Implementation(_value, _gradient, _tangent))
