"""Functions on the sphere as Fourier series of the torus: transforms of features, and convolutions of coefficients.

A real series is kept as its half (u from -B to B, v from 0 to B), complex: f_{-u,v} = (-1)^v f_{u,v} holds for every
function that comes from the sphere, and f_{-u,-v} = conj f_{u,v} for every real one. Tables in u are real: what is
imaginary in them is taken into the rows, cosines and sines of phi, that become real and imaginary parts.
"""

from math import pi, sqrt

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from intertwine.products.gaunt.order_sorting import OrderSorting
from intertwine.products.gaunt.torus import theta_coefficients, theta_integrals
from intertwine.representations import Irreps
from intertwine.representations.tables import TableModule

__all__ = ["FromFourier", "ToFourier", "convolve", "convolve_fft", "fast_size"]


class _Transform(TableModule):
    """The components of each order m, as rows that become the real and the imaginary part of the order v = m.

    With a and b the components m and -m: for even m the coefficients are s (a - i b) with a real table s; for odd m
    they are i s (a - i b) = s (b + i a).
    """

    signs: Tensor

    def __init__(self, irreps: Irreps) -> None:
        super().__init__()
        self.lmax = irreps.lmax
        odd = frozenset(range(1, self.lmax + 1, 2))
        self.sorting = OrderSorting(irreps, odd)
        orders = torch.tensor([m for ir in irreps.irreps for m in range(-ir.l, ir.l + 1)])
        self.add_table("signs", torch.where((orders < 0) & (orders % 2 == 0), -1.0, 1.0).double())


class ToFourier(_Transform):
    """Coefficients of the Fourier series from those of harmonics.

    Args:
        irreps: irreps of the features, multiplicity 1 each.
    """

    def __init__(self, irreps: Irreps) -> None:
        super().__init__(irreps)
        t = theta_coefficients(self.lmax)
        for m, degrees in enumerate(self.sorting.degrees):
            table = (t.real if m % 2 == 0 else t.imag)[m, degrees]
            self.add_table(f"theta_{m}", table / (1 if m == 0 else sqrt(2)))

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Complex[Tensor, "*batch frequencies orders"]:
        """Return the coefficients, u from -lmax to lmax and v from 0 to lmax."""
        parts = [part @ getattr(self, f"theta_{m}") for m, part in enumerate(self.sorting.split(x * self.signs))]
        parts[0] = torch.cat([parts[0], torch.zeros_like(parts[0])], dim=-2)
        rows = torch.stack(parts, dim=-1)
        return torch.complex(rows[..., 0, :, :], rows[..., 1, :, :])


class FromFourier(_Transform):
    """Coefficients of harmonics from those of the Fourier series: the projection on the sphere.

    Args:
        irreps: irreps of the features, multiplicity 1 each.
        bandwidth: largest frequency of the series, at least the largest degree.
        scales: a factor an entry of ``irreps``.
    """

    def __init__(self, irreps: Irreps, bandwidth: int, scales: list[float]) -> None:
        super().__init__(irreps)
        self.bandwidth = bandwidth
        # the other half of the frequencies, u < 0, gives the same once more
        integrals = 2 * theta_integrals(self.lmax, bandwidth)[..., bandwidth:]
        integrals[..., 0] /= 2
        for m, degrees in enumerate(self.sorting.degrees):
            table = (integrals.real if m % 2 == 0 else -integrals.imag)[m, degrees]
            kept = [s for s, ir in zip(scales, irreps.irreps, strict=True) if ir.l >= m]
            table = table * torch.tensor(kept, dtype=table.dtype)[:, None] * (2 * pi if m == 0 else 2 * sqrt(2) * pi)
            self.add_table(f"theta_{m}", table.mT.contiguous())

    def forward(self, f: Complex[Tensor, "*batch frequencies orders"]) -> Float[Tensor, "*batch dim"]:
        """Return the features; ``f`` has u from -bandwidth to bandwidth, and v from 0 to the largest degree or more."""
        half = f[..., self.bandwidth :, : self.lmax + 1]
        rows = list(torch.stack([half.real, half.imag], dim=-3).unbind(-1))
        rows[0] = rows[0][..., :1, :]
        parts = [row @ getattr(self, f"theta_{m}") for m, row in enumerate(rows)]
        return self.sorting.join(parts) * self.signs


