"""Matrix products: features become matrices, the matrices are multiplied, and the product is read off again.

Degree l is written with E^l_m, (E^l_m)_ab = sqrt(2 l + 1) C^{l~ l~ l}_{a b m}: an orthonormal basis of the matrices of
size 2 l~ + 1, symmetric for even l and antisymmetric for odd l. The coupling of (l1, l2, l3) is sqrt((2 l1 + 1)
(2 l2 + 1)(2 l3 + 1)) {l1 l2 l3; l~ l~ l~}: even and odd sums alike, so one matrix cannot keep track of parity.
(The FusedTensor of e3x, Unke and Maennel 2024; Xie et al., "The Price of Freedom", 2.2.)
"""

from abc import abstractmethod
from collections.abc import Sequence
from math import sqrt
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.products.product import Product
from intertwine.products.wigner_symbols import matrix_constant
from intertwine.representations import Irrep, Irreps, wigner_3j

__all__ = ["MatrixProduct", "ParityMatrixProduct", "matrix_basis"]


def matrix_basis(degree: int, matrix_degree: int) -> Float[Tensor, "dim size size"]:
    """Return the matrices E^l_m of one degree in float64, m from -l to l.

    Raises:
        RepresentationError: if the degree is larger than ``2 matrix_degree``, the largest that fits.
    """
    if not 0 <= degree <= 2 * matrix_degree:
        raise RepresentationError(
            f"matrices of size {2 * matrix_degree + 1} do not hold degree {degree}",
            got={"degree": degree, "matrix_degree": matrix_degree},
            expected=f"degrees up to {2 * matrix_degree}",
            fix=f"take matrix_degree = {(degree + 1) // 2} or more",
        )
    return wigner_3j(matrix_degree, matrix_degree, degree, dtype=torch.float64).movedim(-1, 0) * sqrt(2 * degree + 1)


