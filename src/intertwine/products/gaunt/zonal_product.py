"""Multiplication of functions on the sphere by a zonal one, in the frame of an edge: every m on its own.

In the frame the function f is a sum over m of (a function of beta) times (cos or sin of m alpha), and the filter is a
function of beta alone. So for each m: values on rings, or a Fourier series in beta continued around the circle, where
the product is a convolution in one dimension; then the projection on P_l^m of the output. Both are exact.
(Luo, Chen, Krishnapriyan, ICLR 2024, 3.3: the filter has Fourier coefficients at v = 0 only.)
"""

from collections.abc import Sequence
from math import pi, sqrt
from typing import Literal, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.products.gaunt.sphere_grid import SphereGrid, legendre_tables
from intertwine.products.so2.edge_frames import EdgeFrame, EdgeFrameMap, EdgeFrames
from intertwine.representations import Irreps
from intertwine.representations.layout import join_blocks, split_blocks
from intertwine.representations.tables import TableModule

__all__ = ["ZonalProduct", "circle_series", "half_circle_moments"]


def circle_series(lmax: int) -> Float[Tensor, "orders degrees frequencies"]:
    """Return the Fourier series in beta of N_lm P_l^m(cos b), the sine with its sign, as real numbers (m, l, u).

    For even m the series is ``sum_u t_u e^{iub}``, for odd m ``i sum_u t_u e^{iub}``, u from -lmax to lmax. They come
    from an exact discrete transform of samples around the circle.
    """
    count = 2 * lmax + 1
    angles = torch.arange(count, dtype=torch.float64) * (2 * pi / count)
    table = legendre_tables(lmax, angles.cos(), angles.sin())
    series = torch.fft.fft(table, dim=-1).roll(lmax, dims=-1) / count
    odd = torch.arange(lmax + 1)[:, None, None] % 2 == 1
    found = torch.where(odd, series.imag, series.real)
    return torch.where(found.abs() < 1e-15, torch.zeros_like(found), found)


def half_circle_moments(lmax: int, frequency: int) -> Float[Tensor, "orders degrees frequencies"]:
    """Return the integrals of N_lm P_l^m(cos b) e^{iub} sin b over b in [0, pi], |u| <= frequency, as reals (m, l, u).

    For even m the real parts, for odd m minus the imaginary ones: what a series as in `circle_series` meets. The other
    parts belong to functions of the other kind. By quadrature over cos b, exact for these polynomials of cos and sin.
    """
    grid = SphereGrid(lmax + frequency + 1)
    table, weights = legendre_tables(lmax, grid.cosines), grid.ring_weights
    waves = grid.cosines.arccos() * torch.arange(-frequency, frequency + 1)[:, None]
    even, odd = table @ (waves.cos() * weights).mT, -table @ (waves.sin() * weights).mT
    return torch.where(torch.arange(lmax + 1)[:, None, None] % 2 == 1, odd, even)


