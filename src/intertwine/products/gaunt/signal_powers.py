"""Products of many functions on the sphere with one another, projected at every order: on the grid, or as series.

Given the coefficients of f_1, ..., f_n, both return the projections of f_1 f_2, ..., f_1 ... f_n; given one function,
those of its powers. Nothing is cut off in between: every projection is exact. Features are (atom, component, channel).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.products.gaunt.fourier_series import FromFourier, ToFourier, convolve_fft
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.representations import Irreps
from intertwine.representations.tables import TableModule

__all__ = ["FourierPowers", "GridPowers"]

Signals = Sequence[Float[Tensor, "atoms dim channels"]]


class GridPowers(TableModule):
    """Products of values on the grid that is exact for the largest order.

    Args:
        irreps_in: irreps of the functions, one channel, of parity (-1)^l or the opposite throughout.
        irreps_out: irreps to project on, one channel.
        order: the largest number of factors, at least 2.
    """

    to_grid: Tensor
    from_grid: Tensor

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, order: int) -> None:
        super().__init__()
        grid = SphereGrid(order * irreps_in.lmax + irreps_out.lmax)
        self.order, self.points = order, len(grid)
        self.add_table("to_grid", _columns(grid.values(irreps_in.lmax), irreps_in))
        self.add_table("from_grid", _columns(grid.project(irreps_out.lmax), irreps_out).mT.contiguous())

    def forward(self, signals: Signals) -> "list[Float[Tensor, 'atoms dim_out channels']]":
        """Return the projections of the products of the first 2, 3, ... signals, or of the powers of a single one."""
        atoms, dim, channels = signals[0].shape
        # one matrix product over atoms and channels is faster than one an atom
        values = [self.to_grid @ x.transpose(0, 1).reshape(dim, atoms * channels) for x in signals]
        product, found = values[0], []
        for place in range(1, self.order):
            product = product * values[place if len(values) > 1 else 0]
            found.append((self.from_grid @ product).unflatten(-1, (atoms, channels)).transpose(0, 1))
        return found


class FourierPowers(nn.Module):
    """Convolutions of Fourier series; a power is put together from two of half its order.

    Args:
        irreps_in, irreps_out, order: as for `GridPowers`.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, order: int) -> None:
        super().__init__()
        self.order, self.lmax_out = order, irreps_out.lmax
        self.to_fourier = ToFourier(irreps_in)
        # a series of n factors has no degree above n lmax
        bandwidths = [n * irreps_in.lmax for n in range(2, order + 1)]
        kept = [irreps_out.filter(lmax=bandwidth) for bandwidth in bandwidths]
        self.from_fourier = nn.ModuleList(
            FromFourier(part, bandwidth, [1.0] * len(part)) for part, bandwidth in zip(kept, bandwidths, strict=True)
        )
        for number, (part, bandwidth) in enumerate(zip(kept, bandwidths, strict=True)):
            # components above the bandwidth come from a zero that is put after the others
            found = iter(range(part.dim))
            places = [next(found) if ir.l <= bandwidth else part.dim for ir in irreps_out.irreps for _ in range(ir.dim)]
            self.register_buffer(f"places_{number}", torch.tensor(places), persistent=False)
        self._complete = [len(part) == len(irreps_out) for part in kept]

    def forward(self, signals: Signals) -> "list[Float[Tensor, 'atoms dim_out channels']]":
        """Return the projections of the products of the first 2, 3, ... signals, or of the powers of a single one."""
        series = [self.to_fourier(x.mT) for x in signals]
        products = series[:1]
        for order in range(2, self.order + 1):
            if len(series) > 1:
                product = self._convolve(products[-1], series[order - 1], reused=order < self.order)
            else:
                low, high = products[order // 2 - 1], products[order - order // 2 - 1]
                product = self._convolve(low, high, reused=2 * order <= self.order + 1)
            products.append(product)
        return [self._project(n, product) for n, product in enumerate(products[1:])]

    def _convolve(self, f: Tensor, g: Tensor, reused: bool) -> Tensor:
        """A series that is not multiplied again needs the orders v of the output alone."""
        return convolve_fft(f, g, None if reused else self.lmax_out)

    def _project(self, number: int, series: Tensor) -> Tensor:
        found = self.from_fourier[number](series)
        if not self._complete[number]:
            found = nn.functional.pad(found, (0, 1)).index_select(-1, getattr(self, f"places_{number}"))
        return found.mT


def _columns(table: Tensor, irreps: Irreps) -> Tensor:
    return torch.cat([table[:, ir.l**2 : (ir.l + 1) ** 2] for ir in irreps.irreps], dim=-1)
