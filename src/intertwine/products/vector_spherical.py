"""Products of vector fields on the sphere: cross product, dot product, and scalar times vector, on a grid.

A feature of degree j is the coefficient of a vector harmonic, in one of the slots l = j - 1, j and j + 1. Its parity is
p (-1)^l, with p = -1 for a field of polar and +1 for one of axial vectors: so parity and slot of an irrep say which
field it is part of. The grid is exact. Constants of the couplings: `wigner_symbols.vector_constant`.
(Xie et al., "The Price of Freedom", 2.2; Xie et al. 2026, arXiv 2602.21466.)
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.products.product import Product
from intertwine.products.vector_harmonics import slots_of, vector_harmonics
from intertwine.products.wigner_symbols import vector_constant
from intertwine.representations import Irrep, Irreps

__all__ = ["ScalarVectorProduct", "VectorDotProduct", "VectorSphericalProduct"]

Slot = tuple[Irrep, int]
"""An irrep of degree j and parity p, and the degree l of the scalar harmonics that its vector harmonics are made of."""


class _FieldProduct(Product):
    """What the products share: every entry fills slots of fields, fields meet point by point, slots are read again."""

    spins: ClassVar[tuple[int, int, int]]
    """Spins of the two inputs and of the output: 1 for vector fields, 0 for scalar ones."""
    shares: ClassVar[tuple[tuple[int, int, int], ...]]
    """For both inputs and the output, how much of an irrep its slots j - 1, j, j + 1 get (degree 0: its one slot)."""

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        slots1: Sequence[int] | None = None,
        slots2: Sequence[int] | None = None,
        slots_out: Sequence[int] | None = None,
        normalization: Literal["integral", "component"] = "integral",
    ) -> None:
        if normalization not in ("integral", "component"):
            raise RepresentationError(
                f"the product `{self.name}` has no such normalization",
                got=normalization,
                expected="integral or component",
            )
        a, b = Irreps(irreps_in1), Irreps(irreps_in2)
        first, second = self._fill(a, slots1, 0), self._fill(b, slots2, 1)
        writable = self._writable(first, second)
        if irreps_out is None:
            apart = slots1 is not None and slots2 is not None
            found = writable if apart else list(dict.fromkeys((ir, None) for ir, _ in writable))
            irreps_out = Irreps([(1, ir) for ir, _ in found])
            slots_out = [slot for _, slot in writable] if apart else slots_out
        out = Irreps(irreps_out)
        third = [[slot for slot in slots if slot in writable] for slots in self._fill(out, slots_out, 2)]
        nothing = not writable or not len(out)
        missing = [str(ir) for ir, slots in zip(out.irreps, third, strict=True) if not slots]
        if missing or nothing:
            raise RepresentationError(
                f"the product `{self.name}` cannot write {', '.join(missing) or 'anything'}",
                got={"in1": a, "in2": b, "out": out},
                expected="out within " + (", ".join(f"{ir} (slot {slot})" for ir, slot in writable) or "nothing"),
                code="E203",
            )
        super().__init__(a, b, out)
        self.slots = tuple(tuple(tuple(slot for _, slot in row) for row in side) for side in (first, second, third))
        """For both inputs and the output, the slots that each entry fills."""
        self.degree = sum(max(slot for row in side for slot in row) for side in self.slots)
        """The largest degree that is integrated on the grid."""
        grid = SphereGrid(self.degree)
        self.points = len(grid.points)
        lmax = max(slot for side in self.slots for row in side for slot in row)
        values, weighted = grid.values(lmax), grid.project(lmax)
        self._parities = [
            self._add_side(number, side, weighted if number == 2 else values)
            for number, side in enumerate((first, second, third))
        ]
        self.normalization = normalization
        if normalization == "component":
            variances = self.dense().square().sum((0, 1))
            for parity in self._parities[2]:
                name = _table(2, parity)
                self.add_table(name, self._exact_tables[name] * variances.rsqrt())

    def _share(self, ir: Irrep, slot: int, side: int) -> int:
        return self.shares[side][slot - ir.l + 1] if ir.l else 1

    def _fill(self, irreps: Irreps, slots: Sequence[int] | None, side: int) -> list[list[Slot]]:
        """The slots of every entry: those given, one each, else all that its degree has."""
        spin = self.spins[side]
        if slots is None:
            return [
                [(ir, slot) for slot in slots_of(ir.l, spin) if self._share(ir, slot, side)] for ir in irreps.irreps
            ]
        wrong = len(slots) != len(irreps) or any(
            slot not in slots_of(ir.l, spin) for ir, slot in zip(irreps.irreps, slots, strict=False)
        )
        if wrong:
            raise RepresentationError(
                f"slots of the product `{self.name}` do not fit its irreps",
                got={"irreps": irreps, "slots": tuple(slots)},
                expected="for every entry of degree j one of "
                + ("j" if spin == 0 else "j - 1, j, j + 1 (of degree 0: 1)"),
            )
        return [[(ir, slot)] for ir, slot in zip(irreps.irreps, slots, strict=True)]

    def _writable(self, first: list[list[Slot]], second: list[list[Slot]]) -> list[Slot]:
        """Every slot of the output that some pair of slots couples to, by degree, slot, natural parity first."""
        pairs = [(a, b) for row in first for a in row for other in second for b in other]
        jmax = max(ir.l for row in first for ir, _ in row) + max(ir.l for row in second for ir, _ in row)
        slots = [(j, slot) for j in range(jmax + 1) for slot in slots_of(j, self.spins[2])]
        found = [(Irrep(j, parity * (-1) ** j), slot) for j, slot in slots for parity in (1, -1)]
        return [target for target in found if any(self._couples(a, b, target) for a, b in pairs)]

    def _couples(self, a: Slot, b: Slot, c: Slot) -> bool:
        """Whether three slots couple: parities first, for the symbols take longest."""
        (ir1, l1), (ir2, l2), (ir3, l3) = a, b, c
        if ir3.p != ir1.p * ir2.p or (l1 + l2 + l3) % 2 or not abs(ir1.l - ir2.l) <= ir3.l <= ir1.l + ir2.l:
            return False
        return vector_constant((ir1.l, l1), (ir2.l, l2), (ir3.l, l3), self.spins) > 1e-12

    def _add_side(self, side: int, rows: list[list[Slot]], values: Tensor) -> list[int]:
        """Register one table for each parity of the values that a field of this side has."""
        axes, points = 2 * self.spins[side] + 1, len(values)
        dims = [row[0][0].dim for row in rows]
        tables: dict[int, Tensor] = {}
        start = 0
        for row, dim in zip(rows, dims, strict=True):
            for ir, slot in row:
                parity = ir.p * (-1) ** slot
                table = tables.setdefault(parity, values.new_zeros(points, axes, sum(dims)))
                scalar = values[:, slot**2 : (slot + 1) ** 2]
                share = 1.0 if len(row) == 1 else self._share(ir, slot, side) * len(row) ** -0.5
                table[:, :, start : start + dim] += share * vector_harmonics(ir.l, slot, scalar, self.spins[side])
            start += dim
        for parity, table in tables.items():
            flat = table.transpose(0, 1).flatten(0, 1).contiguous()  # (axis and point, component)
            self.add_table(_table(side, parity), flat if side == 2 else flat.mT.contiguous())
        return sorted(tables)

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        first = {p: self._field(x, 0, p) for p in self._parities[0]}
        second = {p: self._field(y, 1, p) for p in self._parities[1]}
        total = None
        for parity in self._parities[2]:
            meetings = [self._meet(u, v) for p, u in first.items() for q, v in second.items() if p * q == parity]
            values = meetings[0] if len(meetings) == 1 else meetings[0] + meetings[1]
            part = values.flatten(-2) @ getattr(self, _table(2, parity))
            total = part if total is None else total + part
        return torch.as_tensor(total)

    def _field(self, x: Tensor, side: int, parity: int) -> Tensor:
        return (x @ getattr(self, _table(side, parity))).unflatten(-1, (2 * self.spins[side] + 1, self.points))

    @staticmethod
    @abstractmethod
    def _meet(
        u: Float[Tensor, "*batch axes1 points"], v: Float[Tensor, "*batch axes2 points"]
    ) -> Float[Tensor, "*batch axes points"]:
        """Return the product of the values at every point."""

    def _counts(self) -> tuple[int, int]:
        """Numbers of the steps through tables, in numbers of the tables, and of the meetings of two fields."""
        dims = (self.irreps_in1.dim, self.irreps_in2.dim, self.irreps_out.dim)
        tables = sum(
            dim * (2 * spin + 1) * len(parities)
            for dim, spin, parities in zip(dims, self.spins, self._parities, strict=True)
        )
        first, second, third = self._parities
        return tables * self.points, sum(p * q in third for p in first for q in second)

    def flops(self) -> int:
        """Return the operations of the fields, of their products point by point, and of the projections, all dense."""
        tables, meetings = self._counts()
        each = {(1, 1, 1): 9, (1, 1, 0): 5, (0, 1, 1): 3}[self.spins]
        sums = (meetings - len(self._parities[2])) * (2 * self.spins[2] + 1)
        return 2 * tables + (meetings * each + sums) * self.points + (len(self._parities[2]) - 1) * self.irreps_out.dim

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and the values of every field twice."""
        numbers = [(2 * spin + 1) * len(parities) for spin, parities in zip(self.spins, self._parities, strict=True)]
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 2 * sum(numbers) * self.points


