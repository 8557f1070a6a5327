"""Products of many functions on the sphere with one another, projected at every order: on the grid, or as series.

Given the coefficients of f_1, ..., f_n, both return the projections of f_1, f_1 f_2, ..., f_1 ... f_n. Nothing is cut off in
between, so every projection is exact. Features are (atom, component, channel).
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.products.fourier_series import FromFourier, ToFourier, convolve_fft
from intertwine.products.sphere_grid import SphereGrid
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
        self.points = len(grid)
        self.add_table("to_grid", _columns(grid.values(irreps_in.lmax), irreps_in))
        self.add_table("from_grid", _columns(grid.project(irreps_out.lmax), irreps_out).mT.contiguous())

    def forward(self, signals: Signals) -> "list[Float[Tensor, 'atoms dim_out channels']]":
        """Return the projections of the products of the first 2, 3, ... signals; equal signals are evaluated once."""
        values = {id(x): self.to_grid @ x for x in signals}
        product, found = values[id(signals[0])], []
        for x in signals[1:]:
            product = product * values[id(x)]
            found.append(self.from_grid @ product)
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
        self._places = [_places(irreps_out, bandwidth) for bandwidth in bandwidths]
        self._dim = irreps_out.dim

    def forward(self, signals: Signals) -> "list[Float[Tensor, 'atoms dim_out channels']]":
        """Return the projections of the products of the first 2, 3, ... signals."""
        series = {id(x): self.to_fourier(x.mT) for x in signals}
        if len(series) == 1:
            products = self._powers(next(iter(series.values())))
        else:
            products = [series[id(signals[0])]]
            for order, x in enumerate(signals[1:], start=2):
                products.append(self._convolve(products[-1], series[id(x)], reused=order < self.order))
        return [self._project(n, product) for n, product in enumerate(products[1:])]

    def _powers(self, first: Tensor) -> list[Tensor]:
        powers = [first]
        for order in range(2, self.order + 1):
            low, high = powers[order // 2 - 1], powers[order - order // 2 - 1]
            powers.append(self._convolve(low, high, reused=2 * order <= self.order + 1))
        return powers

    def _convolve(self, f: Tensor, g: Tensor, reused: bool) -> Tensor:
        """A series that is not multiplied again needs the orders v of the output alone."""
        return convolve_fft(f, g, None if reused else self.lmax_out)

    def _project(self, number: int, series: Tensor) -> Tensor:
        found = self.from_fourier[number](series)
        if found.shape[-1] < self._dim:
            full = found.new_zeros(*found.shape[:-1], self._dim)
            found = full.index_copy(-1, torch.tensor(self._places[number], device=found.device), found)
        return found.mT


def _columns(table: Tensor, irreps: Irreps) -> Tensor:
    return torch.cat([table[:, ir.l**2 : (ir.l + 1) ** 2] for ir in irreps.irreps], dim=-1)


def _places(irreps: Irreps, lmax: int) -> list[int]:
    """The components of entries up to a degree."""
    pairs = zip(irreps.slices(), irreps.irreps, strict=True)
    return [n for place, ir in pairs if ir.l <= lmax for n in range(place.start, place.stop)]
