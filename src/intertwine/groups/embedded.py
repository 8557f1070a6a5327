"""A group of a plane, or of another space of few dimensions, that acts on the first coordinates of a larger one.

``Embedded(E(2), 3)`` moves x and y and leaves z: rotations about a vertical axis, mirrors through vertical planes and
horizontal translations. Its elements are those of the inner group.
"""

from dataclasses import dataclass
from typing import Any, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.group import Element, Group, check_element_shape

__all__ = ["Embedded"]


@final
@dataclass(frozen=True)
class Embedded(Group):
    """A group acting on the first coordinates of n; ``str`` gives ``E(2) in 3D``.

    Args:
        inner: a group that moves points, such as E(2) or SO(2).
        n: number of coordinates.

    Example:
        >>> turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        >>> from intertwine.groups import SO
        >>> Embedded(SO(2), 3).apply(turn, torch.tensor([1.0, 0.0, 5.0]))
        tensor([0., 1., 5.])
    """

    inner: Group
    n: int

    def __post_init__(self) -> None:
        if self._moved is None or not isinstance(self.n, int) or self.n < self._moved:
            raise GroupError(
                "this group cannot act on the first coordinates of a space",
                got={"group": str(self.inner), "n": self.n},
                expected="a group of linear maps or motions, and at least as many coordinates as it moves",
            )

    def __str__(self) -> str:
        return f"{self.inner} in {self.n}D"

    @property
    def orthogonal(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Whether the linear parts of the inner group are orthogonal."""
        return self.inner.orthogonal

    @property
    def dim(self) -> int:
        """Return the dimension of the inner group."""
        return self.inner.dim

    @property
    def order(self) -> int | None:
        """Return the order of the inner group."""
        return self.inner.order

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Element:
        """Return identities of the inner group."""
        return self.inner.identity(*batch, dtype=dtype, device=device)

    def compose(self, g: Element, h: Element) -> Element:
        """Return the product in the inner group."""
        return self.inner.compose(g, h)

    def inverse(self, g: Element) -> Element:
        """Return the inverse in the inner group."""
        return self.inner.inverse(g)

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Element:
        """Draw from the inner group."""
        return self.inner.sample(*batch, rng=rng, dtype=dtype, device=device)

    def contains(self, g: Element, tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the inner group has the element."""
        return self.inner.contains(g, tolerance)

    def apply(self, g: Element, x: Float[Tensor, "*x n"]) -> Float[Tensor, "*gx n"]:
        """Return points whose first coordinates are moved."""
        check_element_shape(x, (self.n,), f"the space on which {self} acts")
        moved = self.inner.apply(g, x[..., : self._moved])
        return torch.cat([moved, x[..., self._moved :].expand(*moved.shape[:-1], -1)], dim=-1)

    def linear(self, g: Element) -> Float[Tensor, "*batch n n"] | None:
        """Return the matrices of the inner group, with ones for the other coordinates."""
        matrix = self.inner.linear(g)
        if matrix is None:
            return None
        size = matrix.shape[-1]
        whole = torch.eye(self.n, dtype=matrix.dtype, device=matrix.device).repeat(*matrix.shape[:-2], 1, 1)
        whole[..., :size, :size] = matrix
        return whole

    def translation(self, g: Element) -> Float[Tensor, "*batch n"] | None:
        """Return the translations of the inner group, with zeros for the other coordinates."""
        moved = self.inner.translation(g)
        return None if moved is None else torch.nn.functional.pad(moved, (0, self.n - moved.shape[-1]))

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the matrices of the inner Lie algebra."""
        return self.inner.hat(coordinates)

    def vee(self, algebra: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of matrices of the inner Lie algebra."""
        return self.inner.vee(algebra)

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Element:
        """Return the exponential in the inner group."""
        return self.inner.exp(coordinates)

    def log(self, g: Element) -> Float[Tensor, "*batch dim"]:
        """Return the logarithm in the inner group."""
        return self.inner.log(g)

    @property
    def _moved(self) -> int | None:
        """The number of coordinates that the inner group moves."""
        if not self.inner.bound:
            return None
        matrix: Any = self.inner.linear(self.inner.identity())
        return None if matrix is None else matrix.shape[-1]