def _table(side: int, parity: int) -> str:
    return f"{('field1', 'field2', 'project')[side]}_{'axial' if parity > 0 else 'polar'}"


@final
class VectorSphericalProduct(_FieldProduct):
    """The cross product of vector fields on the sphere: couples every triangle triple, even or odd, but (0, 0, 0).

    Without slots, an irrep fills the slots j - 1, j and j + 1 with the shares (1, 1, -1) in the first input and
    (1, 0, -1) in the second, and is read with (1, 1, 1), each divided by its length. The triple product changes its
    sign when two of the three change places, so that equal shares would lose what is symmetric in two of them; with
    these, single irreps meet in all ways (tested up to degree 6). With slots, each entry is one coefficient of one
    field, the product is antisymmetric, and linear maps between irreps and slots are left to the caller. Polar and
    axial fields are told apart by parity and slot, so that the law of O(3) holds for irreps of any parity. Scalar times
    scalar is zero: radial fields are parallel.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each.
        irreps_out: what to write; None writes all irreps, or with slots all slots, up to the sum of the degrees.
        slots1, slots2, slots_out: the slot l of every entry, as from `vector_signal`.
        normalization: ``integral`` is the plain projection; ``component`` divides every output by the spread that
            independent standard normal inputs give it.

    Raises:
        RepresentationError: if an output cannot be written, slots do not fit, or the normalization is unknown.

    Example:
        >>> from intertwine.products.vector_harmonics import vector_signal
        >>> irreps, slots = vector_signal(1)
        >>> VectorSphericalProduct(irreps, irreps, "1e", slots1=slots, slots2=slots, slots_out=[0]).irreps_out
        Irreps('1x1e')
    """

    name: ClassVar[str] = "vector_spherical"
    spins: ClassVar[tuple[int, int, int]] = (1, 1, 1)
    shares: ClassVar[tuple[tuple[int, int, int], ...]] = ((1, 1, -1), (1, 0, -1), (1, 1, 1))

    @staticmethod
    def _meet(u: Tensor, v: Tensor) -> Tensor:
        u, v = torch.broadcast_tensors(u, v)
        return torch.linalg.cross(u, v, dim=-2)


