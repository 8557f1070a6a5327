"""Symmetric contraction: learned polynomials of each channel's features, the many-body product of MACE.

B_{L} = sum over nu <= correlation and couplings eta of  w^{(nu)}_{z, eta, c}  U^{L, eta}(A_c, ..., A_c),
with z the species of the atom and c the channel. The couplings are those of `symmetric_basis`. They first meet the
weights, which gives each species and channel its own coefficients; what is left for an atom is a polynomial, which
`intertwine.kernels.symmetric_polynomials` evaluates. (Batatia, Kovacs, Simm, Ortner, Csanyi, NeurIPS 2022, eqs. 10-11.)
"""

from itertools import combinations_with_replacement

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.kernels import symmetric_polynomials
from intertwine.products.symmetric_basis import symmetric_basis
from intertwine.representations import Irreps, convert_layout
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout
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

    couplings: Tensor
    heads: Tensor
    lasts: Tensor
    monomials: Tensor
    components: Tensor

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
        """Keep the monomials that some coupling uses, and the couplings as one matrix (term, path).

        A term is a pair of a monomial and an output component that some path couples; terms are sorted by component.
        """
        levels: list[list[tuple[int, ...]]] = []
        needed: set[tuple[int, ...]] = set()
        for degree in range(self.correlation, 0, -1):
            monomials = list(combinations_with_replacement(range(dim), degree))
            used = np.abs(couplings[degree - 1]).max(axis=0, initial=0.0) > 0
            kept = [m for i, m in enumerate(monomials) if used[i] or m in needed]
            needed = {m[:-1] for m in kept}
            levels.insert(0, kept)
        place = {m: i for i, m in enumerate(m for level in levels for m in level)}
        terms: dict[tuple[int, int], dict[int, float]] = {}
        path = 0
        for degree, rows in enumerate(couplings, start=1):
            columns = [place.get(m) for m in combinations_with_replacement(range(dim), degree)]
            row, component = 0, 0
            for count, ir in zip(self._paths[degree - 1], self.irreps_out.irreps, strict=True):
                block = rows[row : row + count * ir.dim].reshape(count, ir.dim, -1)
                for p, m, column in np.argwhere(block):
                    key = (component + int(m), columns[column])
                    terms.setdefault(key, {})[path + int(p)] = float(block[p, m, column])
                row, component, path = row + count * ir.dim, component + ir.dim, path + count
        ordered = sorted(terms)
        matrix = torch.zeros(len(ordered), path, dtype=torch.float64)
        for index, key in enumerate(ordered):
            for column, value in terms[key].items():
                matrix[index, column] = value
        self.add_table("couplings", matrix)
        self._counts = [len(level) for level in levels]
        indices = {
            "heads": [place.get(m[:-1], -1) for m in place],
            "lasts": [m[-1] for m in place],
            "monomials": [monomial for _, monomial in ordered],
            "components": [component for component, _ in ordered],
        }
        for name, values in indices.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)

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
        x = convert_layout(x, self.irreps_in, self.layout, "ir_mul").unflatten(-1, (-1, self.channels))
        weights = [getattr(self, f"weight_{degree}") for degree in range(1, self.correlation + 1)]
        coefficients = self.couplings @ torch.cat(weights, dim=-2)
        z = symmetric_polynomials(
            x,
            coefficients,
            types,
            self.heads,
            self.lasts,
            self.monomials,
            self.components,
            self._counts,
            self.irreps_out.dim // self.channels,
        )
        return convert_layout(z.flatten(-2), self.irreps_out, "ir_mul", self.layout)
