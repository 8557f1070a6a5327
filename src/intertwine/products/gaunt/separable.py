"""The Gaunt product on the sphere grid, one angle after the other: a Legendre step for each order m, then alpha.

The same grid and the same numbers as the matrix products of `gaunt`, with O(L^3) instead of O(L^4) operations.
"""

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.products.gaunt.grid import GauntProduct
from intertwine.products.gaunt.order_sorting import OrderSorting
from intertwine.products.gaunt.sphere_grid import SphereGrid

__all__ = ["GauntGridSeparable"]


@final
class GauntGridSeparable(GauntProduct):
    """The Gaunt product on the smallest exact grid, transformed in beta and in alpha apart.

    Args:
        irreps_in1: irreps of the first input, multiplicity 1 each, of parity p (-1)^l with one p.
        irreps_in2: irreps of the second input, likewise.
        irreps_out: what to write; None writes everything, up to the sum of the largest degrees.
        normalization: ``integral`` or ``component``, as for `GauntGrid`.

    Raises:
        RepresentationError: if parities are mixed, an output cannot be written, or the normalization is unknown.

    Example:
        >>> GauntGridSeparable("0e + 1o", "0e + 1o").flops()
        447
    """

    name: ClassVar[str] = "gaunt_grid_separable"
    alpha2: Tensor

    def _add_tables(self) -> None:
        grid = SphereGrid(self.degree)
        self.grid_shape = (grid.num_rings, grid.num_angles)
        sides = (self.irreps_in1, self.irreps_in2, self.irreps_out)
        sortings = [OrderSorting(irreps) for irreps in sides]
        ring_weights = grid.ring_weights * (2 * torch.pi / grid.num_angles)
        for number, (irreps, sorting) in enumerate(zip(sides, sortings, strict=True)):
            back = number == 2
            legendre, azimuth = grid.legendre(irreps.lmax), grid.azimuth(irreps.lmax)
            scale = self._scales if back else [1.0] * len(irreps)
            for m, degrees in enumerate(sorting.degrees):
                table = legendre[m, degrees]
                if back:
                    kept = [s for s, ir in zip(scale, irreps.irreps, strict=True) if ir.l >= m]
                    table = table * torch.tensor(kept, dtype=table.dtype)[:, None] * ring_weights
                self.add_table(f"beta{number}_{m}", table.mT.contiguous() if back else table)
            columns = azimuth[:, [m + irreps.lmax for m in sorting.signed_orders]]
            self.add_table(f"alpha{number}", columns if back else columns.mT.contiguous())
        self.sorting_in1, self.sorting_in2, self.sorting_out = sortings  # after the tables: a buffer of floats is first

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        values = self._values(x, self.sorting_in1, 0) * self._values(y, self.sorting_in2, 1)
        rows = self.sorting_out.split_rows((values @ self.alpha2).mT)
        return self.sorting_out.join([part @ getattr(self, f"beta2_{m}") for m, part in enumerate(rows)])

    def _values(self, x: Tensor, sorting: OrderSorting, side: int) -> Float[Tensor, "*batch rings angles"]:
        parts = [part @ getattr(self, f"beta{side}_{m}") for m, part in enumerate(sorting.split(x))]
        return torch.cat(parts, dim=-2).mT @ getattr(self, f"alpha{side}")

    def flops(self) -> int:
        """Return the operations of the Legendre steps and the transforms in alpha of all sides, and of the values."""
        rings, angles = self.grid_shape
        sides = (self.irreps_in1, self.irreps_in2, self.irreps_out)
        steps = sum(2 * rings * irreps.dim + 2 * rings * angles * (2 * irreps.lmax + 1) for irreps in sides)
        return steps + rings * angles

    def traffic(self) -> int:
        """Return the numbers read and written: inputs and output, sorted, rings and values of each twice."""
        rings, angles = self.grid_shape
        sides = (self.irreps_in1, self.irreps_in2, self.irreps_out)
        rows = sum(3 * irreps.dim + 2 * rings * (2 * irreps.lmax + 1) for irreps in sides)
        return rows + 6 * rings * angles
