"""The couplings that a Gaunt product lacks: z = <Y, r . (grad f_x x grad f_y)>, with the gradients along the sphere.

Coupling c(l1, l2, l3) C for odd l1 + l2 + l3, none for even ones; the cross product of two vectors is the simplest. The
normal r turns polar into axial: natural irreps give unnatural ones. Together with the Gaunt product every coupling of
two features is there. (Bochkarev et al. 2026, arXiv 2605.15073; Xie et al., "The Price of Freedom", ICML 2025.)
"""

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.products.gaunt.coupling_constants import curl_constant, gaunt_constant
from intertwine.products.gaunt.grid_evaluation import GridProduct, fused_product
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.representations import Irreps

__all__ = ["GauntComplete", "GauntCurl"]


@final
class GauntCurl(GridProduct):
    """The odd couplings, on the smallest exact grid: antisymmetric, and zero for a function with itself.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each, of parity p (-1)^l with one p an input.
        irreps_out: what to write, of parity -p1 p2 (-1)^l; None writes everything that couples.
        normalization: ``integral`` is the plain projection; ``component`` divides every output by the spread that
            independent standard normal inputs give it.

    Raises:
        RepresentationError: if parities are mixed, an output cannot be written, or the normalization is unknown.

    Example:
        >>> GauntCurl("1o", "1o").irreps_out
        Irreps('1x1e')
    """

    name: ClassVar[str] = "gaunt_curl"
    to_grid1: Tensor
    to_grid2: Tensor
    from_grid: Tensor

    def _add_tables(self) -> None:
        grid = SphereGrid(self.degree)
        self.points = len(grid)
        beta, alpha = grid.gradient(self.irreps_in1.lmax)
        self.add_table("to_grid1", self._columns(torch.cat([beta, alpha]), self.irreps_in1))
        beta, alpha = grid.gradient(self.irreps_in2.lmax)
        self.add_table("to_grid2", self._columns(torch.cat([alpha, beta]), self.irreps_in2))
        # the cross product is one product of values on two copies of the grid, the second of which counts negative
        back = self._columns(grid.project(self.irreps_out.lmax), self.irreps_out, self._scales)
        self.add_table("from_grid", torch.cat([back, -back]))

    @staticmethod
    def constant(l1: int, l2: int, l3: int) -> float:
        """Return c(l1, l2, l3), zero for even sums."""
        return curl_constant(l1, l2, l3)

    @staticmethod
    def _advice() -> str:
        return (
            "gaunt_curl has the couplings with l1 + l2 + l3 odd only: use gaunt_grid for even sums, or gaunt_complete, "
            "matrix_parity or clebsch_gordan_dense for all"
        )

    def _by_matrices(self, x: Tensor, y: Tensor) -> Tensor:
        return _cross(x @ self.to_grid1.mT, y @ self.to_grid2.mT) @ self.from_grid[: self.points]

    def channels_last(
        self, x: Float[Tensor, "*batch dim1 channels"], y: Float[Tensor, "*batch dim2 channels"]
    ) -> Float[Tensor, "*batch dim channels"]:
        """Return the product channel by channel, of features with components before channels (layout ``ir_mul``)."""
        return fused_product(x, y, self.to_grid1, self.to_grid2, self.from_grid)

    def flops(self) -> int:
        """Return the operations of two gradients, of their cross product, and of the projection."""
        return self.points * (2 * (2 * self.irreps_in1.dim + 2 * self.irreps_in2.dim + self.irreps_out.dim) + 3)

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and the gradients and their product twice."""
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 10 * self.points


@final
class GauntComplete(GridProduct):
    """The Gaunt product and its curl side by side: every coupling, each output irrep from the one that writes it.

    Outputs of parity p1 p2 (-1)^l come from the product of values, the others from that of gradients; one grid and one
    table of harmonics serve both. Strengths are tied as in both products; weights of layers multiply them.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each, of parity p (-1)^l with one p an input.
        irreps_out: what to write; None writes everything, both parities of most degrees.
        normalization: as for `GauntCurl`.

    Raises:
        RepresentationError: if parities are mixed, an output cannot be written, or the normalization is unknown.

    Example:
        >>> GauntComplete("1o", "1o").irreps_out
        Irreps('1x0e + 1x1e + 1x2e')
    """

    name: ClassVar[str] = "gaunt_complete"
    values1: Tensor
    values2: Tensor
    slopes1: Tensor
    slopes2: Tensor
    from_even: Tensor
    from_odd: Tensor
    order: Tensor

    def _add_tables(self) -> None:
        grid = SphereGrid(self.degree)
        self.points = len(grid)
        parity = self.value_parities[0] * self.value_parities[1]
        out = self.irreps_out
        entries = {
            "even": [i for i, ir in enumerate(out.irreps) if ir.p == parity * (-1) ** ir.l],
            "odd": [i for i, ir in enumerate(out.irreps) if ir.p != parity * (-1) ** ir.l],
        }
        self._kinds = tuple(kind for kind, places in entries.items() if places)
        if entries["even"]:
            self.add_table("values1", self._columns(grid.values(self.irreps_in1.lmax), self.irreps_in1))
            self.add_table("values2", self._columns(grid.values(self.irreps_in2.lmax), self.irreps_in2))
        if entries["odd"]:
            beta, alpha = grid.gradient(self.irreps_in1.lmax)
            self.add_table("slopes1", self._columns(torch.cat([beta, alpha]), self.irreps_in1))
            beta, alpha = grid.gradient(self.irreps_in2.lmax)
            self.add_table("slopes2", self._columns(torch.cat([alpha, beta]), self.irreps_in2))
        written = []
        for kind in self._kinds:
            part, scales = Irreps([out[i] for i in entries[kind]]), [self._scales[i] for i in entries[kind]]
            back = self._columns(grid.project(out.lmax), part, scales)
            self.add_table(f"from_{kind}", back if kind == "even" else torch.cat([back, -back]))
            written += [n for i in entries[kind] for n in range(out.slices()[i].start, out.slices()[i].stop)]
        # even couplings are written before odd ones; this puts them in the order of the irreps
        self.register_buffer("order", torch.tensor(written).argsort(), persistent=False)

    @staticmethod
    def constant(l1: int, l2: int, l3: int) -> float:
        """Return K(l1, l2, l3) for even and c(l1, l2, l3) for odd sums."""
        return gaunt_constant(l1, l2, l3) + curl_constant(l1, l2, l3)

    @staticmethod
    def _advice() -> str:
        return "every coupling is here: ask for degrees and parities within those of the tensor product"

    def _by_matrices(self, x: Tensor, y: Tensor) -> Tensor:
        parts = []
        if "even" in self._kinds:
            parts.append(((x @ self.values1.mT) * (y @ self.values2.mT)) @ self.from_even)
        if "odd" in self._kinds:
            cross = _cross(x @ self.slopes1.mT, y @ self.slopes2.mT)
            parts.append(cross @ self.from_odd[: self.points])
        return self._sorted(parts, -1)

    def channels_last(
        self, x: Float[Tensor, "*batch dim1 channels"], y: Float[Tensor, "*batch dim2 channels"]
    ) -> Float[Tensor, "*batch dim channels"]:
        """Return the product channel by channel, of features with components before channels (layout ``ir_mul``)."""
        parts = []
        if "even" in self._kinds:
            parts.append(fused_product(x, y, self.values1, self.values2, self.from_even))
        if "odd" in self._kinds:
            parts.append(fused_product(x, y, self.slopes1, self.slopes2, self.from_odd))
        return self._sorted(parts, -2)

    def _sorted(self, parts: list[Tensor], axis: int) -> Tensor:
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=axis).index_select(axis, self.order)

    def _tables(self) -> int:
        """How many fields an input is read as: its values, its gradient, or all three."""
        return ("even" in self._kinds) + 2 * ("odd" in self._kinds)

    def flops(self) -> int:
        """Return the operations of the fields of both inputs, of their products, and of the projections."""
        dims = self._tables() * (self.irreps_in1.dim + self.irreps_in2.dim) + self.irreps_out.dim
        return self.points * (2 * dims + ("even" in self._kinds) + 3 * ("odd" in self._kinds))

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output twice where it is sorted, fields and products twice."""
        fields = 2 * self._tables() + len(self._kinds)
        sorting = 2 * self.irreps_out.dim if len(self._kinds) == 2 else 0
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + sorting + 2 * fields * self.points


def _cross(u: Float[Tensor, "*batch twice"], v: Float[Tensor, "*batch twice"]) -> Float[Tensor, "*batch points"]:
    """r . (u x v) of tangent vectors, u given along beta and then alpha, v along alpha and then beta."""
    (u_beta, u_alpha), (v_alpha, v_beta) = u.chunk(2, dim=-1), v.chunk(2, dim=-1)
    return u_beta * v_alpha - u_alpha * v_beta
