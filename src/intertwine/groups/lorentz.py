"""The Lorentz groups O(1,m) and SO(1,m): matrices ``(..., m+1, m+1)`` that keep ``t^2 - |x|^2``.

A vector is (t, x), time first, in units in which the speed of light is one; the metric is ``eta = diag(1, -1,
..., -1)``, and g is an element if ``g^T eta g = eta``. Lie algebra: coordinates are those of the rotations of
space, as in SO(m), followed by the rapidity of a boost: ``hat(w, b) = [[0, b^T], [b, hat(w)]]``. The boost of
rapidity vector b carries a body at rest to the velocity ``tanh|b|`` in the direction of b.

The groups are not compact. An element is drawn as a boost, whose rapidity vector is normal with standard
deviation ``rapidity_scale`` for each component, after a Haar orthogonal map of space and a reversal of time.
"""

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import GroupError
from intertwine.groups.group import check_element_shape, check_size, standard_normal
from intertwine.groups.matrices import MatrixGroup
from intertwine.groups.orthogonal import SO, O

__all__ = ["Lorentz", "ProperLorentz", "minkowski_metric"]


def minkowski_metric(
    n: int, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Float[Tensor, " n"]:
    """Return the diagonal (1, -1, ..., -1) of the metric of n dimensions, time first."""
    diagonal = torch.full((n,), -1.0, dtype=dtype, device=device)
    diagonal[0] = 1.0
    return diagonal


@dataclass(frozen=True)
class _LorentzGroup(MatrixGroup):
    """What both share: all but the draw and the determinant; ``n`` counts time and space."""

    n: int
    rapidity_scale: float = field(default=0.5, compare=False)

    orthogonal = False
    _name = "O"

    def __post_init__(self) -> None:
        check_size(self.n, type(self).__name__, smallest=2)
        if not self.rapidity_scale > 0:
            raise GroupError("the scale of rapidities must be positive", got=self.rapidity_scale, expected="> 0")

    def __str__(self) -> str:
        return f"{self._name}(1,{self.n - 1})"

    @property
    def dim(self) -> int:
        """Return n (n - 1) / 2: the planes of rotation and the directions of boosts."""
        return self.n * (self.n - 1) // 2

    def inverse(self, g: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch n n"]:
        """Return ``eta g^T eta``."""
        eta = minkowski_metric(self.n, g.dtype, g.device)
        return eta.unsqueeze(-1) * self._checked(g).mT * eta

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether ``g^T eta g`` is eta, up to ``tolerance`` times the squared size of the element.

        That square, which a boost makes large, bounds the rounding error; None stands for 32 n epsilon.
        """
        tolerance = 32 * self.n * torch.finfo(g.dtype).eps if tolerance is None else tolerance
        eta = torch.diag(minkowski_metric(self.n, g.dtype, g.device))
        error = (self._checked(g).mT @ eta @ g - eta).abs().amax((-2, -1))
        return error <= tolerance * g.square().sum((-2, -1)) / self.n

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch n n"]:
        """Return ``[[0, b^T], [b, hat(w)]]`` of the coordinates (w, b)."""
        check_element_shape(coordinates, (self.dim,), f"the Lie algebra of {self}")
        space = SO(self.n - 1)
        turning, rapidity = coordinates.split([space.dim, self.n - 1], dim=-1)
        algebra = coordinates.new_zeros(*coordinates.shape[:-1], self.n, self.n)
        algebra[..., 1:, 1:] = space.hat(turning)
        algebra[..., 0, 1:] = rapidity
        algebra[..., 1:, 0] = rapidity
        return algebra

    def vee(self, algebra: Float[Tensor, "*batch n n"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates (w, b)."""
        self._checked(algebra)
        return torch.cat([SO(self.n - 1).vee(algebra[..., 1:, 1:]), algebra[..., 1:, 0]], dim=-1)

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch n n"]:
        """Return the element reached at time one; neither time nor space is reversed."""
        return torch.linalg.matrix_exp(self.hat(coordinates))

    def _boost(
        self, batch: tuple[int, ...], rng: torch.Generator | None, device: torch.device | str | None
    ) -> Float[Tensor, "*batch n n"]:
        rapidity = self.rapidity_scale * standard_normal(*batch, self.n - 1, rng=rng, device=device)
        return self.exp(torch.cat([rapidity.new_zeros(*batch, SO(self.n - 1).dim), rapidity], dim=-1))

    def _at_rest(self, time: Tensor, space: Tensor) -> Float[Tensor, "*batch n n"]:
        """Return block matrices of a sign of time and a map of space."""
        g = space.new_zeros(*space.shape[:-2], self.n, self.n)
        g[..., 0, 0], g[..., 1:, 1:] = time, space
        return g


@final
@dataclass(frozen=True)
class Lorentz(_LorentzGroup):
    """All linear maps that keep ``t^2 - |x|^2``: rotations, boosts, reflections and the reversal of time.

    Args:
        n: dimensions of time and space together: ``Lorentz(4)`` is O(1,3).
        rapidity_scale: standard deviation of each component of a drawn rapidity; it does not enter comparisons.

    Example:
        >>> boost = Lorentz(2).exp(torch.tensor([1.0]))
        >>> Lorentz(2).apply(boost, torch.tensor([1.0, 0.0]))
        tensor([1.5431, 1.1752])
    """

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw from all four components alike: see the module for the distribution."""
        space = O(self.n - 1).sample(*batch, rng=rng, dtype=torch.float64, device=device)
        time = O(1).sample(*batch, rng=rng, dtype=torch.float64, device=device)[..., 0, 0]
        drawn = self._boost(batch, rng, device) @ self._at_rest(time, space)
        return drawn.to(dtype or torch.get_default_dtype())


@final
@dataclass(frozen=True)
class ProperLorentz(_LorentzGroup):
    """The Lorentz maps of determinant one: time is reversed where space is mirrored.

    Args:
        n: dimensions of time and space together: ``ProperLorentz(4)`` is SO(1,3).
        rapidity_scale: standard deviation of each component of a drawn rapidity; it does not enter comparisons.
    """

    _name = "SO"

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw from both components alike: see the module for the distribution."""
        space = O(self.n - 1).sample(*batch, rng=rng, dtype=torch.float64, device=device)
        drawn = self._boost(batch, rng, device) @ self._at_rest(torch.linalg.det(space).sign(), space)
        return drawn.to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether ``g`` keeps the metric, as in O(1,m), and its determinant is positive."""
        return super().contains(g, tolerance) & (torch.linalg.det(g) > 0)
