"""The finite symmetries of the plane: C_n (n turns) and D_n (n turns, n mirror lines; order 2 n).

x points right and y up. An element of C_n is an ``int64`` number of counter-clockwise turns by 2 pi / n, in
0..n-1. An element of D_n is ``int64 (..., 2)``: the number of turns, and 0 or 1 flips ``y -> -y``; the flip
acts first.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.groups.group import FiniteGroup, check_element_shape, check_size

__all__ = ["CyclicGroup", "DihedralGroup"]


@final
@dataclass(frozen=True)
class CyclicGroup(FiniteGroup):
    """The n rotations of the plane by multiples of 2 pi / n.

    Example:
        >>> CyclicGroup(4).compose(torch.tensor(3), torch.tensor(2))
        tensor(1)
    """

    n: int

    def __post_init__(self) -> None:
        check_size(self.n, "CyclicGroup")

    def __str__(self) -> str:
        return f"C_{self.n}"

    @property
    def order(self) -> int:
        """Return n."""
        return self.n

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Int64[Tensor, "*batch"]:
        """Return zero turns."""
        return torch.zeros(batch, dtype=torch.int64, device=device)

    def compose(self, g: Int64[Tensor, "*g"], h: Int64[Tensor, "*h"]) -> Int64[Tensor, "*gh"]:
        """Return the sum of the turns, modulo n."""
        return (_integers(g, self) + _integers(h, self)) % self.n

    def inverse(self, g: Int64[Tensor, "*batch"]) -> Int64[Tensor, "*batch"]:
        """Return the turns back."""
        return -_integers(g, self) % self.n

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Int64[Tensor, "*batch"]:
        """Draw elements, each with the same probability."""
        drawn_on = rng.device if rng else device
        return torch.randint(self.n, batch, generator=rng, device=drawn_on).to(device)

    def contains(self, g: Int64[Tensor, "*batch"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the number of turns is in 0..n-1; ``tolerance`` is ignored."""
        return (_integers(g, self) >= 0) & (g < self.n)

    def apply(self, g: Int64[Tensor, "*g"], x: Float[Tensor, "*x 2"]) -> Float[Tensor, "*gx 2"]:
        """Return the rotated points of the plane."""
        return _act_on_plane(self.linear(g), x)

    def linear(self, g: Int64[Tensor, "*batch"]) -> Float64[Tensor, "*batch 2 2"]:
        """Return the rotation matrices in float64; quarter turns are exact."""
        return _turn_matrices(self.n, g.device)[_integers(g, self)]

    def _enumerate(self) -> Int64[Tensor, "order"]:
        return torch.arange(self.n)


@final
@dataclass(frozen=True)
class DihedralGroup(FiniteGroup):
    """The 2 n symmetries of a regular n-gon that has a corner on the positive x axis.

    Example:
        >>> str(DihedralGroup(6)), DihedralGroup(6).order
        ('D_6', 12)
    """

    n: int

    def __post_init__(self) -> None:
        check_size(self.n, "DihedralGroup")

    def __str__(self) -> str:
        return f"D_{self.n}"

    @property
    def order(self) -> int:
        """Return 2 n."""
        return 2 * self.n

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Int64[Tensor, "*batch 2"]:
        """Return no turns and no flips."""
        return torch.zeros(*batch, 2, dtype=torch.int64, device=device)

    def compose(self, g: Int64[Tensor, "*g 2"], h: Int64[Tensor, "*h 2"]) -> Int64[Tensor, "*gh 2"]:
        """Return the product; a flip in ``g`` turns the turns of ``h`` around."""
        (turns, flips), (first_turns, first_flips) = self._parts(g), self._parts(h)
        turned = (turns + (1 - 2 * flips) * first_turns) % self.n
        return torch.stack(torch.broadcast_tensors(turned, flips ^ first_flips), dim=-1)

    def inverse(self, g: Int64[Tensor, "*batch 2"]) -> Int64[Tensor, "*batch 2"]:
        """Return the turns back for a rotation; a mirror undoes itself."""
        turns, flips = self._parts(g)
        return torch.stack([(2 * flips - 1) * turns % self.n, flips], dim=-1)

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Int64[Tensor, "*batch 2"]:
        """Draw elements, each with the same probability."""
        drawn_on = rng.device if rng else device
        drawn = torch.randint(2 * self.n, batch, generator=rng, device=drawn_on).to(device)
        return torch.stack([drawn % self.n, drawn // self.n], dim=-1)

    def contains(self, g: Int64[Tensor, "*batch 2"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the turns are in 0..n-1 and the flips 0 or 1; ``tolerance`` is ignored."""
        turns, flips = self._parts(g)
        return (turns >= 0) & (turns < self.n) & (flips >= 0) & (flips <= 1)

    def apply(self, g: Int64[Tensor, "*g 2"], x: Float[Tensor, "*x 2"]) -> Float[Tensor, "*gx 2"]:
        """Return the flipped, then rotated points of the plane."""
        return _act_on_plane(self.linear(g), x)

    def linear(self, g: Int64[Tensor, "*batch 2"]) -> Float64[Tensor, "*batch 2 2"]:
        """Return the matrices in float64; quarter turns and flips are exact."""
        turns, flips = self._parts(g)
        signs = torch.stack([torch.ones_like(flips), 1 - 2 * flips], dim=-1)
        return _turn_matrices(self.n, g.device)[turns] * signs.unsqueeze(-2)

    def _enumerate(self) -> Int64[Tensor, "order 2"]:
        listed = torch.arange(2 * self.n)
        return torch.stack([listed % self.n, listed // self.n], dim=-1)

    def _parts(self, g: Tensor) -> tuple[Tensor, Tensor]:
        check_element_shape(g, (2,), str(self))
        return _integers(g, self)[..., 0], g[..., 1]


def _turn_matrices(n: int, device: torch.device) -> Float64[Tensor, "n 2 2"]:
    """Tabulate the rotations; quarter turns are split off so that they have entries of exactly 0 and 1."""
    rows = []
    for k in range(n):
        quarters, rest = divmod(4 * k, n)
        cos, sin = math.cos(math.pi / 2 * rest / n), math.sin(math.pi / 2 * rest / n)
        for _ in range(quarters):
            cos, sin = 0.0 - sin, cos
        rows.append([[cos, 0.0 - sin], [sin, cos]])
    return torch.tensor(rows, dtype=torch.float64, device=device)


def _act_on_plane(matrix: Tensor, x: Tensor) -> Tensor:
    check_element_shape(x, (2,), "the plane")
    return (matrix.to(x) @ x.unsqueeze(-1)).squeeze(-1)


def _integers(g: Tensor, group: FiniteGroup) -> Tensor:
    if not isinstance(g, Tensor) or g.dtype != torch.int64:
        got = str(g.dtype) if isinstance(g, Tensor) else type(g).__name__
        raise ShapeError(f"elements of {group} are integers", got=got, expected="an int64 tensor")
    return g
