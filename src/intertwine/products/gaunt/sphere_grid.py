"""The grid on the sphere that integrates polynomials of a given degree exactly, and tables of harmonics on it.

Rings of constant beta (nodes of Gauss and Legendre in cos beta) times equispaced alpha, about the polar axis y:
r = (sin b sin a, cos b, sin b cos a). Harmonics are real, ``integral`` normalisation, m = -l ... l; everything is
float64. With floor(D / 2) + 1 rings of D + 1 points, degree D is exact, and with one ring or one angle less it is not.
"""

from math import pi, sqrt

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError

__all__ = ["SphereGrid", "legendre_derivatives", "legendre_tables"]


def legendre_tables(
    lmax: int, cosines: Float[Tensor, " nodes"], sines: Float[Tensor, " nodes"] | None = None
) -> Float[Tensor, "orders degrees nodes"]:
    """Return N_lm P_l^m(cos b) as a table (m, l, node) in float64, zero where l < m.

    N_lm = sqrt((2 l + 1) / (4 pi) (l - m)! / (l + m)!), and P_l^m = sin^m(b) d^m P_l has no Condon-Shortley sign. The
    recurrence is the normalised one, so that no degree overflows.

    Args:
        lmax: largest degree and order.
        cosines: cos b.
        sines: sin b, with its sign where b runs over the whole circle; without it, that of b in [0, pi].
    """
    if lmax < 0:
        raise RepresentationError("a degree cannot be negative", got=lmax)
    c = cosines.double()
    s = (1 - c * c).clamp(min=0).sqrt() if sines is None else sines.double()
    table = torch.zeros(lmax + 1, lmax + 1, len(c), dtype=torch.float64)
    table[0, 0] = 1 / sqrt(4 * pi)
    for m in range(lmax + 1):
        if m > 0:
            table[m, m] = sqrt((2 * m + 1) / (2 * m)) * s * table[m - 1, m - 1]
        if m < lmax:
            table[m, m + 1] = sqrt(2 * m + 3) * c * table[m, m]
        for degree in range(m + 2, lmax + 1):
            scale = sqrt((4 * degree * degree - 1) / (degree * degree - m * m))
            before = sqrt(((degree - 1) ** 2 - m * m) / (4 * (degree - 1) ** 2 - 1))
            table[m, degree] = scale * (c * table[m, degree - 1] - before * table[m, degree - 2])
    return table


def legendre_derivatives(table: Float[Tensor, "orders degrees nodes"]) -> Float[Tensor, "orders degrees nodes"]:
    """Return the derivatives by b of the functions of `legendre_tables`, by the ladder of orders: no pole divides."""
    lmax = len(table) - 1
    found = torch.zeros_like(table)
    for degree in range(1, lmax + 1):
        found[0, degree] = -sqrt(degree * (degree + 1)) * table[1, degree]
        for m in range(1, degree + 1):
            found[m, degree] = sqrt((degree + m) * (degree - m + 1)) / 2 * table[m - 1, degree]
            if m < degree:
                found[m, degree] -= sqrt((degree - m) * (degree + m + 1)) / 2 * table[m + 1, degree]
    return found