def convolve(
    f: Complex[Tensor, "*batch _ _"], g: Complex[Tensor, "*batch _ _"], orders: int | None = None
) -> Complex[Tensor, "*batch _ _"]:
    """Return the coefficients of the product of two series, summed directly.

    Args:
        f, g: half series; leading axes broadcast.
        orders: the largest v to compute; by default all.
    """
    width1, width2 = f.shape[-1] - 1, g.shape[-1] - 1
    vmax = width1 + width2 if orders is None else min(orders, width1 + width2)
    v3 = torch.arange(vmax + 1, device=f.device)[:, None]
    v2 = v3 - torch.arange(-width1, width1 + 1, device=f.device)
    # g at v3 - v1, zero outside: one row for each v3, so that the sum over v1 is a matrix product
    padded = torch.nn.functional.pad(_both_halves(g), (1, 1))
    shifted = padded.index_select(-1, (v2.clamp(-width2 - 1, width2 + 1) + width2 + 1).flatten())
    u1, u2 = f.shape[-2], g.shape[-2]
    shifted = shifted.unflatten(-1, (vmax + 1, -1)).flatten(-3, -2)  # ((u2, v3), v1)
    terms = (shifted @ _both_halves(f).mT).unflatten(-2, (u2, vmax + 1))  # (u2, v3, u1)
    # rows of ever larger shift: the sum over u1 + u2 = u3
    terms = torch.nn.functional.pad(terms.movedim(-3, -1), (0, u1)).flatten(-2)[..., :-u1]
    return terms.unflatten(-1, (u1, u1 + u2 - 1)).sum(-2).mT


def convolve_fft(
    f: Complex[Tensor, "*batch _ _"], g: Complex[Tensor, "*batch _ _"], orders: int | None = None
) -> Complex[Tensor, "*batch _ _"]:
    """Return the same as `convolve` by fast Fourier transforms: values are multiplied on a grid of the torus."""
    if f.numel() == 0 or g.numel() == 0:  # transforms of nothing are an error of the library below
        return convolve(f, g, orders)
    width1, width2 = f.shape[-1] - 1, g.shape[-1] - 1
    vmax = width1 + width2 if orders is None else min(orders, width1 + width2)
    frequencies = f.shape[-2] + g.shape[-2] - 1
    # orders above vmax may fold back, as long as they do not reach vmax
    size = (fast_size(frequencies), fast_size(width1 + width2 + vmax + 1))
    values = _on_torus(f, size) * _on_torus(g, size)
    found = torch.fft.rfft2(values, norm="forward")[..., : vmax + 1]
    top = frequencies // 2
    return torch.cat([found[..., size[0] - top :, :], found[..., : top + 1, :]], dim=-2)


def fast_size(least: int) -> int:
    """Return the smallest length of at least ``least`` that has no prime factor above 5.

    Example:
        >>> [fast_size(n) for n in (5, 7, 13, 17)]
        [5, 8, 15, 18]
    """
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def _on_torus(f: Tensor, size: tuple[int, int]) -> Tensor:
    """Values on the grid; frequencies are put in the order 0, 1, ..., -2, -1 with zeros in the middle."""
    top = f.shape[-2] // 2
    gap = f.new_zeros(*f.shape[:-2], size[0] - f.shape[-2], f.shape[-1])
    wrapped = torch.cat([f[..., top:, :], gap, f[..., :top, :]], dim=-2)
    return torch.fft.irfft2(wrapped, s=size, norm="forward")


def _both_halves(f: Tensor) -> Tensor:
    """Coefficients with v from -B to B: f_{u,-v} = (-1)^v conj f_{u,v} on the sphere."""
    width = f.shape[-1] - 1
    signs = (1 - 2 * (torch.arange(width, 0, -1, device=f.device) % 2)).to(f.real.dtype)
    return torch.cat([f[..., 1:].flip(-1).conj() * signs, f], dim=-1)
