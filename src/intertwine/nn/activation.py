"""Scalar activations scaled so that a standard normal input gives an output of unit second moment."""

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import ConfigError

__all__ = ["NormalizedActivation"]

_ACTIVATIONS = {
    "silu": nn.functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "abs": torch.abs,
    "identity": lambda x: x,
}
_PARITY = {"tanh": -1, "identity": -1, "abs": 1}
"""Activations that are odd or even functions; the others are neither."""


class NormalizedActivation(nn.Module):
    """A named activation divided by the root of its second moment under a standard normal.

    Args:
        name: silu, tanh, sigmoid, softplus, abs or identity.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in _ACTIVATIONS:
            raise ConfigError("unknown activation", got=name, expected=", ".join(_ACTIVATIONS))
        self.name = name
        self.scale = second_moment(name) ** -0.5

    @property
    def parity(self) -> int | None:
        """+1 for an even function, -1 for an odd one, None for neither."""
        return _PARITY.get(self.name)

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Return the scaled activation."""
        return _ACTIVATIONS[self.name](x) * self.scale


@cache
def second_moment(name: str) -> float:
    """E[f(z)^2] for a standard normal z, by the trapezoid rule on [-12, 12] (exact to rounding for smooth f)."""
    z = torch.linspace(-12, 12, 48001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2) / (2 * torch.pi) ** 0.5
    return torch.trapezoid(_ACTIVATIONS[name](z).square() * weight, z).item()
