"""Many-body products in the manner of Gaunt: powers of one function on the sphere, projected and weighted.

B^(n)_lm = <Y_lm, f_A^n>, and the message is sum_n w^(n)_{z,c,l} B^(n)_{c,l}, with z the species of the atom and c the
channel. A symmetric contraction has a weight for each of its many couplings; this product has one an order and degree,
and costs O(n L^3). (Luo, Chen, Krishnapriyan, ICLR 2024; the contraction: Batatia et al., MACE, NeurIPS 2022.)
"""

from math import comb, factorial, pi, prod
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.signal_powers import FourierPowers, GridPowers
from intertwine.products.gaunt.sphere_product import SphereNormalization, value_parity
from intertwine.representations import Irrep, Irreps, convert_layout
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = ["GauntManyBody"]


class GauntManyBody(TableModule):
    """Per-channel powers of a feature as a function on the sphere; takes the place of a `SymmetricContraction`.

    Law: O(3) acts on input and output by their irreps. Natural parity in gives natural parity out.

    Args:
        irreps_in: irreps with one multiplicity C throughout, of parity p (-1)^l with one p.
        irreps_out: irreps to write, each with multiplicity C; the n-th power has parity p^n (-1)^l.
        correlation: largest number of factors.
        num_types: number of species.
        layout: memory layout of inputs and outputs; ``ir_mul`` is the faster one.
        rng: generator of the initial weights.
        weights: ``output`` has a weight for each order, species, channel and irrep of the output. ``cp`` also scales
            every degree of the feature in every factor, w_k,c,l for the k-th; these begin at 1, where both are equal.
        backend: ``grid`` or ``fourier``; equal up to rounding.
        normalization: ``component`` divides every power by the root of its mean square for a standard normal feature,
            and the orders of an output share unit variance. ``integral`` is the plain projection with standard normal
            weights, as in the published code.

    Raises:
        RepresentationError: if multiplicities differ, parities are mixed, or an output cannot be written.

    Example:
        >>> GauntManyBody("8x0e + 8x1o + 8x2e", "8x0e + 8x1o", 3, num_types=4).num_paths
        {'0e': [1, 1, 1], '1o': [1, 1, 1]}
    """

    first: Tensor

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        correlation: int,
        num_types: int,
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
        *,
        weights: Literal["output", "cp"] = "output",
        backend: Literal["grid", "fourier"] = "grid",
        normalization: SphereNormalization = "component",
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.correlation, self.num_types, self.layout = correlation, num_types, check_layout(layout)
        self.weights, self.backend, self.normalization = weights, backend, normalization
        choices = (weights in ("output", "cp"), backend in ("grid", "fourier"), normalization in _NORMALIZATIONS)
        multiplicities = {mul for mul, _ in (*self.irreps_in, *self.irreps_out)}
        if not all(choices) or len(multiplicities) != 1 or correlation < 1:
            raise RepresentationError(
                "a many-body product needs one multiplicity throughout, a correlation of at least 1, and known choices",
                got={"in": self.irreps_in, "out": self.irreps_out, "correlation": correlation, "weights": weights,
                     "backend": backend, "normalization": normalization},
                expected=f"weights output or cp; backend grid or fourier; normalization {' or '.join(_NORMALIZATIONS)}",
            )  # fmt: skip
        self.channels = multiplicities.pop()
        single = [Irreps([(1, ir) for ir in irreps.irreps]) for irreps in (self.irreps_in, self.irreps_out)]
        reachable = _reachable(single[0], correlation)
        self._written = [[ir in found for ir in self.irreps_out.irreps] for found in reachable]
        """For each order, which irreps of the output it writes."""
        totals = [sum(column) for column in zip(*self._written, strict=True)]
        if 0 in totals:
            raise RepresentationError(
                f"no power up to {correlation} of this function writes {self.irreps_out[totals.index(0)].ir}",
                got={"in": self.irreps_in, "out": self.irreps_out},
                expected=f"out within {Irreps(sorted(set().union(*reachable)))}",
                code="E203",
            )
        if correlation > 1:
            self.powers = (GridPowers if backend == "grid" else FourierPowers)(single[0], single[1], correlation)
        self._add_weights(totals, rng)
        self._add_places(single)

    def _add_weights(self, totals: list[int], rng: torch.Generator | None) -> None:
        """Weights (species, irreps that the order writes, channel), and factors (irreps of the input, channel)."""
        raw = self.normalization == "integral"
        for order, written in enumerate(self._written, start=1):
            kept = [total for total, flag in zip(totals, written, strict=True) if flag]
            share = torch.tensor([1.0 if raw else total**-0.5 for total in kept])
            weight = torch.randn(self.num_types, len(kept), self.channels, generator=rng)
            self.register_parameter(f"weight_{order}", nn.Parameter(weight * share[:, None]))
            if self.weights == "cp":
                ones = torch.ones(len(self.irreps_in), self.channels)
                self.register_parameter(f"factor_{order}", nn.Parameter(ones))

    def _add_places(self, single: list[Irreps]) -> None:
        """Where components find their weights, and scales of the powers; what an order does not write has a zero."""
        dims = torch.tensor([ir.dim for ir in single[1].irreps])
        for order, written in enumerate(self._written, start=1):
            squares = _mean_squares(single[0], single[1], order) if self.normalization == "component" else None
            scales = [
                0.0 if not flag else 1.0 if squares is None else squares[ir.l] ** -0.5
                for ir, flag in zip(single[1].irreps, written, strict=True)
            ]
            self.add_table(f"scale_{order}", torch.tensor(scales, dtype=torch.float64).repeat_interleave(dims)[:, None])
        for order, written in enumerate(self._written, start=1):
            places = (torch.tensor(written).cumsum(0) - 1).clamp(min=0)
            self.register_buffer(f"entries_{order}", places.repeat_interleave(dims), persistent=False)
        # the first power is the feature itself: entries of one irrep are added, others have no source
        slices = single[0].slices()
        first = torch.zeros(single[1].dim, single[0].dim)
        for place, ir in zip(single[1].slices(), single[1].irreps, strict=True):
            for source, other in zip(slices, single[0].irreps, strict=True):
                if other == ir:
                    first[place, source] = torch.eye(ir.dim)
        self._first = _as_slice(first)
        self.add_table("first", first.double())
        sources = torch.arange(len(single[0])).repeat_interleave(torch.tensor([ir.dim for ir in single[0].irreps]))
        self.register_buffer("sources", sources, persistent=False)

    @property
    def num_paths(self) -> dict[str, list[int]]:
        """For each output irrep, the number of couplings of degree 1, 2, ...: one, or none where parity forbids it."""
        return {str(ir): [int(row[i]) for row in self._written] for i, ir in enumerate(self.irreps_out.irreps)}

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by their irreps; species are invariant."""
        return Symmetry(
            O(3),
            inputs={"x": IrrepsTensor(self.irreps_in, self.layout)},
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def forward(self, x: Float[Tensor, "atoms dim_in"], types: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim_out"]:
        """Return the weighted powers of every atom's feature.

        Raises:
            ShapeError: if the feature does not fit, or there is not one species an atom.
        """
        if types.shape != x.shape[:1] or x.shape[1:] != (self.irreps_in.dim,):
            raise ShapeError(
                "a many-body product needs one feature and one species an atom",
                got={"x": tuple(x.shape), "types": tuple(types.shape)},
                expected=f"(atoms, {self.irreps_in.dim}) and (atoms,)",
            )
        x = convert_layout(x, self.irreps_in, self.layout, "ir_mul").unflatten(-1, (-1, self.channels))
        signals = [x]
        if self.weights == "cp":
            orders = range(1, self.correlation + 1)
            signals = [x * getattr(self, f"factor_{n}").index_select(0, self.sources) for n in orders]
        first = self.first @ signals[0] if self._first is None else signals[0][:, self._first]
        projections = [first, *(self.powers(signals) if self.correlation > 1 else [])]
        z = torch.zeros_like(first)
        for order, projection in enumerate(projections, start=1):
            places, scale = getattr(self, f"entries_{order}"), getattr(self, f"scale_{order}")
            weight = getattr(self, f"weight_{order}")
            if weight.shape[1] > 0:
                # scaled before they are gathered: there are fewer species than atoms
                z = z + projection * (weight.index_select(1, places) * scale).index_select(0, types)
        return convert_layout(z.flatten(-2), self.irreps_out, "ir_mul", self.layout)


_NORMALIZATIONS = ("component", "integral")


def _reachable(irreps: Irreps, correlation: int) -> list[set[Irrep]]:
    """The irreps in each power up to ``correlation``."""
    value_parity(irreps, "gaunt_many_body")
    found = [set(irreps.irreps)]
    for _ in range(1, correlation):
        found.append({c for a in found[-1] for b in irreps.irreps for c in a * b if gaunt_constant(a.l, b.l, c.l) > 0})
    return found


def _mean_squares(irreps_in: Irreps, irreps_out: Irreps, order: int) -> dict[int, float]:
    """The mean square of a component of the n-th power, by degree, for a standard normal feature.

    The function is then a Gaussian field with a covariance k(r . s), and the mean of f(r)^n f(s)^n is a polynomial in k
    and k(1) that counts pairings; its Legendre moments are the mean squares.
    """
    nodes, weights = np.polynomial.legendre.leggauss(order * irreps_in.lmax // 2 + irreps_out.lmax // 2 + 2)
    lmax = max(irreps_in.lmax, irreps_out.lmax)
    legendre = np.stack([np.polynomial.legendre.Legendre.basis(degree)(nodes) for degree in range(lmax + 1)])
    covariance = sum(ir.dim / (4 * pi) * legendre[ir.l] for ir in irreps_in.irreps)
    variance = sum(ir.dim for ir in irreps_in.irreps) / (4 * pi)
    moment = np.zeros_like(nodes)
    for across in range(order % 2, order + 1, 2):
        within = prod(
            range(1, order - across, 2)
        )  # pairings of the other factors among themselves, (order - across - 1)!!
        pairings = comb(order, across) ** 2 * factorial(across) * within**2
        moment = moment + pairings * variance ** (order - across) * covariance**across
    return {ir.l: float(2 * pi * (weights * moment * legendre[ir.l]).sum()) for ir in irreps_out.irreps}


def _as_slice(matrix: Tensor) -> slice | None:
    """The slice that a matrix takes of its argument, if it does just that."""
    rows, columns = matrix.shape
    if rows <= columns and torch.equal(matrix, torch.eye(rows, columns)):
        return slice(0, rows)
    return None
