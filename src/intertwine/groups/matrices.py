"""What groups of matrices share: elements ``(..., m, m)`` that multiply, and act on column vectors."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.groups.group import Group, check_element_shape

__all__ = ["MatrixGroup"]


class MatrixGroup(Group):
    """A group whose elements are matrices; homogeneous ones where ``_border`` is 1, with which translations come."""

    n: int
    """Dimensions of the space on which it acts, or of what this space is made of."""

    _border: ClassVar[int] = 0

    @property
    def _size(self) -> int:
        """Rows of a matrix."""
        return self.n + self._border

    def identity(
        self, *batch: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
    ) -> Float[Tensor, "*batch m m"]:
        """Return identity matrices."""
        return torch.eye(self._size, dtype=dtype, device=device).repeat(*batch, 1, 1)

    def compose(self, g: Float[Tensor, "*g m m"], h: Float[Tensor, "*h m m"]) -> Float[Tensor, "*gh m m"]:
        """Return the matrix product ``g h``."""
        return self._checked(g) @ self._checked(h)

    def apply(self, g: Float[Tensor, "*g m m"], x: Float[Tensor, "*x m"]) -> Float[Tensor, "*gx m"]:
        """Return the transformed vectors ``g x``."""
        check_element_shape(x, (self._size,), f"the space on which {self} acts")
        return (self._checked(g) @ x.unsqueeze(-1)).squeeze(-1)

    def linear(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
        """Return ``g`` itself."""
        return self._checked(g)

    def _checked(self, g: Tensor) -> Tensor:
        check_element_shape(g, (self._size, self._size), str(self))
        return g