@final
class ZonalProduct(TableModule):
    """Features times a filter about the edge, ``z_lo = <Y_lo, f_x sum_lf w_lf Y_lf(r) . Y_lf>``, for every channel.

    Args:
        irreps_in, irreps_out: irreps with the channels as multiplicity; parities play no part.
        lmax_filter: largest degree of the filter.
        way: ``grid`` multiplies on rings, ``fourier`` convolves series.

    Raises:
        RepresentationError: if the way is unknown.
    """

    filter_table: Tensor

    def __init__(
        self, irreps_in: Irreps, lmax_filter: int, irreps_out: Irreps, way: Literal["grid", "fourier"] = "grid"
    ) -> None:
        super().__init__()
        if way not in ("grid", "fourier"):
            raise RepresentationError("there is no such way to multiply", got=way, expected="grid or fourier")
        self.way, self.lmax_filter = way, lmax_filter
        lmax_in, lmax_out = irreps_in.lmax, irreps_out.lmax
        mmax = min(lmax_in, lmax_out)
        self.map_in = EdgeFrameMap(irreps_in, mmax, "ir_mul")
        self.map_out = EdgeFrameMap(irreps_out, mmax, "ir_mul")
        self.frames = EdgeFrames(max(lmax_in, lmax_out))
        on_axis = torch.tensor([sqrt((2 * n + 1) / (4 * pi)) for n in range(lmax_filter + 1)], dtype=torch.float64)
        if way == "grid":
            grid = SphereGrid(lmax_in + lmax_filter + lmax_out)
            into, meets = grid.legendre(lmax_in), grid.legendre(lmax_filter)[0]
            back = grid.legendre(lmax_out) * grid.ring_weights
        else:
            into, meets = circle_series(lmax_in), circle_series(lmax_filter)[0]
            back = half_circle_moments(lmax_out, lmax_in + lmax_filter)
        self.add_table("filter_table", (meets * on_axis[:, None]).mT.contiguous())
        for m in range(mmax + 1):
            rows = [irreps_in[place].ir.l for place in self.map_in.members[m]]
            columns = [irreps_out[place].ir.l for place in self.map_out.members[m]]
            self.add_table(f"into_{m}", into[m, rows].mT.contiguous())
            # both for m = 0 and for the pair of m > 0 the integral over alpha is 2 pi
            self.add_table(f"back_{m}", 2 * pi * back[m, columns])

    def forward(
        self,
        blocks: Sequence[Float[Tensor, "edges _ channels"]],
        y: "Float[Tensor, 'edges 3'] | EdgeFrame",
        weight: Float[Tensor, "edges degrees channels"],
    ) -> list[Float[Tensor, "edges _ channels"]]:
        """Return the product, one block (component, channel) an output entry.

        Args:
            blocks: features, one block an input entry.
            y: vectors of the edges, or their frames; without a direction only degree 0 of the filter is left.
            weight: weights of the filter's degrees.

        Raises:
            ShapeError: if features, vectors and weights do not fit.
            RepresentationError: if the frames have too few degrees.
        """
        frame = y if isinstance(y, EdgeFrame) else self.frames(y)
        edges = len(frame.present)
        if weight.shape[:2] != (edges, self.lmax_filter + 1) or any(len(block) != edges for block in blocks):
            raise ShapeError(
                "a zonal product needs features, a vector and weights for every edge",
                got={"edges": edges, "x": len(blocks[0]), "weight": tuple(weight.shape)},
                expected=f"(edges, {self.lmax_filter + 1}, channels)",
            )
        scalar, higher = weight.split([1, self.lmax_filter], dim=-2)
        weight = torch.cat([scalar, higher * frame.present[:, None, None]], dim=-2)
        filters = (self.filter_table @ weight).unsqueeze(-3)
        parts = self._seen(self.map_in.into(join_blocks(list(blocks), "ir_mul"), frame))
        values = [getattr(self, f"into_{m}") @ part for m, part in enumerate(parts)]
        met = self._meet(torch.cat(values, dim=-3), filters).split([v.shape[-3] for v in values], dim=-3)
        outputs = [(getattr(self, f"back_{m}") @ part).flatten(1) for m, part in enumerate(met)]
        z = self.map_out.out_of(torch.cat(outputs, dim=-1), frame)
        return split_blocks(z, self.map_out.irreps, "ir_mul")

    def _seen(self, z: Tensor) -> list[Tensor]:
        """For every m the features in the frame as (edges, +m and -m, entries, channels)."""
        sizes = [entry.dim for entry in self.map_in.so2_irreps]
        channels = self.map_in.irreps[0].mul
        return [
            part.unflatten(-1, (2 if m else 1, len(self.map_in.members[m]), channels))
            for m, part in enumerate(z.split(sizes, dim=-1))
        ]

    def _meet(self, values: Tensor, filters: Tensor) -> Tensor:
        if self.way == "grid":
            return values * filters
        # directly, in real numbers: for series this short faster and more exact than a fast transform
        taps = filters.unbind(-2)
        shifted = [
            nn.functional.pad(values * tap.unsqueeze(-2), (0, 0, place, len(taps) - 1 - place))
            for place, tap in enumerate(taps)
        ]
        return torch.stack(shifted).sum(0)
