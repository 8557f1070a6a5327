"""Real spherical harmonics of e3nn 0.6: polar axis y, l = 1 components (x, y, z), no Condon-Shortley sign.

They are built degree by degree as homogeneous polynomials of the vector, Y^{l+1} being the top coupling of Y^l with the
vector itself. No angle is ever formed, so all derivatives of any order are finite everywhere, and rounding grows only
linearly with the degree. The recursion is run by `intertwine.kernels.harmonics`: a fused kernel, or its reference.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.kernels import harmonics
from intertwine.representations.coupling import wigner_3j
from intertwine.representations.irreps import Irrep, Irreps

__all__ = ["SphericalHarmonics", "spherical_harmonics"]

_NORMALIZATIONS = ("integral", "component", "norm")


def spherical_harmonics(
    degrees: "int | Sequence[int] | str | Irreps",
    vectors: Float[Tensor, "*batch 3"],
    normalize: bool = True,
    normalization: str = "integral",
) -> Float[Tensor, "*batch dim"]:
    """Evaluate the harmonics of the given degrees, concatenated in the given order.

    Law: ``Y^l(R r) = D^l(R) Y^l(r)``, and ``(-1)^l`` under inversion.

    Args:
        degrees: one degree, several, or irreps (whose parities must be natural or all even).
        vectors: Cartesian (x, y, z).
        normalize: divide the vectors by their length first. The zero vector then has Y^0 as everywhere, zero for every
            other degree, and zero gradient. Without it the result is the solid harmonic ``|r|^l Y^l``.
        normalization: ``integral`` is orthonormal on the sphere; ``component`` has squared norm 2l + 1 on the sphere;
            ``norm`` has norm 1.

    Raises:
        ShapeError: if the last axis is not of length 3.
        RepresentationError: on an unknown normalization, or irreps that no vector's harmonics have.

    Example:
        >>> spherical_harmonics(1, torch.tensor([0.0, 2.0, 0.0]), normalization="norm")
        tensor([0., 1., 0.])
    """
    wanted = _degrees(degrees)
    _check(vectors, normalization)
    terms, scales = _recursion(max(wanted, default=0), normalization)
    return _evaluate(vectors, wanted, terms.to(vectors.device), scales.to(vectors.device), normalize)


class SphericalHarmonics(nn.Module):
    """Module form of `spherical_harmonics`: its tables are buffers, so that it compiles, exports and moves to a device.

    Args:
        degrees, normalize, normalization: as for `spherical_harmonics`.
    """

    terms: Tensor
    scales: Tensor

    def __init__(
        self,
        degrees: "int | Sequence[int] | str | Irreps",
        normalize: bool = True,
        normalization: str = "integral",
    ) -> None:
        super().__init__()
        self.degrees = _degrees(degrees)
        self.normalize, self.normalization = normalize, normalization
        self.irreps_out = Irreps([(1, Irrep(l, (-1) ** l)) for l in self.degrees])  # noqa: E741
        if normalization not in _NORMALIZATIONS:
            raise _unknown(normalization)
        terms, scales = _recursion(max(self.degrees, default=0), normalization)
        self.register_buffer("terms", terms.clone(), persistent=False)
        self.register_buffer("scales", scales.clone(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "SphericalHarmonics":
        exact = self.terms, self.scales
        super()._apply(fn, recurse)
        # the recursion stays float64; kernels round it once
        self.terms, self.scales = (table.to(self.terms.device) for table in exact)
        return self

    def forward(self, vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch dim"]:
        """Return the harmonics of the vectors."""
        _check(vectors, self.normalization)
        return _evaluate(vectors, self.degrees, self.terms, self.scales, self.normalize)


def _check(vectors: Tensor, normalization: str) -> None:
    if vectors.shape[-1:] != (3,):
        raise ShapeError("spherical harmonics need vectors", got=tuple(vectors.shape), expected="(..., 3)")
    if normalization not in _NORMALIZATIONS:
        raise _unknown(normalization)


def _unknown(normalization: str) -> RepresentationError:
    return RepresentationError(
        "unknown normalization of spherical harmonics", got=normalization, expected=", ".join(_NORMALIZATIONS)
    )


def _evaluate(vectors: Tensor, degrees: list[int], terms: Tensor, scales: Tensor, normalize: bool) -> Tensor:
    if not degrees:
        return vectors[..., :0]
    unit = _unit(vectors) if normalize else vectors
    found = harmonics(unit.reshape(-1, 3), terms, scales, max(degrees))
    found = found.reshape(*unit.shape[:-1], scales.shape[0])
    if degrees == list(range(len(degrees))):
        return found
    return torch.cat([found[..., degree**2 : (degree + 1) ** 2] for degree in degrees], dim=-1)


def _unit(vectors: Tensor) -> Tensor:
    """Vectors of length 1; the zero vector stays zero, and so does its gradient."""
    square = vectors.square().sum(-1, keepdim=True)
    is_zero = square == 0
    # The inner `where` keeps the square root away from zero, so that its infinite slope never meets a zero.
    length = torch.where(is_zero, torch.ones_like(square), square).sqrt()
    return torch.where(is_zero, torch.zeros_like(vectors), vectors / length)


def _scale(degree: int, normalization: str) -> float:
    if normalization == "norm":
        return 1.0
    return sqrt(2 * degree + 1) / (1.0 if normalization == "component" else sqrt(4 * pi))


@cache
def _recursion(degree: int, normalization: str) -> tuple[Tensor, Tensor]:
    """The recursion up to a degree as the kernels take it: terms (from, axis, to, value), and a scale a component."""
    terms = [torch.tensor([[0, axis, 1 + axis, 1] for axis in range(3)], dtype=torch.float64)]
    for low in range(1, degree):
        table = _raise_table(low).unflatten(0, (-1, 3))
        places = table.permute(2, 0, 1).nonzero()  # sorted by the component written
        to, start, axis = places.T
        values = table[start, axis, to]
        terms.append(torch.stack([start + low**2, axis.double(), to + (low + 1) ** 2, values], dim=-1))
    scales = [_scale(l, normalization) for l in range(degree + 1) for _ in range(2 * l + 1)]  # noqa: E741
    kept = torch.cat(terms) if degree else torch.zeros(0, 4, dtype=torch.float64)
    return kept, torch.tensor(scales, dtype=torch.float64)


@cache
def _raise_table(degree: int) -> Tensor:
    """Matrix from the products of Y^degree with the vector to Y^(degree + 1), 'norm' normalisation.

    On the polar axis every Y^l is the unit vector of component m = 0, which fixes the factor.
    """
    coupling = wigner_3j(degree, 1, degree + 1, dtype=torch.float64)
    return (coupling / coupling[degree, 1, degree + 1]).flatten(0, 1)


def _degrees(degrees: "int | Sequence[int] | str | Irreps") -> list[int]:
    if isinstance(degrees, int):
        wanted = [degrees]
    elif isinstance(degrees, str | Irreps):
        irreps = Irreps(degrees)
        even = all(ir.p == 1 for _, ir in irreps)
        if not even and not all(ir.natural for _, ir in irreps):
            raise RepresentationError(
                "these irreps are not those of spherical harmonics",
                got=irreps,
                expected="parity (-1)^l throughout (a polar vector), or even throughout (an axial vector)",
            )
        wanted = [ir.l for mul, ir in irreps for _ in range(mul)]
    else:
        wanted = list(degrees)
    if any(degree < 0 for degree in wanted):
        raise RepresentationError("a degree cannot be negative", got=wanted)
    return wanted
