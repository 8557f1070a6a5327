"""The Clebsch-Gordan product as one fixed bilinear map: every path writes an entry of its own, so nothing is lost.

z^(l1, l2, l3) = n C(x_l1, y_l2), C the coupling tensor of Frobenius norm 1 and n the factor of the normalization:
sqrt(2 l3 + 1) for ``component``, sqrt((2 l1 + 1) (2 l2 + 1)) for ``norm``, 1 for ``none``. It is the whole tensor
product of the two inputs, which all other products are measured against. Two ways to compute it: dense (one matrix
product a pair of inputs) and sparse (the non-zero coefficients alone). (Xie et al., "The Price of Freedom", 2.2.)
"""

from abc import abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.products.product import Interaction, Product
from intertwine.representations import Irrep, Irreps, wigner_3j

__all__ = ["ClebschGordanDense", "ClebschGordanSparse", "Normalization"]

Normalization = Literal["component", "norm", "none"]


@dataclass(frozen=True)
class _Pair:
    """Two entries of the inputs with all irreps that are kept of their product, and where these are written."""

    in1: int
    in2: int
    ir1: Irrep
    ir2: Irrep
    kept: tuple[Irrep, ...]
    first_out: int

    @property
    def dim(self) -> int:
        return sum(ir.dim for ir in self.kept)


class _ClebschGordan(Product):
    """What both ways share: the paths in the order (in1, in2, degree of the output), and their constants.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each, any parities.
        irreps_out: keep only paths that write one of these irreps; None keeps all. `irreps_out` of the product then
            holds one entry a path, in the order of the paths.
        normalization: ``component``, ``norm`` or ``none``.

    Raises:
        RepresentationError: if no path is left, or the normalization is unknown.
    """

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        normalization: Normalization = "component",
    ) -> None:
        if normalization not in ("component", "norm", "none"):
            raise RepresentationError(
                f"the product `{self.name}` has no such normalization",
                got=normalization,
                expected="component, norm or none",
            )
        pairs = _pairs(Irreps(irreps_in1), Irreps(irreps_in2), None if irreps_out is None else Irreps(irreps_out))
        if not pairs:
            raise RepresentationError(
                "no path writes any of the irreps of the output",
                got={"in1": irreps_in1, "in2": irreps_in2, "out": irreps_out},
                expected=f"out within {Irreps(irreps_in1).tensor_product(irreps_in2)}",
                fix="ask for one of those irreps, or leave `irreps_out` out",
                code="E203",
            )
        super().__init__(irreps_in1, irreps_in2, Irreps([ir for pair in pairs for ir in pair.kept]))
        self.normalization = normalization
        self._pairs = pairs
        places1, places2 = self.irreps_in1.slices(), self.irreps_in2.slices()
        self._places = [(places1[pair.in1], places2[pair.in2]) for pair in pairs]

    @property
    def paths(self) -> list[tuple[int, int, int]]:
        """The places (in1, in2, out) of the entries that each path joins, one path an entry of the output."""
        return [(p.in1, p.in2, p.first_out + k) for p in self._pairs for k in range(len(p.kept))]

    def interactions(self, threshold: float = 1e-10) -> list[Interaction]:
        """Return the paths with their constants, which are known without projecting."""
        return [
            Interaction(p.in1, p.in2, p.first_out + k, p.ir1, p.ir2, ir, self._factor(p, ir))
            for p in self._pairs
            for k, ir in enumerate(p.kept)
            if self._factor(p, ir) > threshold
        ]

    @property
    def nnz(self) -> int:
        """The number of coefficients that do not vanish, over all paths."""
        return sum(int(self._table(pair).count_nonzero()) for pair in self._pairs)

    @abstractmethod
    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return all paths, one after the other; leading axes of ``x`` and ``y`` broadcast."""

    def _factor(self, pair: _Pair, ir: Irrep) -> float:
        return sqrt({"component": ir.dim, "norm": pair.ir1.dim * pair.ir2.dim, "none": 1}[self.normalization])

    def _table(self, pair: _Pair) -> Tensor:
        """The coefficients of all paths of a pair side by side, (2 l1 + 1, 2 l2 + 1, dim of the pair), in float64."""
        return torch.cat(
            [self._factor(pair, ir) * wigner_3j(pair.ir1.l, pair.ir2.l, ir.l, dtype=torch.float64) for ir in pair.kept],
            dim=-1,
        )

    def _joining(self) -> int:
        """The numbers that joining the blocks of the pairs reads and writes again."""
        return 2 * self.irreps_out.dim if len(self._pairs) > 1 else 0


class ClebschGordanDense(_ClebschGordan):
    """All paths with full coupling tensors: one outer product a pair, reused by all its paths in one matrix product.

    Takes the arguments of every Clebsch-Gordan product: irreps of the inputs (any parities), the irreps to keep of the
    output (None for all), and ``normalization`` (``component``, ``norm`` or ``none``). Commutes with O(3).

    Example:
        >>> product = ClebschGordanDense("0e + 1o", "1o")
        >>> product.irreps_out
        Irreps('1x1o + 1x0e + 1x1e + 1x2e')
    """

    name: ClassVar[str] = "clebsch_gordan_dense"

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        normalization: Normalization = "component",
    ) -> None:
        super().__init__(irreps_in1, irreps_in2, irreps_out, normalization=normalization)
        for index, pair in enumerate(self._pairs):
            self.add_table(f"pair_{index}", self._table(pair).flatten(0, 1))

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return all paths, one after the other; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        blocks = []
        for index, (place1, place2) in enumerate(self._places):
            outer = (x[..., place1].unsqueeze(-1) * y[..., place2].unsqueeze(-2)).flatten(-2)
            blocks.append(outer @ getattr(self, f"pair_{index}"))
        return torch.cat(blocks, -1) if len(blocks) > 1 else blocks[0]

    def flops(self) -> int:
        """Return one multiplication for each entry of the outer products, and the matrix products."""
        return sum(pair.ir1.dim * pair.ir2.dim * (1 + 2 * pair.dim) for pair in self._pairs)

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, outer products twice, output, and its blocks while joined."""
        outer = sum(pair.ir1.dim * pair.ir2.dim for pair in self._pairs)
        return self.irreps_in1.dim + self.irreps_in2.dim + 2 * outer + self.irreps_out.dim + self._joining()


