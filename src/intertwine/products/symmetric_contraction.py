"""Symmetric contraction: learned polynomials of each channel's features, the many-body product of MACE.

B_{L} = sum over nu <= correlation and couplings eta of  w^{(nu)}_{z, eta, c}  U^{L, eta}(A_c, ..., A_c),
with z the species of the atom and c the channel. The couplings are those of `symmetric_basis`. Monomials of the
features are formed once and meet all couplings in one matrix product an atom. This is the reference path.
(Batatia, Kovacs, Simm, Ortner, Csanyi, NeurIPS 2022, eqs. 10-11.)
"""

from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.symmetric_basis import symmetric_basis
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = ["SymmetricContraction"]


class SymmetricContraction(TableModule):
    """Per-channel polynomials up to degree ``correlation``, with weights that depend on the species.

    Args:
        irreps_in: irreps with one multiplicity C throughout, such as ``32x0e + 32x1o + 32x2e``.
        irreps_out: irreps to write, each with multiplicity C.
        correlation: largest number of factors.
        num_types: number of species.
        layout: memory layout of inputs and outputs.
        rng: generator of the initial weights.

    Raises:
        RepresentationError: if multiplicities differ, or an output cannot be written.
    """

    last_1: Tensor

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_out: "str | Irreps",
        correlation: int,
        num_types: int,
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_out = Irreps(irreps_in), Irreps(irreps_out)
        self.correlation, self.num_types, self.layout = correlation, num_types, check_layout(layout)
        multiplicities = {mul for mul, _ in (*self.irreps_in, *self.irreps_out)}
        if len(multiplicities) != 1 or correlation < 1:
            raise RepresentationError(
                "a symmetric contraction needs one multiplicity throughout and a correlation of at least 1",
                got={"in": self.irreps_in, "out": self.irreps_out, "correlation": correlation},
            )
        self.channels = multiplicities.pop()
        single = Irreps([(1, ir) for ir in self.irreps_in.irreps])
        self._paths: list[list[int]] = []  # [degree - 1][output entry]
        couplings = []
        for degree in range(1, correlation + 1):
            bases = [symmetric_basis(single, ir, degree) for ir in self.irreps_out.irreps]
            self._paths.append([len(basis) for basis in bases])
            couplings.append(np.concatenate([basis.reshape(-1, basis.shape[-1]) for basis in bases]))
        totals = [sum(row[i] for row in self._paths) for i in range(len(self.irreps_out))]
        if 0 in totals:
            raise RepresentationError(
                f"no polynomial of degree {correlation} or less writes {self.irreps_out[totals.index(0)].ir}",
                got={"in": self.irreps_in, "out": self.irreps_out},
                code="E203",
            )
        self._add_tables(couplings, single.dim)
        for degree, counts in enumerate(self._paths, start=1):
            weight = torch.randn(num_types, sum(counts), self.channels, generator=rng)
            # all couplings of an output together have unit variance
            share = torch.tensor([total**-0.5 for total, n in zip(totals, counts, strict=True) for _ in range(n)])
            self.register_parameter(f"weight_{degree}", nn.Parameter(weight * share[:, None]))

    def _add_tables(self, couplings: list[np.ndarray], dim: int) -> None:
        """Keep the monomials that some coupling uses, each written as one of a degree less times a component."""
        needed: set[tuple[int, ...]] = set()
        for degree in range(self.correlation, 0, -1):
            rows = couplings[degree - 1]
            monomials = list(combinations_with_replacement(range(dim), degree))
            used = np.abs(rows).max(axis=0, initial=0.0) > 0
            kept = [i for i, monomial in enumerate(monomials) if used[i] or monomial in needed]
            self.add_table(f"couplings_{degree}", torch.from_numpy(np.ascontiguousarray(rows[:, kept])))
            tails = torch.tensor([monomials[i][-1] for i in kept])
            self.register_buffer(f"last_{degree}", tails, persistent=False)
            if degree < self.correlation:
                place = {monomials[i]: row for row, i in enumerate(kept)}
                heads = torch.tensor([place[head] for head in self._heads_above])
                self.register_buffer(f"head_{degree + 1}", heads, persistent=False)
            self._heads_above = [monomials[i][:-1] for i in kept]
            needed = set(self._heads_above)
        del self._heads_above

    @property
    def num_paths(self) -> dict[str, list[int]]:
        """For each output irrep, the number of independent couplings of degree 1, 2, ..."""
        return {str(ir): [row[i] for row in self._paths] for i, ir in enumerate(self.irreps_out.irreps)}

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by their irreps; species are invariant."""
        return Symmetry(
            O(3),
            inputs={"x": IrrepsTensor(self.irreps_in, self.layout)},
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def forward(self, x: Float[Tensor, "atoms dim_in"], types: Int[Tensor, " atoms"]) -> Float[Tensor, "atoms dim_out"]:
        """Return the polynomials of every atom's features.

        Raises:
            ShapeError: if there is not one species an atom.
        """
        if types.shape != x.shape[:1]:
            raise ShapeError(
                "a symmetric contraction needs one species an atom",
                got={"x": tuple(x.shape), "types": tuple(types.shape)},
                expected="(atoms, dim) and (atoms,)",
            )
        components = torch.cat(split_blocks(x, self.irreps_in, self.layout), dim=-2)
        monomials = components.index_select(-2, self.last_1)
        outputs = self._contract(1, monomials, types)
        for degree in range(2, self.correlation + 1):
            heads = monomials.index_select(-2, getattr(self, f"head_{degree}"))
            monomials = heads * components.index_select(-2, getattr(self, f"last_{degree}"))
            terms = self._contract(degree, monomials, types)
            outputs = [a + b for a, b in zip(outputs, terms, strict=True)]
        return join_blocks(outputs, self.layout)

    def _contract(self, degree: int, monomials: Tensor, types: Tensor) -> list[Tensor]:
        """The terms of one degree: couplings on the left, weights of the species on each coupling."""
        counts, irreps = self._paths[degree - 1], self.irreps_out.irreps
        rows = getattr(self, f"couplings_{degree}") @ monomials
        weight = getattr(self, f"weight_{degree}").index_select(0, types)
        parts = rows.split([n * ir.dim for n, ir in zip(counts, irreps, strict=True)], dim=-2)
        terms = []
        for part, w, n, ir in zip(parts, weight.split(counts, dim=-2), counts, irreps, strict=True):
            terms.append((part.unflatten(-2, (n, ir.dim)) * w.unsqueeze(-2)).sum(-3))
        return terms
