"""Functions of a distance: radial bases, smooth cutoffs, and the network that turns them into weights.

Distances and cutoffs are in Å. Every basis is multiplied by an envelope that is zero from the cutoff on and two
times continuously differentiable there, so that energies and forces are smooth when an atom leaves.
"""

from itertools import pairwise
from math import pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import ConfigError
from intertwine.nn.activation import NormalizedActivation

__all__ = ["BesselBasis", "CosineCutoff", "GaussianBasis", "PolynomialCutoff", "RadialNetwork"]


class PolynomialCutoff(nn.Module):
    """Envelope ``1 - (p+1)(p+2)/2 x^p + p(p+2) x^(p+1) - p(p+1)/2 x^(p+2)``, x = r / cutoff, zero beyond.

    Gasteiger, Gross, Guennemann, ICLR 2020 (DimeNet), eq. 8.

    Args:
        cutoff: where it vanishes with its first and second derivative.
        power: p, at least 2.
    """

    def __init__(self, cutoff: float, power: int = 6) -> None:
        super().__init__()
        if cutoff <= 0 or power < 2:
            raise ConfigError(
                "a cutoff needs a positive radius and a power of at least 2",
                got={"cutoff": cutoff, "power": power},
            )
        self.cutoff, self.power = float(cutoff), int(power)

    def forward(self, distance: Float[Tensor, "*edges"]) -> Float[Tensor, "*edges"]:
        """Return the envelope, 1 at zero distance."""
        p = self.power
        x = (distance / self.cutoff).clamp(max=1.0)
        inner = x * (p * (p + 2) - x * (p * (p + 1) / 2)) - (p + 1) * (p + 2) / 2
        return 1 + x**p * inner


class CosineCutoff(nn.Module):
    """Envelope ``(1 + cos(pi r / cutoff)) / 2``, zero beyond (Behler and Parrinello 2007).

    Its second derivative jumps at the cutoff: forces are continuous, their derivatives are not.
    """

    def __init__(self, cutoff: float) -> None:
        super().__init__()
        if cutoff <= 0:
            raise ConfigError("a cutoff needs a positive radius", got=cutoff)
        self.cutoff = float(cutoff)

    def forward(self, distance: Float[Tensor, "*edges"]) -> Float[Tensor, "*edges"]:
        """Return the envelope, 1 at zero distance."""
        return (1 + torch.cos(pi * (distance / self.cutoff).clamp(max=1.0))) / 2


class BesselBasis(nn.Module):
    """Spherical Bessel functions of order 0: ``sqrt(2 / cutoff) sin(n pi r / cutoff) / r``, n = 1 ... size.

    Gasteiger, Gross, Guennemann, ICLR 2020, eq. 7. Finite at zero distance.
    """

    def __init__(self, cutoff: float, size: int = 8, trainable: bool = False) -> None:
        super().__init__()
        self.cutoff, self.size = float(cutoff), size
        frequencies = torch.arange(1, size + 1).to(torch.get_default_dtype())
        if trainable:
            self.frequencies = nn.Parameter(frequencies)
        else:
            self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, distance: Float[Tensor, "*edges"]) -> Float[Tensor, "*edges size"]:
        """Return one column a frequency."""
        x = distance.unsqueeze(-1) / self.cutoff * self.frequencies
        # sinc(x) = sin(pi x) / (pi x) is safe at zero, with all derivatives
        return sqrt(2 / self.cutoff) * pi / self.cutoff * self.frequencies * torch.sinc(x)


class GaussianBasis(nn.Module):
    """Gaussians on an even grid of centres from zero to the cutoff, one grid step wide (Schuett et al. 2017)."""

    centres: Tensor

    def __init__(self, cutoff: float, size: int = 32) -> None:
        super().__init__()
        self.cutoff, self.size = float(cutoff), size
        self.register_buffer("centres", torch.linspace(0, cutoff, size).to(torch.get_default_dtype()), persistent=False)

    def forward(self, distance: Float[Tensor, "*edges"]) -> Float[Tensor, "*edges size"]:
        """Return one column a centre."""
        width = self.cutoff / (self.size - 1)
        return torch.exp(-0.5 * ((distance.unsqueeze(-1) - self.centres) / width).square())


class RadialNetwork(nn.Module):
    """Perceptron without bias from a radial basis to the weights of a product, unit variance throughout.

    Weights are standard normal and are divided by the square root of the fan-in at use; the activation is SiLU scaled
    to unit second moment.

    Args:
        sizes: widths from input to output.
        rng: generator of the initial weights.
    """

    def __init__(self, sizes: list[int], rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.weights = nn.ParameterList(torch.randn(a, b, generator=rng) for a, b in pairwise(sizes))
        self.activation = NormalizedActivation("silu")

    def forward(self, basis: Float[Tensor, "edges size"]) -> Float[Tensor, "edges out"]:
        """Return the weights of every edge."""
        hidden = basis
        for layer, weight in enumerate(self.weights):
            hidden = hidden @ (weight * weight.shape[0] ** -0.5)
            if layer < len(self.weights) - 1:
                hidden = self.activation(hidden)
        return hidden
