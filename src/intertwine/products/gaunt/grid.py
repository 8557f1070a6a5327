"""The Gaunt product: multiplication of functions on the sphere, z = <Y, f_x f_y>, as a tensor and on a grid.

Coupling K(l1, l2, l3) C, and none where l1 + l2 + l3 is odd: no cross product. It is commutative, and associative as
long as no degree is cut off in between; cutting the result is exact. On a grid it is three matrix products.
(Luo, Chen, Krishnapriyan, ICLR 2024; the grid: Xie et al., "The Price of Freedom", ICML 2025.)
"""

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.grid_evaluation import GridProduct, fused_product
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.products.gaunt.sphere_product import SphereProduct
from intertwine.representations import wigner_3j

__all__ = ["GauntDense", "GauntGrid", "GauntProduct"]


class GauntProduct(SphereProduct):
    """The contract of all ways to compute a Gaunt product; they differ in rounding and price only."""

    @staticmethod
    def constant(l1: int, l2: int, l3: int) -> float:
        """Return K(l1, l2, l3), zero for odd sums."""
        return gaunt_constant(l1, l2, l3)

    @staticmethod
    def _advice() -> str:
        return (
            "couplings with l1 + l2 + l3 odd are not in a Gaunt product: use gaunt_curl for those, or gaunt_complete, "
            "matrix_parity or clebsch_gordan_dense for all"
        )


@final
class GauntDense(GauntProduct):
    """The Gaunt product by its full tensor of coefficients: the oracle of the fast ways.

    Args:
        irreps_in1, irreps_in2, irreps_out, normalization: as for `GauntGrid`.

    Example:
        >>> GauntDense("1o", "1o").irreps_out
        Irreps('1x0e + 1x2e')
    """

    name: ClassVar[str] = "gaunt_dense"
    coefficients: Tensor

    def _add_tables(self) -> None:
        dims = (self.irreps_in1.dim, self.irreps_in2.dim, self.irreps_out.dim)
        table = torch.zeros(*dims, dtype=torch.float64)
        places = (self.irreps_in1.slices(), self.irreps_in2.slices(), self.irreps_out.slices())
        for i, a in zip(places[0], self.irreps_in1.irreps, strict=True):
            for j, b in zip(places[1], self.irreps_in2.irreps, strict=True):
                for k, c, scale in zip(places[2], self.irreps_out.irreps, self._scales, strict=True):
                    constant = self.constant(a.l, b.l, c.l)
                    if constant > 0:
                        table[i, j, k] = scale * constant * wigner_3j(a.l, b.l, c.l, dtype=torch.float64)
        self.add_table("coefficients", table)

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        outer = x.unsqueeze(-1) * y.unsqueeze(-2)
        return outer.flatten(-2) @ self.coefficients.flatten(0, 1)

    def flops(self) -> int:
        """Return the operations of the outer product and of one matrix product with the full tensor."""
        return self.irreps_in1.dim * self.irreps_in2.dim * (1 + 2 * self.irreps_out.dim)

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and the outer product twice."""
        dims = (self.irreps_in1.dim, self.irreps_in2.dim, self.irreps_out.dim)
        return sum(dims) + 2 * dims[0] * dims[1]


@final
class GauntGrid(GridProduct, GauntProduct):
    """The Gaunt product on the smallest exact grid: values of both functions, their product, its projection.

    The grid integrates degree l1 + l2 + l3 of the largest degrees, so it is smaller where the output is cut. A fused
    kernel computes it where one runs; costs are those of the matrix products. On a GPU these are full float32: TF32,
    which torch uses only when it is told to, keeps about three digits of the law of transformation.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each, of parity p (-1)^l with one p an input.
        irreps_out: what to write; None writes everything, up to the sum of the largest degrees.
        normalization: ``integral`` is the plain projection; ``component`` divides every output by the spread that
            independent standard normal inputs give it.

    Raises:
        RepresentationError: if parities are mixed, an output cannot be written, or the normalization is unknown.

    Example:
        >>> GauntGrid("0e + 1o", "0e + 1o").points
        15
    """

    name: ClassVar[str] = "gaunt_grid"
    to_grid1: Tensor
    to_grid2: Tensor
    from_grid: Tensor

    def _add_tables(self) -> None:
        grid = SphereGrid(self.degree)
        self.points = len(grid)
        for name, irreps in (("to_grid1", self.irreps_in1), ("to_grid2", self.irreps_in2)):
            self.add_table(name, self._columns(grid.values(irreps.lmax), irreps))
        out = self.irreps_out
        self.add_table("from_grid", self._columns(grid.project(out.lmax), out, self._scales))

    def _by_matrices(self, x: Tensor, y: Tensor) -> Tensor:
        return ((x @ self.to_grid1.mT) * (y @ self.to_grid2.mT)) @ self.from_grid

    def channels_last(
        self, x: Float[Tensor, "*batch dim1 channels"], y: Float[Tensor, "*batch dim2 channels"]
    ) -> Float[Tensor, "*batch dim channels"]:
        """Return the product channel by channel, of features with components before channels (layout ``ir_mul``)."""
        return fused_product(x, y, self.to_grid1, self.to_grid2, self.from_grid)

    def flops(self) -> int:
        """Return the operations of three matrix products and one product of values."""
        return self.points * (2 * (self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim) + 1)

    def traffic(self) -> int:
        """Return the numbers read and written: inputs, output, and the values of both functions and product twice."""
        return self.irreps_in1.dim + self.irreps_in2.dim + self.irreps_out.dim + 6 * self.points
