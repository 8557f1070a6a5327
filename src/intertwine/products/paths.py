"""The description of a bilinear equivariant product: its irreps, its paths, and the factor of each path.

A path (in1, in2, out) couples one entry of each input to one entry of the output through the coupling tensor C. How
channels meet is its mode, written as in e3nn: ``uvw`` (all to all), ``uvu``, ``uvv``, ``uuw``, ``uuu``, ``uvuv``.
The factors make outputs of unit variance from unit-variance inputs and weights; they are those of e3nn 0.6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod, sqrt

from intertwine.errors import RepresentationError
from intertwine.representations import Irreps

__all__ = ["MODES", "Path", "Problem", "all_paths", "as_paths"]

MODES = ("uvw", "uvu", "uvv", "uuw", "uuu", "uvuv")


@dataclass(frozen=True)
class Path:
    """One coupling: the places of its entries in the two inputs and in the output."""

    in1: int
    in2: int
    out: int
    mode: str = "uvw"
    weighted: bool = True
    variance: float = 1.0


@dataclass(frozen=True)
class Problem:
    """Everything that fixes a tensor product, apart from the numbers: what every implementation of it accepts.

    Args:
        irreps_in1, irreps_in2, irreps_out: irreps of the inputs and the output.
        paths: the couplings that are summed.
        irrep_normalization: ``component``, ``norm`` or ``none``.
        path_normalization: ``element`` (all weight elements that feed an output share its variance), ``path`` (every
            path has the same share) or ``none``.

    Raises:
        RepresentationError: if a path breaks the triangle rule, the parity rule or the rule of its mode.
    """

    irreps_in1: Irreps
    irreps_in2: Irreps
    irreps_out: Irreps
    paths: tuple[Path, ...]
    irrep_normalization: str = "component"
    path_normalization: str = "element"

    def __post_init__(self) -> None:
        for name, allowed in (
            ("irrep_normalization", ("component", "norm", "none")),
            ("path_normalization", ("element", "path", "none")),
        ):
            if getattr(self, name) not in allowed:
                raise RepresentationError(f"unknown {name}", got=getattr(self, name), expected=", ".join(allowed))
        for path in self.paths:
            self._check(path)

    def entries(self, path: Path) -> tuple:
        """The three ``MulIrrep`` entries that a path joins."""
        return self.irreps_in1[path.in1], self.irreps_in2[path.in2], self.irreps_out[path.out]

    def weight_shape(self, path: Path) -> tuple[int, ...]:
        """The shape of a path's weight: the channels its mode ties to a weight."""
        a, b, c = (entry.mul for entry in self.entries(path))
        return {
            "uvw": (a, b, c), "uvu": (a, b), "uvv": (a, b), "uuw": (a, c), "uuu": (a,), "uvuv": (a, b),
        }[path.mode]  # fmt: skip

    @property
    def weight_numel(self) -> int:
        """The number of weights of all paths."""
        return sum(prod(self.weight_shape(path)) for path in self.paths if path.weighted)

    def factor(self, path: Path) -> float:
        """The constant in front of C for a path."""
        a, b, c = self.entries(path)
        alpha = {"component": c.ir.dim, "norm": a.ir.dim * b.ir.dim, "none": 1}[self.irrep_normalization]
        rivals = [other for other in self.paths if other.out == path.out]
        if self.path_normalization == "element":
            share = sum(self._fan_in(other) for other in rivals)
        elif self.path_normalization == "path":
            share = self._fan_in(path) * len(rivals)
        else:
            share = 1
        return sqrt(alpha * path.variance / share)

    def _fan_in(self, path: Path) -> int:
        a, b, _ = (entry.mul for entry in self.entries(path))
        return {"uvw": a * b, "uvu": b, "uvv": a, "uuw": a, "uuu": 1, "uvuv": 1}[path.mode]

    def _check(self, path: Path) -> None:
        if path.mode not in MODES:
            raise RepresentationError("unknown mode of a path", got=path.mode, expected=", ".join(MODES))
        a, b, c = self.entries(path)
        if c.ir not in a.ir * b.ir:
            raise RepresentationError(
                f"no coupling writes {c.ir}: the product of {a.ir} and {b.ir} contains only "
                + ", ".join(map(str, a.ir * b.ir)),
                got={"in1": a, "in2": b, "out": c},
                fix="drop the path, or change the output's degree or parity",
                code="E203",
            )
        required = {
            "uvw": True,
            "uvu": a.mul == c.mul,
            "uvv": b.mul == c.mul,
            "uuw": a.mul == b.mul,
            "uuu": a.mul == b.mul == c.mul,
            "uvuv": a.mul * b.mul == c.mul,
        }[path.mode]
        if not required:
            raise RepresentationError(
                f"multiplicities do not fit the mode {path.mode}",
                got={"in1": a, "in2": b, "out": c},
                expected="equal letters have equal multiplicities (uvuv: the product of both)",
                code="E204",
            )
        if not path.weighted and path.mode in ("uvw", "uuw") and c.mul != 1:
            raise RepresentationError(
                f"a path of mode {path.mode} needs weights", got={"in1": a, "in2": b, "out": c}, code="E204"
            )


def all_paths(irreps_in1: Irreps, irreps_in2: Irreps, irreps_out: Irreps, mode: str = "uvw") -> tuple[Path, ...]:
    """Every path that the triangle and parity rules allow, ordered by in1, in2, out."""
    return tuple(
        Path(i, j, k, mode)
        for i, a in enumerate(irreps_in1)
        for j, b in enumerate(irreps_in2)
        for k, c in enumerate(irreps_out)
        if c.ir in a.ir * b.ir
    )


def as_paths(paths: Sequence["Path | tuple"]) -> tuple[Path, ...]:
    """Paths from tuples in e3nn's order ``(in1, in2, out, mode, weighted, variance)``."""
    return tuple(path if isinstance(path, Path) else Path(*path) for path in paths)
