"""The contract of an equivariant product: one fixed bilinear map between two feature spaces, under a name.

Every published "tensor product" is such a map. They differ in which couplings (l1, l2) -> l3 they keep, with which
constants, and at what price: so each says its interactions, its operations and its memory traffic, and can be turned
into a dense tensor, the common ground on which all of them are compared. Multiplicity is 1 here: channels are further
leading axes. (Xie, Daigavane, Kotak, Smidt, "The Price of Freedom", ICML 2025.)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import SO, O
from intertwine.representations import Irrep, Irreps, wigner_3j
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = ["Interaction", "Product"]


@dataclass(frozen=True)
class Interaction:
    """One coupling that a product performs: ``z += constant * C(x, y)`` between three entries, C of norm 1.

    Args:
        in1, in2, out: places of the entries in the irreps of the inputs and of the output.
        ir1, ir2, ir_out: their irreps.
        constant: the coupling constant.
    """

    in1: int
    in2: int
    out: int
    ir1: Irrep
    ir2: Irrep
    ir_out: Irrep
    constant: float


class Product(TableModule, ABC):
    """A bilinear map ``z = T(x, y)`` that commutes with O(3), or with SO(3) only where `group_name` says so.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each.
        irreps_out: irreps of the output, multiplicity 1 each.

    Raises:
        RepresentationError: if a multiplicity is not 1.
    """

    name: ClassVar[str]
    """The name in the registry."""
    group_name: ClassVar[Literal["O(3)", "SO(3)"]] = "O(3)"
    """The group that the map commutes with; ``SO(3)`` for maps that mix parities."""

    def __init__(self, irreps_in1: "str | Irreps", irreps_in2: "str | Irreps", irreps_out: "str | Irreps") -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2, self.irreps_out = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
        for irreps in (self.irreps_in1, self.irreps_in2, self.irreps_out):
            if any(mul != 1 for mul, _ in irreps):
                raise RepresentationError(
                    f"the product `{self.name}` takes one copy of each irrep",
                    got=irreps,
                    expected="multiplicity 1 throughout, such as 0e + 1o + 2e",
                    fix="channels are leading axes: give x as (batch, channels, dim)",
                    code="E204",
                )

    @property
    def symmetry(self) -> Symmetry:
        """The group acts on both inputs and on the output by their irreps."""
        return Symmetry(
            O(3) if self.group_name == "O(3)" else SO(3),
            inputs={"x": IrrepsTensor(self.irreps_in1), "y": IrrepsTensor(self.irreps_in2)},
            output=IrrepsTensor(self.irreps_out),
        )

    @abstractmethod
    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """

    @abstractmethod
    def flops(self) -> int:
        """Return the floating point operations of one product of one sample (a multiply-add counts as two)."""

    @abstractmethod
    def traffic(self) -> int:
        """Return the numbers that one sample reads and writes: inputs, output, and every intermediate twice."""

    def bytes(self, dtype: torch.dtype = torch.float32) -> int:
        """Return the memory traffic of one sample in bytes."""
        return self.traffic() * dtype.itemsize

    @torch.no_grad()
    def dense(self) -> Float[Tensor, "dim1 dim2 dim_out"]:
        """Return the map as one float64 tensor, found by multiplying basis vectors: the oracle of all comparisons."""
        table = next((buffer for buffer in self.buffers() if buffer.is_floating_point()), None)
        dtype = torch.float64 if table is None else table.dtype
        self.double()
        a = torch.eye(self.irreps_in1.dim, dtype=torch.float64)
        b = torch.eye(self.irreps_in2.dim, dtype=torch.float64)
        result = self(a[:, None].expand(-1, len(b), -1), b[None].expand(len(a), -1, -1))
        self.to(dtype)
        return result

    def interactions(self, threshold: float = 1e-10) -> list[Interaction]:
        """Return the couplings whose constant does not vanish, found by projecting the dense map on C.

        Args:
            threshold: smallest absolute constant that counts.
        """
        dense = self.dense()
        places = (self.irreps_in1.slices(), self.irreps_in2.slices(), self.irreps_out.slices())
        found = []
        for i, a in enumerate(self.irreps_in1.irreps):
            for j, b in enumerate(self.irreps_in2.irreps):
                for k, c in enumerate(self.irreps_out.irreps):
                    if not abs(a.l - b.l) <= c.l <= a.l + b.l:
                        continue
                    block = dense[places[0][i], places[1][j], places[2][k]]
                    constant = float((block * wigner_3j(a.l, b.l, c.l, dtype=torch.float64)).sum())
                    if abs(constant) > threshold:
                        found.append(Interaction(i, j, k, a, b, c, constant))
        return found

    def check_inputs(self, x: Tensor, y: Tensor) -> None:
        """Raise a ShapeError unless the last axes fit the irreps."""
        if x.shape[-1:] != (self.irreps_in1.dim,) or y.shape[-1:] != (self.irreps_in2.dim,):
            raise ShapeError(
                f"the product `{self.name}` got features that do not fit its irreps",
                got={"x": tuple(x.shape), "y": tuple(y.shape)},
                expected=f"(..., {self.irreps_in1.dim}) for {self.irreps_in1}, "
                f"(..., {self.irreps_in2.dim}) for {self.irreps_in2}",
            )