class _MatrixProduct(Product):
    """What both products share: features are split into sectors, each with a matrix of its own."""

    order: Tensor

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        matrix_degree: int | None = None,
        normalization: Literal["none", "component"] = "none",
    ) -> None:
        a, b = Irreps(irreps_in1), Irreps(irreps_in2)
        if matrix_degree is None:
            matrix_degree = (a.lmax + b.lmax + 1) // 2
        if normalization not in ("none", "component"):
            raise RepresentationError(
                f"the product `{self.name}` has no such normalization", got=normalization, expected="none or component"
            )
        variances = self._variances(a.irreps, b.irreps, matrix_degree)
        writable = Irreps([ir for ir in sorted(variances) if variances[ir] > 1e-20])
        out = writable if irreps_out is None else Irreps(irreps_out)
        missing = [ir for ir in out.irreps if ir not in writable]
        if missing:
            raise RepresentationError(
                f"the product `{self.name}` cannot write {', '.join(map(str, missing))}",
                got={"in1": a, "in2": b, "out": out, "matrix_degree": matrix_degree},
                expected=f"out within {writable}",
                code="E203",
            )
        super().__init__(a, b, out)
        self.matrix_degree, self.size, self.normalization = matrix_degree, 2 * matrix_degree + 1, normalization
        scales = [1.0 if normalization == "none" else variances[ir] ** -0.5 for ir in out.irreps]
        ones = ([1.0] * len(a), [1.0] * len(b))
        self._sectors = [
            self._add_side(f"side{number}", irreps, factors)
            for number, (irreps, factors) in enumerate(zip((a, b, out), (*ones, scales), strict=True))
        ]
        order = [place for sector in self._sectors[2] for place in getattr(self, _places("side2", sector)).tolist()]
        # outputs are written sector after sector; this puts them in the order of the irreps
        self.register_buffer("order", torch.tensor(order).argsort(), persistent=False)

    def _add_side(self, side: str, irreps: Irreps, scales: Sequence[float]) -> list[int]:
        """Register, for each sector of one side, where its components are and what matrices they stand for."""
        sectors: dict[int, list[int]] = {}
        for place, ir in enumerate(irreps.irreps):
            sectors.setdefault(self._sector(ir), []).append(place)
        slices = irreps.slices()
        for sector, entries in sectors.items():
            components = [n for place in entries for n in range(slices[place].start, slices[place].stop)]
            rows = [
                matrix_basis(irreps[place].ir.l, self.matrix_degree).flatten(1) * scales[place] for place in entries
            ]
            self.add_table(_table(side, sector), torch.cat(rows))
            self.register_buffer(_places(side, sector), torch.tensor(components), persistent=False)
        return sorted(sectors, reverse=True)

    def _variances(self, first: Sequence[Irrep], second: Sequence[Irrep], matrix_degree: int) -> dict[Irrep, float]:
        """For every irrep that could be written, the variance of its components for standard normal inputs."""
        found: dict[Irrep, float] = {}
        for a in first:
            for b in second:
                for degree in range(abs(a.l - b.l), min(a.l + b.l, 2 * matrix_degree) + 1):
                    ir = self._written(a, b, degree)
                    constant = matrix_constant(a.l, b.l, degree, matrix_degree)
                    found[ir] = found.get(ir, 0.0) + constant**2 / (2 * degree + 1)
        return found

    @staticmethod
    @abstractmethod
    def _sector(ir: Irrep) -> int:
        """Which matrix, +1 or -1, an irrep is kept in; the product of two sectors is the sector of their product."""

    @staticmethod
    @abstractmethod
    def _written(a: Irrep, b: Irrep, degree: int) -> Irrep:
        """The irrep of this degree in the product of two."""

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        first, second, last = self._sectors
        a = {sector: self._embed(x, "side0", sector, len(first) == 1) for sector in first}
        b = {sector: self._embed(y, "side1", sector, len(second) == 1) for sector in second}
        outputs = []
        for sector in last:
            product = sum(a[s] @ b[t] for s in first for t in second if s * t == sector)
            outputs.append(torch.as_tensor(product).flatten(-2) @ getattr(self, _table("side2", sector)).mT)
        return outputs[0] if len(last) == 1 else torch.cat(outputs, dim=-1).index_select(-1, self.order)

    def _embed(self, x: Tensor, side: str, sector: int, whole: bool) -> Tensor:
        if not whole:
            x = x.index_select(-1, getattr(self, _places(side, sector)))
        return (x @ getattr(self, _table(side, sector))).unflatten(-1, (self.size, self.size))

    def _num_products(self) -> int:
        first, second, last = self._sectors
        return sum(s * t in last for s in first for t in second)

    def flops(self) -> int:
        """Return the operations of the embeddings, the products of matrices and the projections, all dense."""
        dims = self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim
        products = self._num_products()
        sums = (products - len(self._sectors[2])) * self.size**2
        return 2 * self.size**2 * (dims + self.size * products) + sums

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and every matrix twice."""
        matrices = sum(map(len, self._sectors[:2])) + self._num_products()
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 2 * matrices * self.size**2


def _table(side: str, sector: int) -> str:
    return f"{side}_{'plus' if sector > 0 else 'minus'}"


def _places(side: str, sector: int) -> str:
    return f"{_table(side, sector)}_places"


@final
class MatrixProduct(_MatrixProduct):
    """The plain matrix product: SO(3) only, for it writes even and odd couplings into the same entries.

    Parities of the inputs play no part, and the outputs have natural parity in name: under a reflection they do not
    follow it. All triangle triples are coupled but for zeros of the 6j symbol. With l1 + l2 <= 2 l~, as by default,
    the only ones up to l~ = 10 are (3, 5, 6) in any order for l~ = 6; smaller matrices have a few more.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each.
        irreps_out: what to write, of natural parity; None writes everything up to the sum of the largest degrees.
        matrix_degree: l~; None takes the smallest whose matrices hold every product, ceil((l1 max + l2 max) / 2).
        normalization: ``none`` is the plain product of matrices in the orthonormal basis; ``component`` divides every
            output by the spread that independent standard normal inputs give it.

    Raises:
        RepresentationError: if an output cannot be written, a degree does not fit the matrices, or the normalization
            is unknown.

    Example:
        >>> MatrixProduct("1o", "1o").irreps_out
        Irreps('1x0e + 1x1o + 1x2e')
    """

    name: ClassVar[str] = "matrix"
    group_name: ClassVar[Literal["O(3)", "SO(3)"]] = "SO(3)"

    @staticmethod
    def _sector(ir: Irrep) -> int:
        return 1

    @staticmethod
    def _written(a: Irrep, b: Irrep, degree: int) -> Irrep:
        return Irrep(degree, (-1) ** degree)


@final
class ParityMatrixProduct(_MatrixProduct):
    """The matrix product with parities: even and odd features in matrices of their own, multiplied each with each.

    With X+ and X- the matrices of the irreps of parity +1 and -1, outputs of parity +1 are read from ``X+ Y+ + X- Y-``
    and those of parity -1 from ``X+ Y- + X- Y+``: four products at most, and the law of O(3) holds.

    Args:
        irreps_in1, irreps_in2, irreps_out, matrix_degree, normalization: as for `MatrixProduct`, with any parities.

    Raises:
        RepresentationError: as `MatrixProduct`.

    Example:
        >>> ParityMatrixProduct("1o", "1o").irreps_out
        Irreps('1x0e + 1x1e + 1x2e')
    """

    name: ClassVar[str] = "matrix_parity"

    @staticmethod
    def _sector(ir: Irrep) -> int:
        return ir.p

    @staticmethod
    def _written(a: Irrep, b: Irrep, degree: int) -> Irrep:
        return Irrep(degree, a.p * b.p)