class ClebschGordanSparse(_ClebschGordan):
    """All paths by their non-zero coefficients: lists of (m1, m2, m3, value), gathered, multiplied and added up.

    In the real basis |m2| is ||m1| - |m3|| or |m1| + |m3|, and the number of negative orders is fixed by the parity of
    l1 + l2 + l3, so that a path has at most 4 (2 l1 + 1) (2 l3 + 1) coefficients: O(L^2) of O(L^3).
    Arguments and output are those of `ClebschGordanDense`. Components are the outer axis inside, samples the inner one,
    so that gathering and adding move whole rows.
    """

    name: ClassVar[str] = "clebsch_gordan_sparse"

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        normalization: Normalization = "component",
    ) -> None:
        super().__init__(irreps_in1, irreps_in2, irreps_out, normalization=normalization)
        entries = []
        for index, pair in enumerate(self._pairs):
            table = self._table(pair)
            m1, m2, m3 = table.nonzero(as_tuple=True)
            order = m3.argsort(stable=True)  # each row of the output is finished before the next begins
            m1, m2, m3 = m1[order], m2[order], m3[order]
            self.add_table(f"value_{index}", table[m1, m2, m3].unsqueeze(-1))
            entries.append((m1 + self._places[index][0].start, m2 + self._places[index][1].start, m3))
        for index, places in enumerate(entries):  # after the values: the first buffer tells the module's dtype
            for name, place in zip(("m1", "m2", "m3"), places, strict=True):
                self.register_buffer(f"{name}_{index}", place, persistent=False)

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return all paths, one after the other; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        batch = torch.broadcast_shapes(x.shape[:-1], y.shape[:-1])
        rows1 = x.expand(*batch, x.shape[-1]).reshape(-1, x.shape[-1]).T.contiguous()
        rows2 = y.expand(*batch, y.shape[-1]).reshape(-1, y.shape[-1]).T.contiguous()
        blocks = []
        for index, pair in enumerate(self._pairs):
            left = rows1.index_select(0, getattr(self, f"m1_{index}"))
            right = rows2.index_select(0, getattr(self, f"m2_{index}"))
            terms = left * right * getattr(self, f"value_{index}")
            empty = terms.new_zeros(pair.dim, terms.shape[1])
            blocks.append(empty.index_add(0, getattr(self, f"m3_{index}"), terms))
        return torch.cat(blocks).T.reshape(*batch, self.irreps_out.dim)

    def flops(self) -> int:
        """Return two multiplications and one addition for each coefficient that does not vanish."""
        return 3 * self.nnz

    def traffic(self) -> int:
        """Return the numbers read and written: gathered factors, products and terms twice each, inputs and output."""
        turned = 2 * (self.irreps_in1.dim + self.irreps_in2.dim)
        ends = self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim
        return ends + turned + 2 * 4 * self.nnz + 2 * self.irreps_out.dim + self._joining()


def _pairs(irreps_in1: Irreps, irreps_in2: Irreps, keep: Irreps | None) -> list[_Pair]:
    allowed = None if keep is None else set(keep.irreps)
    pairs, first_out = [], 0
    for i, ir1 in enumerate(irreps_in1.irreps):
        for j, ir2 in enumerate(irreps_in2.irreps):
            kept = tuple(ir for ir in ir1 * ir2 if allowed is None or ir in allowed)
            if kept:
                pairs.append(_Pair(i, j, ir1, ir2, kept, first_out))
                first_out += len(kept)
    return pairs
