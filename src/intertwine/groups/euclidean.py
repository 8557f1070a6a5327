"""The Euclidean groups E(n) and SE(n): homogeneous matrices ``[[R, t], [0, 1]]``, ``(..., n+1, n+1)``.

An element rotates first and translates second: ``x -> R x + t``. Coordinates of the Lie algebra are those of
O(n) followed by a velocity: ``(w, v)``, with ``hat(w, v) = [[hat(w), v], [0, 0]]``; for n = 3 that is
(rotation vector, v).
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.group import check_element_shape, check_size, standard_normal
from intertwine.groups.matrices import MatrixGroup
from intertwine.groups.orthogonal import SO, O
from intertwine.groups.rotations import left_jacobian, rotation_from_algebra

__all__ = ["SE", "E", "homogeneous"]


def homogeneous(
    linear: Float[Tensor, "*linear n n"], translation: Float[Tensor, "*translation n"]
) -> Float[Tensor, "*batch m m"]:
    """Return the matrices ``[[linear, translation], [0, 1]]`` of the maps ``x -> linear x + translation``."""
    n = linear.shape[-1]
    check_element_shape(linear, (n, n), "square matrices")
    check_element_shape(translation, (n,), f"translations in {n} dimensions")
    batch = torch.broadcast_shapes(linear.shape[:-2], translation.shape[:-1])
    top = torch.cat([linear.expand(*batch, n, n), translation.expand(*batch, n).unsqueeze(-1)], dim=-1)
    bottom = torch.eye(n + 1, dtype=top.dtype, device=top.device)[n:].expand(*batch, 1, n + 1)
    return torch.cat([top, bottom], dim=-2)


@dataclass(frozen=True)
class _EuclideanGroup(MatrixGroup):
    """What E(n) and SE(n) share: all but the choice of the orthogonal group inside."""

    n: int
    translation_scale: float = field(default=1.0, compare=False)

    _border = 1

    def __post_init__(self) -> None:
        check_size(self.n, type(self).__name__)
        if not self.translation_scale > 0:
            raise GroupError("the scale of translations must be positive", got=self.translation_scale, expected="> 0")

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.n})"

    @property
    @abstractmethod
    def rotations(self) -> O | SO:
        """The subgroup that fixes the origin."""

    @property
    def dim(self) -> int:
        """Return n (n + 1) / 2: the planes of rotation and the directions of translation."""
        return self.n * (self.n + 1) // 2

    def inverse(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
        """Return ``x -> R^T (x - t)``."""
        back = self.linear(g).mT
        return homogeneous(back, -(back @ self.translation(g).unsqueeze(-1)).squeeze(-1))

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch m m"]:
        """Draw a Haar orthogonal part and, as the group is not compact, a normal translation.

        Each component of the translation has standard deviation ``translation_scale``, a field of the group.
        """
        orthogonal = self.rotations.sample(*batch, rng=rng, dtype=torch.float64, device=device)
        translation = self.translation_scale * standard_normal(*batch, self.n, rng=rng, device=device)
        return homogeneous(orthogonal, translation).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch m m"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the orthogonal part is one up to ``tolerance`` and the last row is (0, ..., 0, 1)."""
        last_row = self.identity(dtype=g.dtype, device=g.device)[-1]
        finite = self.translation(g).isfinite().all(-1)
        return self.rotations.contains(self.linear(g), tolerance) & (g[..., -1, :] == last_row).all(-1) & finite

    def apply(self, g: Float[Tensor, "*g m m"], x: Float[Tensor, "*x n"]) -> Float[Tensor, "*gx n"]:
        """Return the moved points ``R x + t``."""
        return self.rotations.apply(self.linear(g), x) + self.translation(g)

    def linear(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n n"]:
        """Return the orthogonal part."""
        return self._checked(g)[..., : self.n, : self.n]

    def translation(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n"]:
        """Return the image of the origin."""
        return self._checked(g)[..., : self.n, self.n]

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return ``[[hat(w), v], [0, 0]]`` of the coordinates (w, v)."""
        check_element_shape(coordinates, (self.dim,), f"the Lie algebra of {self}")
        turning, velocity = coordinates.split([self.rotations.dim, self.n], dim=-1)
        top = torch.cat([self.rotations.hat(turning), velocity.unsqueeze(-1)], dim=-1)
        return torch.cat([top, torch.zeros_like(top[..., :1, :])], dim=-2)

    def vee(self, algebra: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates (w, v)."""
        self._checked(algebra)
        turning = self.rotations.vee(algebra[..., : self.n, : self.n])
        return torch.cat([turning, algebra[..., : self.n, self.n]], dim=-1)

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the rigid motion reached at time one: ``(exp(w), J(w) v)``, J the left Jacobian."""
        algebra = self.hat(coordinates)
        if self.n not in (2, 3):
            return torch.linalg.matrix_exp(algebra)
        turning, velocity = algebra[..., : self.n, : self.n], coordinates[..., self.rotations.dim :]
        moved = (left_jacobian(turning) @ velocity.unsqueeze(-1)).squeeze(-1)
        return homogeneous(rotation_from_algebra(turning), moved)

    def log(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates (w, v), with w of smallest norm, whose exponential is ``g``; n = 2 and 3.

        Raises:
            GroupError: if a determinant is negative, or if n > 3.
        """
        turning = self.rotations.log(self.linear(g))
        velocity = torch.linalg.solve(left_jacobian(self.rotations.hat(turning)), self.translation(g))
        return torch.cat([turning, velocity], dim=-1)


@final
@dataclass(frozen=True)
class E(_EuclideanGroup):
    """All isometries of n-dimensional space: rotations, reflections and translations.

    ``translation_scale`` is the standard deviation of drawn translations; it does not enter comparisons.
    """

    @property
    def rotations(self) -> O:
        """Return O(n), the isometries that fix the origin."""
        return O(self.n)


@final
@dataclass(frozen=True)
class SE(_EuclideanGroup):
    """The rigid motions of n-dimensional space: rotations and translations, no reflections.

    ``translation_scale`` is the standard deviation of drawn translations; it does not enter comparisons.

    Example:
        >>> g = homogeneous(torch.eye(3), torch.tensor([1.0, 0.0, 0.0]))
        >>> SE(3).apply(g, torch.zeros(3))
        tensor([1., 0., 0.])
    """

    @property
    def rotations(self) -> SO:
        """Return SO(n), the rigid motions that fix the origin."""
        return SO(self.n)
