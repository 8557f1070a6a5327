"""A group of a plane, or of another space of few dimensions, that acts on the first coordinates of a larger one.

``Embedded(E(2), 3)`` moves x and y and leaves z: rotations about a vertical axis, mirrors through vertical planes and
horizontal translations. Elements are matrices of the larger space, ``(..., n, n)``, or homogeneous ``(..., n+1, n+1)``
where the inner group translates; coordinates of the Lie algebra are those of the inner group.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.euclidean import SE, E
from intertwine.groups.group import check_element_shape
from intertwine.groups.matrices import MatrixGroup
from intertwine.groups.orthogonal import SO, O
from intertwine.groups.translations import T

__all__ = ["Embedded"]


@final
@dataclass(frozen=True)
class Embedded(MatrixGroup):
    """A group acting on the first coordinates of n; ``str`` gives ``E(2) in 3D``.

    Args:
        inner: O(m), SO(m), E(m), SE(m) or T(m) with m up to n.
        n: number of coordinates.

    Example:
        >>> quarter = Embedded(SO(2), 3).exp(torch.tensor([torch.pi / 2]))
        >>> Embedded(SO(2), 3).apply(quarter, torch.tensor([1.0, 0.0, 5.0])).round()
        tensor([-0., 1., 5.])
    """

    inner: O | SO | E | SE | T
    n: int

    def __post_init__(self) -> None:
        fits = isinstance(self.inner, O | SO | E | SE | T) and isinstance(self.n, int) and self.n >= self.inner.n
        if not fits:
            raise GroupError(
                "this group cannot act on the first coordinates of a space",
                got={"group": str(self.inner), "n": self.n},
                expected="O(m), SO(m), E(m), SE(m) or T(m), and at least m coordinates",
            )

    def __str__(self) -> str:
        return f"{self.inner} in {self.n}D"

    @property
    def dim(self) -> int:
        """Return the dimension of the inner group."""
        return self.inner.dim

    def inverse(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
        """Return the inverse."""
        return self._outer(self.inner.inverse(self._inner(g)))

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch m m"]:
        """Draw from the inner group."""
        return self._outer(self.inner.sample(*batch, rng=rng, dtype=dtype, device=device))

    def contains(self, g: Float[Tensor, "*batch m m"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the inner group has the element, and the rest is that of the identity."""
        inner = self._inner(g)
        return self.inner.contains(inner, tolerance) & (g == self._outer(inner)).all(-1).all(-1)

    def apply(self, g: Float[Tensor, "*g m m"], x: Float[Tensor, "*x n"]) -> Float[Tensor, "*gx n"]:
        """Return points whose first coordinates are moved."""
        check_element_shape(x, (self.n,), f"the space on which {self} acts")
        moved = self.inner.apply(self._inner(g), x[..., : self.inner.n])
        return torch.cat([moved, x[..., self.inner.n :].expand(*moved.shape[:-1], -1)], dim=-1)

    def linear(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n n"]:
        """Return the orthogonal part."""
        return self._checked(g)[..., : self.n, : self.n]

    def translation(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n"] | None:
        """Return the image of the origin, or None where the inner group fixes it."""
        return self._checked(g)[..., : self.n, self.n] if self._size > self.n else None

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the matrices of the inner Lie algebra, with zeros for the other coordinates."""
        algebra = self.inner.hat(coordinates)
        return self._outer(algebra) - self._outer(torch.zeros_like(algebra))

    def vee(self, algebra: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of matrices of the inner Lie algebra."""
        return self.inner.vee(self._inner(algebra))

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the exponential in the inner group."""
        return self._outer(self.inner.exp(coordinates))

    def log(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the logarithm in the inner group."""
        return self.inner.log(self._inner(g))

    @property
    def _size(self) -> int:
        return self.n + isinstance(self.inner, E | SE | T)

    @property
    def _places(self) -> list[int]:
        """The rows and columns of the inner matrices."""
        return [*range(self.inner.n), *range(self.n, self._size)]

    def _inner(self, g: Tensor) -> Tensor:
        places = torch.tensor(self._places, device=g.device)
        return self._checked(g).index_select(-2, places).index_select(-1, places)

    def _outer(self, inner: Tensor) -> Tensor:
        whole = torch.eye(self._size, dtype=inner.dtype, device=inner.device).repeat(*inner.shape[:-2], 1, 1)
        places = torch.tensor(self._places, device=inner.device)
        whole[..., places.unsqueeze(-1), places] = inner
        return whole
