"""The translations T(n): homogeneous matrices ``[[1, t], [0, 1]]``, ``(..., n+1, n+1)``, as those of E(n).

Coordinates of the Lie algebra are the velocity v, with ``hat(v) = [[0, v], [0, 0]]``; ``exp(v)`` translates by v.
"""

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.euclidean import homogeneous
from intertwine.groups.group import check_element_shape, check_size, standard_normal
from intertwine.groups.matrices import MatrixGroup

__all__ = ["T"]


@final
@dataclass(frozen=True)
class T(MatrixGroup):
    """The translations of n-dimensional space.

    ``translation_scale`` is the standard deviation of drawn translations; it does not enter comparisons.

    Example:
        >>> T(2).apply(T(2).exp(torch.tensor([1.0, 2.0])), torch.zeros(2))
        tensor([1., 2.])
    """

    n: int
    translation_scale: float = field(default=1.0, compare=False)

    _border = 1

    def __post_init__(self) -> None:
        check_size(self.n, "T")
        if not self.translation_scale > 0:
            raise GroupError("the scale of translations must be positive", got=self.translation_scale, expected="> 0")

    def __str__(self) -> str:
        return f"T({self.n})"

    @property
    def dim(self) -> int:
        """Return n, the directions of translation."""
        return self.n

    def inverse(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
        """Return the translation back."""
        return self.exp(-self.translation(g))

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch m m"]:
        """Draw normal translations; each component has standard deviation ``translation_scale``."""
        drawn = self.translation_scale * standard_normal(*batch, self.n, rng=rng, device=device)
        return self.exp(drawn).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch m m"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether all but the translation is that of the identity, each entry up to ``tolerance`` (0 if None)."""
        translation = self.translation(g)
        rest = (g - self.exp(torch.where(translation.isfinite(), translation, 0.0))).abs()
        return (rest <= (tolerance or 0.0)).all(-1).all(-1) & translation.isfinite().all(-1)

    def apply(self, g: Float[Tensor, "*g m m"], x: Float[Tensor, "*x n"]) -> Float[Tensor, "*gx n"]:
        """Return the moved points ``x + t``."""
        check_element_shape(x, (self.n,), f"the space on which {self} acts")
        return x + self.translation(g)

    def linear(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n n"]:
        """Return identity matrices."""
        return self._checked(g)[..., : self.n, : self.n]

    def translation(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n"]:
        """Return the image of the origin."""
        return self._checked(g)[..., : self.n, self.n]

    def hat(self, coordinates: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m m"]:
        """Return ``[[0, v], [0, 0]]``."""
        return self.exp(coordinates) - self.identity(dtype=coordinates.dtype, device=coordinates.device)

    def vee(self, algebra: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n"]:
        """Return the velocities."""
        return self.translation(algebra)

    def exp(self, coordinates: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch m m"]:
        """Return the translations by these vectors."""
        check_element_shape(coordinates, (self.n,), f"the Lie algebra of {self}")
        return homogeneous(torch.eye(self.n, dtype=coordinates.dtype, device=coordinates.device), coordinates)

    def log(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n"]:
        """Return the translation vectors."""
        return self.translation(g)
