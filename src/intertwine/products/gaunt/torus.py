"""Spherical harmonics as trigonometric polynomials of both angles, and back: exact tables in float64.

With a signed sine, Y_lm(theta, phi) continues from the sphere to the torus theta, phi in [0, 2 pi) and is
sum_{|u| <= l} sum_{v = +-m} y_uv e^{i (u theta + v phi)}; theta is beta and phi is alpha of this package. The way back
integrates over the sphere, z_uv = <Y_lm, e^{i (u theta + v phi)}>, so that sum_uv y_uv z'_uv = 1 or 0.
(Luo, Chen, Krishnapriyan, "Gaunt Tensor Products", ICLR 2024, section 3.2.)
"""

from math import pi, sqrt

import torch
from jaxtyping import Complex
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.products.gaunt.sphere_grid import legendre_tables

__all__ = ["count_nonzeros", "fourier_to_harmonics", "harmonics_to_fourier", "theta_coefficients", "theta_integrals"]


def theta_coefficients(lmax: int) -> Complex[Tensor, "orders degrees frequencies"]:
    """Return t of N_lm sin^m(theta) d^m P_l(cos theta) = sum_u t_u e^{i u theta}, as a table (m, l, u + lmax).

    They are the discrete Fourier transform of equispaced samples, which is exact. t is real for even and imaginary for
    odd m, and vanishes unless u and l are both even or both odd; for odd m it is odd in u.
    """
    count = 2 * lmax + 1
    theta = torch.arange(count, dtype=torch.float64) * (2 * pi / count)
    samples = legendre_tables(lmax, theta.cos(), theta.sin())
    found = torch.fft.fftshift(torch.fft.fft(samples, norm="forward"), dim=-1)
    orders, degrees = torch.arange(lmax + 1)[:, None, None], torch.arange(lmax + 1)[:, None]
    frequencies = torch.arange(-lmax, lmax + 1)
    present = (frequencies.abs() <= degrees) & ((frequencies - degrees) % 2 == 0) & (orders <= degrees)
    present = present & ((frequencies != 0) | (orders % 2 == 0))
    zero = torch.zeros((), dtype=torch.float64)
    # what rounding left of exact zeros goes
    real = torch.where(present & (orders % 2 == 0), found.real, zero)
    return torch.complex(real, torch.where(present & (orders % 2 == 1), found.imag, zero))


def theta_integrals(lmax: int, bandwidth: int) -> Complex[Tensor, "orders degrees frequencies"]:
    """Return the integrals of N_lm sin^m d^m P_l(cos theta) e^{i u theta} sin(theta) on [0, pi], (m, l, u + bandwidth).

    In closed form from the coefficients t: the integral of e^{i k theta} sin(theta) is 2 / (1 - k^2) for even k,
    i pi / 2 times the sign for k = +-1, and zero for all other k.
    """
    k = torch.arange(-bandwidth - lmax, bandwidth + lmax + 1, dtype=torch.float64)
    even = torch.where(k % 2 == 0, 2 / (1 - k * k), torch.zeros_like(k))
    simple = torch.complex(even, (pi / 2) * k * (k.abs() == 1))
    # row u' of the matrix, column u, holds the integral of e^{i (u + u') theta} sin(theta)
    windows = simple.unfold(0, 2 * bandwidth + 1, 1)
    return theta_coefficients(lmax) @ windows


def harmonics_to_fourier(lmax: int) -> Complex[Tensor, "dim frequencies orders"]:
    """Return y as a table ((l, m), u + lmax, v + lmax)."""
    t = theta_coefficients(lmax)
    table = torch.zeros((lmax + 1) ** 2, 2 * lmax + 1, 2 * lmax + 1, dtype=torch.complex128)
    for degree in range(lmax + 1):
        for m in range(-degree, degree + 1):
            for v, factor in _phi_waves(m):
                table[degree * degree + degree + m, :, lmax + v] = factor * t[abs(m), degree]
    return table


def fourier_to_harmonics(lmax: int, bandwidth: int) -> Complex[Tensor, "dim frequencies orders"]:
    """Return z as a table ((l, m), u + bandwidth, v + bandwidth); the coefficient of Y_lm is sum_uv z_uv f_uv.

    Args:
        lmax: largest degree of the harmonics.
        bandwidth: largest frequency of the function, at least ``lmax``.

    Raises:
        RepresentationError: if the bandwidth is smaller than the degree.
    """
    if bandwidth < lmax:
        raise RepresentationError(
            "a function of so few frequencies has no harmonics of this degree",
            got={"lmax": lmax, "bandwidth": bandwidth},
            expected="bandwidth of at least lmax",
        )
    integrals = theta_integrals(lmax, bandwidth)
    table = torch.zeros((lmax + 1) ** 2, 2 * bandwidth + 1, 2 * bandwidth + 1, dtype=torch.complex128)
    for degree in range(lmax + 1):
        for m in range(-degree, degree + 1):
            for v, factor in _phi_waves(m):
                # the integral of a wave over phi is 2 pi times the coefficient of the opposite wave
                table[degree * degree + degree + m, :, bandwidth - v] = 2 * pi * factor * integrals[abs(m), degree]
    return table


def count_nonzeros(lmax: int) -> int:
    """Return how many y_uv of all degrees up to ``lmax`` do not vanish: of order lmax^3.

    Example:
        >>> [count_nonzeros(lmax) for lmax in range(4)]
        [1, 11, 34, 86]
    """
    return sum((degree + 1) * (4 * degree + 1) - (2 * degree if degree % 2 == 0 else 0) for degree in range(lmax + 1))


def _phi_waves(m: int) -> list[tuple[int, complex]]:
    """The waves e^{i v phi} and their factors in 1, sqrt2 cos(m phi) for m > 0, or sqrt2 sin(|m| phi) for m < 0."""
    if m == 0:
        return [(0, 1 + 0j)]
    if m > 0:
        return [(m, 1 / sqrt(2) + 0j), (-m, 1 / sqrt(2) + 0j)]
    return [(-m, -1j / sqrt(2)), (m, 1j / sqrt(2))]
