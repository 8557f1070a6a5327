"""Symmetric polynomials on CUDA.

    value:        z[a, o] = sum over terms t that write o of  v[t] m_t
    by x:         dx[a, i] = sum over terms t, and factors of m_t that are x_i, of  v[t] g[o(t)] m_t / x_i
    by v:         dv[s, t] = sum over atoms a of species s of  g[a, o(t)] m_t

The first two are one kernel with different tables. The third adds up parts of the atoms of each species, and then the
parts, in a fixed order. Monomials are formed from their factors each time, two or three products, and never stored.

Compiled for sm_80 and sm_90 and run through Triton's interpreter; not run on hardware.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Int64
from torch import Tensor

from intertwine.kernels.gpu.groups import check_index, group_rows, tile_rows
from intertwine.kernels.gpu.launch import launch
from intertwine.kernels.gpu.source import lanes_for, number_type, wide
from intertwine.kernels.gpu.symmetric_kernels import sum_atoms, sum_parts, sum_terms
from intertwine.kernels.gpu.tables import Table, read_table

__all__ = ["gradient", "tangent", "value"]

_TERMS = 8
"""Terms that a program holds at once."""
_PARTS = 64
"""How many parts the atoms of one species are cut into; but a part has 128 atoms at least."""


class _Products(NamedTuple):
    """Products in the order of what they are added to: ``begin[s]`` to ``begin[s + 1] - 1`` are those of place s.

    Each has the coefficient of a term, some components as factors (-1: one), and the output that its term writes.
    """

    terms: Int64[Tensor, " products"]
    factors: Int64[Tensor, "products degree"]
    outs: Int64[Tensor, " products"]
    begin: Int64[Tensor, " places_and_one"]


class _Tables:
    """The products of value, of derivative by x and, one a term, of that by v: made once a polynomial and device."""

    def __init__(
        self, heads: Table, lasts: Table, monomials: Table, outs: Table, dim: int, dim_out: int, device: torch.device
    ) -> None:
        components: list[tuple[int, ...]] = []
        for head, last in zip(heads.rows, lasts.rows, strict=True):
            components.append((*(components[head] if head >= 0 else ()), last))
        terms = [(t, components[n], out) for t, (n, out) in enumerate(zip(monomials.rows, outs.rows, strict=True))]
        self.value = _products([(out, t, factors, out) for t, factors, out in terms], dim_out, device)
        steps = [
            (factors[q], t, factors[:q] + factors[q + 1 :], out)
            for t, factors, out in terms
            for q in range(len(factors))
        ]
        self.gradient = _products(steps, dim, device)
        self.single = _products([(t, t, factors, out) for t, factors, out in terms], len(terms), device)


def _products(rows: Sequence[tuple[int, int, tuple[int, ...], int]], places: int, device: torch.device) -> _Products:
    """Return the table of rows (place, term, factors, output)."""
    rows = sorted(rows, key=lambda row: row[0])
    degree = max((len(factors) for _, _, factors, _ in rows), default=0)
    padded = [factors + (-1,) * (degree - len(factors)) for _, _, factors, _ in rows]
    counts = torch.bincount(torch.tensor([place for place, *_ in rows], dtype=torch.int64), minlength=places)
    tables = (
        torch.tensor([t for _, t, _, _ in rows], dtype=torch.int64),
        torch.tensor(padded, dtype=torch.int64).reshape(len(rows), degree),
        torch.tensor([out for *_, out in rows], dtype=torch.int64),
        torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
    )
    return _Products(*(table.to(device) for table in tables))


_tables = lru_cache(maxsize=64)(_Tables)


class _Problem:
    """What all kernels of one call share."""

    def __init__(self, inputs: Sequence[Tensor], static: Sequence[Any]) -> None:
        self.x, self.v = inputs
        species, heads, lasts, monomials, outs, _, self.dim_out = static
        self.species: Tensor = species.contiguous()
        check_index(self.species, self.v.shape[0], "an atom has a species that the weights do not know")
        read = [read_table(table) for table in (heads, lasts, monomials, outs)]
        self.tables = _tables(*read, self.x.shape[1], self.dim_out, self.x.device)
        self.lanes = min(lanes_for(self.x.shape[2], self.x.dtype), 32)
        self.shared = {"TERMS": _TERMS, "LANES": self.lanes, "NUMBER": number_type(self.x.dtype)}
        self.blocks = -(-self.x.shape[2] // self.lanes)

    def sum_terms(
        self, products: _Products, places: int, g: Tensor | None, tv: Tensor | None, tx: Tensor | None
    ) -> Tensor:
        """Return, for every atom, the sum of the products of each place, or its tangent."""
        x, v = self.x, self.v
        atoms, dim, channels = x.shape
        out = x.new_empty(atoms, places, channels)
        absent = x  # stands for what the kernel does not read
        tensors = [absent if a is None else a for a in (g, tv, tx)]
        sizes = (v.shape[1] * channels, dim * channels, self.dim_out * channels, places * channels, channels)
        launch(
            sum_terms, (atoms, places, self.blocks), out, v, x, *tensors, self.species, products.terms,
            products.factors, products.outs, products.begin, *sizes, DEGREE=products.factors.shape[1],
            GRADIENT=g is not None, MOVING_V=tv is not None, MOVING_X=tx is not None, **self.shared,
        )  # fmt: skip
        return out

    def sum_atoms(self, g: Tensor, tx: Tensor | None) -> Tensor:
        """Return the derivative by v, or its tangent."""
        x, v, products = self.x, self.v, self.tables.single
        kinds, terms, channels = v.shape
        groups = group_rows(self.species, kinds)
        tiles = tile_rows(groups, max(128, x.shape[0] // _PARTS))
        parts = v.new_empty(tiles.first.shape[0], terms, channels, dtype=wide(v.dtype))
        sizes = (terms, x.shape[1] * channels, self.dim_out * channels, channels)
        launch(
            sum_atoms, (parts.shape[0], -(-terms // _TERMS), self.blocks), parts, x, g, x if tx is None else tx,
            products.factors, products.outs, groups.order, tiles.first, tiles.last, *sizes,
            DEGREE=products.factors.shape[1], MOVING_X=tx is not None, **self.shared,
        )  # fmt: skip
        dv = torch.empty_like(v)
        size = terms * channels
        launch(sum_parts, (kinds, -(-size // 128)), dv, parts, tiles.part, size, LANES=128)
        return dv

    def gradient(self, g: Tensor, tangents: Sequence[Tensor | None], wanted: Sequence[bool]) -> list[Tensor | None]:
        """Return the derivatives by x and v, where wanted, or their tangents along those that are given."""
        tx, tv = tangents
        dx = self.sum_terms(self.tables.gradient, self.x.shape[1], g, tv, tx) if wanted[0] else None
        if not wanted[1]:
            return [dx, None]
        # z is linear in v, so its derivative by v does not move with v
        return [dx, torch.zeros_like(self.v) if tx is None and tv is not None else self.sum_atoms(g, tx)]


def value(inputs: list[Tensor], static: list[Any]) -> Tensor:
    """Return z."""
    problem = _Problem(inputs, static)
    return problem.sum_terms(problem.tables.value, problem.dim_out, None, None, None)


def gradient(inputs: list[Tensor], g: Tensor, static: list[Any], wanted: list[bool]) -> list[Tensor | None]:
    """Return the derivatives of ``sum(g z)`` by x and v, where wanted."""
    return _Problem(inputs, static).gradient(g, (None, None), wanted)


def tangent(
    inputs: list[Tensor], g: Tensor, along: list[Tensor | None], static: list[Any], wanted: list[bool]
) -> list[Tensor | None]:
    """Return the derivatives of the gradient, and of z, along the tangents that are given."""
    if all(part is None for part in along):
        return [torch.zeros_like(a) if flag else None for a, flag in zip([*inputs, g], wanted, strict=True)]
    problem, (tx, tv) = _Problem(inputs, static), along
    found = problem.gradient(g, along, wanted[:2])
    return [*found, problem.sum_terms(problem.tables.value, problem.dim_out, None, tv, tx) if wanted[2] else None]