class SphereGrid:
    """The smallest product grid that integrates every polynomial of degree ``degree`` over the sphere exactly.

    Args:
        degree: D, the sum of the degrees of all factors under the integral.
        num_rings: rings of constant beta, by default floor(D / 2) + 1.
        num_angles: points on a ring, by default D + 1.

    Raises:
        RepresentationError: if the degree is negative or a number is not positive.

    Example:
        >>> len(SphereGrid(4))
        15
    """

    def __init__(self, degree: int, num_rings: int | None = None, num_angles: int | None = None) -> None:
        self.degree = degree
        self.num_rings = degree // 2 + 1 if num_rings is None else num_rings
        self.num_angles = degree + 1 if num_angles is None else num_angles
        if degree < 0 or self.num_rings < 1 or self.num_angles < 1:
            raise RepresentationError(
                "a grid needs a degree of 0 or more, and at least one ring and one angle",
                got={"degree": degree, "num_rings": num_rings, "num_angles": num_angles},
            )
        nodes, weights = np.polynomial.legendre.leggauss(self.num_rings)
        # from the pole y = 1 downwards, so that beta grows
        self.cosines, self.ring_weights = (torch.from_numpy(values[::-1].copy()) for values in (nodes, weights))
        self.alphas = torch.arange(self.num_angles, dtype=torch.float64) * (2 * pi / self.num_angles)

    def __len__(self) -> int:
        return self.num_rings * self.num_angles

    @property
    def points(self) -> Float[Tensor, "points 3"]:
        """The unit vectors (x, y, z), ring after ring."""
        c, s = self.cosines[:, None], (1 - self.cosines**2).sqrt()[:, None]
        parts = (s * self.alphas.sin(), c.expand(-1, self.num_angles), s * self.alphas.cos())
        return torch.stack(parts, dim=-1).flatten(0, 1)

    @property
    def weights(self) -> Float[Tensor, " points"]:
        """The weight of every point; their sum is 4 pi."""
        return (self.ring_weights * (2 * pi / self.num_angles)).repeat_interleave(self.num_angles)

    def legendre(self, lmax: int) -> Float[Tensor, "orders degrees rings"]:
        """Return the beta part of the harmonics on the rings, `legendre_tables`."""
        return legendre_tables(lmax, self.cosines)

    def azimuth(self, lmax: int) -> Float[Tensor, "angles orders"]:
        """Return the alpha part: sqrt2 sin(|m| a) for m < 0, then 1, then sqrt2 cos(m a), from -lmax to lmax."""
        return torch.cat(self._waves(lmax), dim=-1)

    def values(self, lmax: int) -> Float[Tensor, "points dim"]:
        """Return the harmonics of degrees 0 to ``lmax`` at the points."""
        return _combine(self.legendre(lmax), self.azimuth(lmax))

    def project(self, lmax: int) -> Float[Tensor, "points dim"]:
        """Return the harmonics times the weights: values on the grid, times this table, are coefficients."""
        return self.values(lmax) * self.weights[:, None]

    def gradient(self, lmax: int) -> tuple[Float[Tensor, "points dim"], Float[Tensor, "points dim"]]:
        """Return d/d beta and (1 / sin beta) d/d alpha of the harmonics: the gradient along (e_beta, e_alpha).

        With the outward normal r these axes are right-handed, r = e_beta x e_alpha. No ring lies on a pole.
        """
        table = self.legendre(lmax)
        sines, orders = (1 - self.cosines**2).sqrt(), _orders(lmax)
        low, middle, high = self._waves(lmax)
        # the derivative of sin(|m| a) is |m| cos(|m| a), that of cos(m a) is -m sin(m a): m and -m change places
        slopes = orders.abs() * torch.cat([high.flip(-1), 0 * middle, -low.flip(-1)], dim=-1)
        return _combine(legendre_derivatives(table), self.azimuth(lmax)), _combine(table / sines, slopes)

    def orthonormality_error(self, lmax1: int, lmax2: int) -> float:
        """Return how far the integrals of pairs of harmonics on this grid are from 0 and 1, at most."""
        gram = self.project(lmax1).mT @ self.values(lmax2)
        return float((gram - torch.eye(*gram.shape, dtype=gram.dtype)).abs().max())

    def _waves(self, lmax: int) -> tuple[Tensor, Tensor, Tensor]:
        """sqrt2 sin(|m| a) from m = -lmax to -1, ones, sqrt2 cos(m a) from m = 1 to lmax."""
        angles = self.alphas[:, None] * torch.arange(1, lmax + 1)
        ones = torch.ones(self.num_angles, 1, dtype=torch.float64)
        return sqrt(2) * angles.sin().flip(-1), ones, sqrt(2) * angles.cos()


def _orders(lmax: int) -> Tensor:
    return torch.arange(-lmax, lmax + 1)


def _combine(rings: Tensor, angles: Tensor) -> Tensor:
    """Table (point, (l, m)) from the parts (|m|, l, ring) and (angle, m)."""
    lmax = len(rings) - 1
    pairs = [(degree, m) for degree in range(lmax + 1) for m in range(-degree, degree + 1)]
    degrees = torch.tensor([degree for degree, _ in pairs])
    orders = torch.tensor([m for _, m in pairs])
    beta, alpha = rings[orders.abs(), degrees], angles[:, orders + lmax]
    return (beta.mT[:, None] * alpha[None]).flatten(0, 1)