@final
class VectorDotProduct(_FieldProduct):
    """The dot product of two vector fields on the sphere, a scalar field.

    Args:
        irreps_in1, irreps_in2, irreps_out, slots1, slots2, normalization: as for `VectorSphericalProduct`; a scalar
            field has one slot a degree, l = j.
        slots_out: degrees of the outputs, if anything.

    Raises:
        RepresentationError: as `VectorSphericalProduct`.
    """

    name: ClassVar[str] = "vector_dot"
    spins: ClassVar[tuple[int, int, int]] = (1, 1, 0)
    shares: ClassVar[tuple[tuple[int, int, int], ...]] = ((1, 1, -1), (1, 0, -1), (0, 1, 0))

    @staticmethod
    def _meet(u: Tensor, v: Tensor) -> Tensor:
        return (u * v).sum(-2, keepdim=True)


@final
class ScalarVectorProduct(_FieldProduct):
    """A scalar field times a vector field on the sphere.

    Args:
        irreps_in1, irreps_in2, irreps_out, slots2, slots_out, normalization: as for `VectorSphericalProduct`; the
            first input is the scalar field.
        slots1: degrees of the first input, if anything.

    Raises:
        RepresentationError: as `VectorSphericalProduct`.
    """

    name: ClassVar[str] = "scalar_vector"
    spins: ClassVar[tuple[int, int, int]] = (0, 1, 1)
    shares: ClassVar[tuple[tuple[int, int, int], ...]] = ((0, 1, 0), (1, 0, 0), (1, 1, 1))

    @staticmethod
    def _meet(u: Tensor, v: Tensor) -> Tensor:
        return u * v
