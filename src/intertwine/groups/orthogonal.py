"""The orthogonal groups O(n) and SO(n): matrices ``(..., n, n)`` that act on column vectors.

Lie algebra: antisymmetric matrices. Coordinates for n = 3 are the rotation vector (x, y, z), ``hat(w) u = w x
u``. For other n there is one coordinate for each pair i < j, in the order (0, 1), (0, 2), ..., (1, 2), ...,
and it turns axis i towards axis j: ``hat(w)[j, i] = w = -hat(w)[i, j]``; for n = 2 that is the
counter-clockwise angle.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.group import check_element_shape, check_size, standard_normal
from intertwine.groups.matrices import MatrixGroup
from intertwine.groups.rotations import (
    cross_matrix,
    matrix_to_angle,
    matrix_to_rotation_vector,
    quaternion_to_matrix,
    rotation_from_algebra,
)

__all__ = ["SO", "O"]


@dataclass(frozen=True)
class _OrthogonalGroup(MatrixGroup):
    """What O(n) and SO(n) share: all but the draw, the determinant and the logarithm."""

    n: int

    def __post_init__(self) -> None:
        check_size(self.n, type(self).__name__)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.n})"

    @property
    def dim(self) -> int:
        """Return n (n - 1) / 2, the number of planes of rotation."""
        return self.n * (self.n - 1) // 2

    def inverse(self, g: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
        """Return the transpose."""
        return self._checked(g).mT

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether ``g^T g`` is the identity, each entry up to ``tolerance`` (32 n epsilon if None)."""
        self._checked(g)
        tolerance = 32 * self.n * torch.finfo(g.dtype).eps if tolerance is None else tolerance
        return ((g.mT @ g - self.identity(dtype=g.dtype, device=g.device)).abs() <= tolerance).all(-1).all(-1)

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch n n"]:
        """Return the antisymmetric matrices with these coordinates, in the order the module states."""
        check_element_shape(coordinates, (self.dim,), f"the Lie algebra of {self}")
        if self.n == 3:
            return cross_matrix(coordinates)
        first, second = torch.triu_indices(self.n, self.n, 1, device=coordinates.device)
        algebra = coordinates.new_zeros(*coordinates.shape[:-1], self.n, self.n)
        algebra[..., second, first] = coordinates
        return algebra - algebra.mT

    def vee(self, algebra: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of antisymmetric matrices."""
        self._checked(algebra)
        first, second = torch.triu_indices(self.n, self.n, 1, device=algebra.device)
        pairs = algebra[..., second, first]
        if self.n != 3:
            return pairs
        return torch.stack([pairs[..., 2], -pairs[..., 1], pairs[..., 0]], dim=-1)

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch n n"]:
        """Return the rotation by these coordinates: closed form for n = 2 and 3, smooth at zero."""
        algebra = self.hat(coordinates)
        return rotation_from_algebra(algebra) if self.n in (2, 3) else torch.linalg.matrix_exp(algebra)

    def log(self, g: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of smallest norm whose exponential is ``g``, for n = 2 and 3.

        Accurate at every angle and smooth at the identity. At angle pi two answers exist and one is returned.

        Raises:
            GroupError: if a determinant is negative (no such logarithm is real), or if n > 3.
        """
        if self.n not in (2, 3):
            raise GroupError(f"the logarithm of {self} is not implemented", got=f"n = {self.n}", expected="n = 2 or 3")
        if (torch.linalg.det(self._checked(g)) < 0).any():
            raise GroupError(
                f"a reflection in {self} has no real logarithm",
                got="a determinant of -1",
                expected="rotations only",
                fix=f"draw from SO({self.n}), or multiply by a fixed reflection first",
            )
        return matrix_to_angle(g).unsqueeze(-1) if self.n == 2 else matrix_to_rotation_vector(g)


@final
@dataclass(frozen=True)
class O(_OrthogonalGroup):  # noqa: E742 (the name of the group)
    """All n x n matrices with ``R^T R = 1``: rotations and reflections.

    ``sample`` draws from the Haar measure; half of the draws have determinant -1.

    Example:
        >>> str(O(3)), O(3).dim
        ('O(3)', 3)
    """

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw from the Haar measure, both determinants with probability one half."""
        drawn = _haar(batch, self.n, rng, device)
        return drawn.to(dtype or torch.get_default_dtype())


@final
@dataclass(frozen=True)
class SO(_OrthogonalGroup):
    """The rotations: n x n matrices with ``R^T R = 1`` and determinant +1.

    Example:
        >>> quarter = SO(2).exp(torch.tensor([torch.pi / 2]))
        >>> SO(2).apply(quarter, torch.tensor([1.0, 0.0])).round()
        tensor([-0., 1.])
    """

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw from the Haar measure: for n = 3 from quaternions uniform on the sphere."""
        if self.n == 3:
            drawn = quaternion_to_matrix(standard_normal(*batch, 4, rng=rng, device=device))
        else:
            drawn = _haar(batch, self.n, rng, device)
            drawn[..., 0] *= torch.linalg.det(drawn).sign().unsqueeze(-1)
        return drawn.to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether ``g^T g`` is the identity up to ``tolerance`` and the determinant positive."""
        return super().contains(g, tolerance) & (torch.linalg.det(g) > 0)


def _haar(batch: tuple[int, ...], n: int, rng: torch.Generator | None, device: torch.device | str | None) -> Tensor:
    """Orthonormalise normal matrices; without the sign fix the result depends on the QR routine's habit."""
    q, r = torch.linalg.qr(standard_normal(*batch, n, n, rng=rng, device=device))
    return q * r.diagonal(dim1=-2, dim2=-1).sign().unsqueeze(-2)
