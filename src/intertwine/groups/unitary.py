"""The unitary groups U(n) and SU(n), as real matrices ``(..., 2n, 2n)`` that act on n complex coordinates.

Complex vectors are held as real ones in the order (re, im, re, im, ...), that of ``torch.view_as_real``, and an
element has the block ``[[a, -b], [b, a]]`` where the complex matrix has ``a + ib``. So U(n) lies in SO(2n), and
whatever takes orthogonal matrices takes it. `complex_to_real` and `real_to_complex` convert matrices.

Lie algebra: anti-Hermitian matrices. Coordinates are first, for each pair j < k in the order (0, 1), (0, 2), ...,
(1, 2), ..., a rotation of axis j towards axis k, then for each pair the imaginary part of both entries, then
phases: for U(n) one for each axis, for SU(n) the phase of axis k against axis k + 1.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from intertwine.groups.group import check_element_shape, check_size, standard_normal
from intertwine.groups.matrices import MatrixGroup

__all__ = ["SU", "U", "complex_to_real", "real_to_complex"]


def complex_to_real(matrix: Complex[Tensor, "*batch rows columns"]) -> Float[Tensor, "*batch rows2 columns2"]:
    """Return the real matrices that act on (re, im, re, im, ...) as complex ones act on complex vectors."""
    real, imag = matrix.real, matrix.imag
    blocks = torch.stack([torch.stack([real, -imag], -1), torch.stack([imag, real], -1)], dim=-3)
    return blocks.flatten(-2).flatten(-3, -2)


def real_to_complex(matrix: Float[Tensor, "*batch rows2 columns2"]) -> Complex[Tensor, "*batch rows columns"]:
    """Return the complex matrices of real ones that commute with the imaginary unit."""
    return torch.complex(matrix[..., 0::2, 0::2], matrix[..., 1::2, 0::2])


@dataclass(frozen=True)
class _UnitaryGroup(MatrixGroup):
    """What U(n) and SU(n) share: all but the draw, the determinant and the phases."""

    n: int

    def __post_init__(self) -> None:
        check_size(self.n, type(self).__name__)

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.n})"

    @property
    def _size(self) -> int:
        return 2 * self.n

    def inverse(self, g: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch m m"]:
        """Return the transpose, which is the adjoint of the complex matrix."""
        return self._checked(g).mT

    def contains(self, g: Float[Tensor, "*batch m m"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether ``g`` is orthogonal and complex, each entry up to ``tolerance`` (64 n epsilon if None)."""
        tolerance = self._tolerance(self._checked(g), tolerance)
        error = g.mT @ g - self.identity(dtype=g.dtype, device=g.device)
        unlike = g - complex_to_real(real_to_complex(g))
        return (torch.maximum(error.abs(), unlike.abs()) <= tolerance).all(-1).all(-1)

    def hat(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the real form of the anti-Hermitian matrices with these coordinates."""
        check_element_shape(coordinates, (self.dim,), f"the Lie algebra of {self}")
        first, second = torch.triu_indices(self.n, self.n, 1, device=coordinates.device)
        turns, shears, phases = coordinates.split([len(first), len(first), self.dim - 2 * len(first)], dim=-1)
        real = coordinates.new_zeros(*coordinates.shape[:-1], self.n, self.n)
        imag = torch.zeros_like(real)
        real[..., second, first] = turns
        imag[..., second, first] = shears
        imag = imag + imag.mT + torch.diag_embed(self._spread(phases))
        return complex_to_real(torch.complex(real - real.mT, imag))

    def vee(self, algebra: Float[Tensor, "*batch m m"]) -> Float[Tensor, "*batch dim"]:
        """Return the coordinates of anti-Hermitian matrices in real form."""
        matrix = real_to_complex(self._checked(algebra))
        first, second = torch.triu_indices(self.n, self.n, 1, device=algebra.device)
        pairs = matrix[..., second, first]
        phases = self._gather(matrix.imag.diagonal(dim1=-2, dim2=-1))
        return torch.cat([pairs.real, pairs.imag, phases], dim=-1)

    def exp(self, coordinates: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch m m"]:
        """Return the element that the one-parameter group of the coordinates reaches at time one."""
        return torch.linalg.matrix_exp(self.hat(coordinates))

    def _spread(self, phases: Tensor) -> Tensor:
        """Return the phase of each axis."""
        return phases

    def _gather(self, diagonal: Tensor) -> Tensor:
        """Return the coordinates of the phases of the axes."""
        return diagonal

    def _tolerance(self, g: Tensor, tolerance: float | None) -> float:
        return 64 * self.n * torch.finfo(g.dtype).eps if tolerance is None else tolerance


@final
@dataclass(frozen=True)
class U(_UnitaryGroup):
    """The complex n x n matrices with ``g^* g = 1``.

    Example:
        >>> turn = complex_to_real(torch.tensor([[1j]]))
        >>> U(1).contains(turn), U(1).apply(turn, torch.tensor([3.0, 0.0]))
        (tensor(True), tensor([0., 3.]))
    """

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
    ) -> Float[Tensor, "*batch m m"]:
        """Draw from the Haar measure."""
        return complex_to_real(_haar(batch, self.n, rng, device)).to(dtype or torch.get_default_dtype())


@final
@dataclass(frozen=True)
class SU(_UnitaryGroup):
    """The unitary matrices of determinant one."""

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
    ) -> Float[Tensor, "*batch m m"]:
        """Draw from the Haar measure."""
        drawn = _haar(batch, self.n, rng, device)
        first = torch.linalg.det(drawn).conj()[..., None, None] * drawn[..., :1]
        drawn = torch.cat([first, drawn[..., 1:]], dim=-1)
        return complex_to_real(drawn).to(dtype or torch.get_default_dtype())

    def contains(self, g: Float[Tensor, "*batch m m"], tolerance: float | None = None) -> Bool[Tensor, "*batch"]:
        """Tell whether ``g`` is unitary and its complex determinant one, up to ``tolerance``."""
        determinant = torch.linalg.det(real_to_complex(self._checked(g)))
        return super().contains(g, tolerance) & ((determinant - 1).abs() <= self._tolerance(g, tolerance))

    def _spread(self, phases: Tensor) -> Tensor:
        return torch.nn.functional.pad(phases, (0, 1)) - torch.nn.functional.pad(phases, (1, 0))

    def _gather(self, diagonal: Tensor) -> Tensor:
        return diagonal.cumsum(-1)[..., :-1]


def _haar(batch: tuple[int, ...], n: int, rng: torch.Generator | None, device: torch.device | str | None) -> Tensor:
    """Orthonormalise complex normal matrices; the phases of R are moved to Q, as the measure needs."""
    normal = torch.view_as_complex(standard_normal(*batch, n, n, 2, rng=rng, device=device))
    q, r = torch.linalg.qr(normal)
    return q * r.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)
