"""Linear groups that are not compact: GL(n), GL+(n), SL(n) and Affine(n).

Matrices ``(..., n, n)``, or homogeneous matrices ``(..., n+1, n+1)`` for Affine(n), that act on column
vectors. There is no Haar probability measure to draw from: the linear part is drawn in polar form, a Haar
orthogonal matrix times the exponential of a symmetric one whose entries are normal with standard deviation
``stretch_scale`` (those off the diagonal divided by the square root of 2). Every element can be drawn. The
decompositions and logarithms that integrate over these groups come with the Lie-group system.
"""

from dataclasses import dataclass, field
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.groups.euclidean import homogeneous
from intertwine.groups.group import check_element_shape, check_size, standard_normal
from intertwine.groups.matrices import MatrixGroup
from intertwine.groups.orthogonal import SO, O

__all__ = ["GL", "SL", "Affine", "GLPlus"]


@dataclass(frozen=True)
class _LinearGroup(MatrixGroup):
    """What the four share: matrices that multiply, with ``_border`` more rows than dimensions."""

    n: int
    stretch_scale: float = field(default=0.5, compare=False)

    orthogonal = False

    def __post_init__(self) -> None:
        check_size(self.n, type(self).__name__)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.n})"

    def inverse(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
        """Return the inverse matrix."""
        return torch.linalg.inv(self._checked(g))

    def apply(self, g: Float[Tensor, "*g m m"], x: Float[Tensor, "*x n"]) -> Float[Tensor, "*gx n"]:
        """Return ``g x``, or ``A x + t`` for Affine(n)."""
        check_element_shape(x, (self.n,), f"the space on which {self} acts")
        moved = (self.linear(g) @ x.unsqueeze(-1)).squeeze(-1)
        translation = self.translation(g)
        return moved if translation is None else moved + translation

    def linear(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n n"]:
        """Return the matrix that acts on vectors; it is not orthogonal."""
        return self._checked(g)[..., : self.n, : self.n]


@final
@dataclass(frozen=True)
class GL(_LinearGroup):
    """The invertible n x n matrices, of either orientation."""

    @property
    def dim(self) -> int:
        """Return n^2."""
        return self.n**2

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw a Haar orthogonal matrix times the exponential of a normal symmetric matrix."""
        orthogonal = O(self.n).sample(*batch, rng=rng, dtype=torch.float64, device=device)
        stretch = torch.linalg.matrix_exp(_symmetric(batch, self.n, self.stretch_scale, rng, device))
        return (orthogonal @ stretch).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the size of the determinant is larger than ``tolerance`` (0 if None)."""
        return torch.linalg.det(self._checked(g)).abs() > (tolerance or 0.0)


@final
@dataclass(frozen=True)
class GLPlus(_LinearGroup):
    """The n x n matrices of positive determinant; ``str`` gives ``GL+(n)``."""

    def __str__(self) -> str:
        return f"GL+({self.n})"

    @property
    def dim(self) -> int:
        """Return n^2."""
        return self.n**2

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw a Haar rotation times the exponential of a normal symmetric matrix."""
        rotation = SO(self.n).sample(*batch, rng=rng, dtype=torch.float64, device=device)
        stretch = torch.linalg.matrix_exp(_symmetric(batch, self.n, self.stretch_scale, rng, device))
        return (rotation @ stretch).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the determinant is larger than ``tolerance`` (0 if None)."""
        return torch.linalg.det(self._checked(g)) > (tolerance or 0.0)


@final
@dataclass(frozen=True)
class SL(_LinearGroup):
    """The n x n matrices of determinant one: the linear maps that keep volume and orientation."""

    @property
    def dim(self) -> int:
        """Return n^2 - 1."""
        return self.n**2 - 1

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch n n"]:
        """Draw a Haar rotation times the exponential of a normal symmetric matrix without its trace."""
        rotation = SO(self.n).sample(*batch, rng=rng, dtype=torch.float64, device=device)
        symmetric = _symmetric(batch, self.n, self.stretch_scale, rng, device)
        trace = symmetric.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
        traceless = symmetric - trace * torch.eye(self.n, dtype=torch.float64, device=device)
        return (rotation @ torch.linalg.matrix_exp(traceless)).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch n n"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether the determinant is one up to ``tolerance``, relative to the product of row lengths.

        That product bounds the determinant and so the rounding error in it; None stands for 32 n epsilon.
        """
        tolerance = 32 * self.n * torch.finfo(g.dtype).eps if tolerance is None else tolerance
        bound = self._checked(g).norm(dim=-1).prod(-1)
        return (torch.linalg.det(g) - 1).abs() <= tolerance * bound


@final
@dataclass(frozen=True)
class Affine(_LinearGroup):
    """The maps ``x -> A x + t`` with any invertible A, of either orientation, as homogeneous matrices."""

    translation_scale: float = field(default=1.0, compare=False)

    _border = 1

    @property
    def dim(self) -> int:
        """Return n^2 + n."""
        return self.n**2 + self.n

    def sample(
        self,
        *batch: int,
        rng: torch.Generator | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> Float[Tensor, "*batch m m"]:
        """Draw a Haar orthogonal matrix times a stretch, and a translation of scale ``translation_scale``."""
        orthogonal = O(self.n).sample(*batch, rng=rng, dtype=torch.float64, device=device)
        stretch = torch.linalg.matrix_exp(_symmetric(batch, self.n, self.stretch_scale, rng, device))
        translation = self.translation_scale * standard_normal(*batch, self.n, rng=rng, device=device)
        return homogeneous(orthogonal @ stretch, translation).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch m m"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether |det A| exceeds ``tolerance`` (0 if None) and the last row is (0, ..., 0, 1)."""
        last_row = self.identity(dtype=g.dtype, device=g.device)[-1]
        invertible = torch.linalg.det(self.linear(g)).abs() > (tolerance or 0.0)
        return invertible & (g[..., -1, :] == last_row).all(-1) & g.isfinite().all(-1).all(-1)

    def translation(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch n"]:
        """Return the image of the origin."""
        return self._checked(g)[..., : self.n, self.n]


def _symmetric(
    batch: tuple[int, ...],
    n: int,
    scale: float,
    rng: torch.Generator | None,
    device: torch.device | str | None,
) -> Tensor:
    drawn = scale * standard_normal(*batch, n, n, rng=rng, device=device)
    return (drawn + drawn.mT) / 2
