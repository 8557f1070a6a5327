"""Real spherical harmonics of e3nn 0.6: polar axis y, l = 1 components (x, y, z), no Condon-Shortley sign.

They are built degree by degree as homogeneous polynomials of the vector, Y^{l+1} being the top coupling of Y^l with the
vector itself. No angle is ever formed, so all derivatives of any order are finite everywhere, and rounding grows only
linearly with the degree. This is the reference path.
"""

from collections.abc import Sequence
from functools import cache
from math import pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.representations.coupling import wigner_3j
from intertwine.representations.irreps import Irrep, Irreps
from intertwine.representations.tables import TableModule

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
    tables = [_raise_table(l).to(vectors) for l in range(1, max(wanted, default=0))]  # noqa: E741
    return _evaluate(vectors, wanted, tables, normalize, normalization)


class SphericalHarmonics(TableModule):
    """Module form of `spherical_harmonics`: its tables are buffers, so that it compiles, exports and moves to a device.

    Args:
        degrees, normalize, normalization: as for `spherical_harmonics`.
    """

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
        self._tables = [f"raise_{l}" for l in range(1, max(self.degrees, default=0))]  # noqa: E741
        for degree, name in enumerate(self._tables, start=1):
            self.add_table(name, _raise_table(degree))

    def forward(self, vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch dim"]:
        """Return the harmonics of the vectors."""
        _check(vectors, self.normalization)
        tables = [getattr(self, name) for name in self._tables]
        return _evaluate(vectors, self.degrees, tables, self.normalize, self.normalization)


def _check(vectors: Tensor, normalization: str) -> None:
    if vectors.shape[-1:] != (3,):
        raise ShapeError("spherical harmonics need vectors", got=tuple(vectors.shape), expected="(..., 3)")
    if normalization not in _NORMALIZATIONS:
        raise RepresentationError(
            "unknown normalization of spherical harmonics",
            got=normalization,
            expected=", ".join(_NORMALIZATIONS),
        )


def _evaluate(vectors: Tensor, degrees: list[int], tables: list[Tensor], normalize: bool, normalization: str) -> Tensor:
    if not degrees:
        return vectors[..., :0]
    unit = _unit(vectors) if normalize else vectors
    harmonics = [torch.ones_like(unit[..., :1]), unit]
    for table in tables:
        harmonics.append((harmonics[-1].unsqueeze(-1) * unit.unsqueeze(-2)).flatten(-2) @ table)
    return torch.cat([_scale(degree, normalization) * harmonics[degree] for degree in degrees], dim=-1)


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
