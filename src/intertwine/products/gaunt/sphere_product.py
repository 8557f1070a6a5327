"""Products of functions on the sphere: what a pair of features can write, and how large the result is.

A feature x = (x_l) with parities p (-1)^l is the function f_x(r) = sum x_lm Y_lm(r), whose values have parity p: +1 for
a field of scalars (natural parity), -1 for a field of pseudo-scalars. A product multiplies such functions, or their
gradients, and projects on harmonics again, so that every coupling is ``constant(l1, l2, l3) C`` with known constants.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError
from intertwine.products.product import Product
from intertwine.representations import Irrep, Irreps

__all__ = ["SphereNormalization", "SphereProduct", "value_parity"]

SphereNormalization = Literal["integral", "component"]


def value_parity(irreps: "str | Irreps", name: str = "sphere") -> int:
    """Return the parity p of the values of a function whose coefficients have these irreps, of parity p (-1)^l.

    Args:
        irreps: irreps of the coefficients.
        name: the product that asks, for the error.

    Raises:
        RepresentationError: if parities are mixed, or there are no irreps.

    Example:
        >>> value_parity("0e + 1o + 2e"), value_parity("0o + 1e")
        (1, -1)
    """
    irreps = Irreps(irreps)
    parities = {ir.p * (-1) ** ir.l for ir in irreps.irreps}
    if len(parities) != 1:
        raise RepresentationError(
            f"the product `{name}` takes the coefficients of one function on the sphere",
            got=irreps or "no irreps",
            expected="parity (-1)^l throughout, such as 0e + 1o + 2e, or the opposite throughout, such as 0o + 1e",
            fix="split the features by parity (ParityGauntTensorProduct does), or use clebsch_gordan_dense",
            code="E205",
        )
    return parities.pop()


class SphereProduct(Product):
    """What products on the sphere share: parities, outputs that can be written, degree of the integrand, scales.

    Args:
        irreps_in1, irreps_in2: irreps of the inputs, multiplicity 1 each, of parity p (-1)^l with one p an input.
        irreps_out: what to write; None writes everything, up to the sum of the largest degrees.
        normalization: ``integral`` is the plain projection; ``component`` divides every output by the spread that
            independent standard normal inputs give it.

    Raises:
        RepresentationError: if parities are mixed, an output cannot be written, or the normalization is unknown.
    """

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        normalization: SphereNormalization = "integral",
    ) -> None:
        if normalization not in ("integral", "component"):
            raise RepresentationError(
                f"the product `{self.name}` has no such normalization",
                got=normalization,
                expected="integral or component",
            )
        a, b = Irreps(irreps_in1), Irreps(irreps_in2)
        parities = value_parity(a, self.name), value_parity(b, self.name)
        variances = self._variances(a.irreps, b.irreps)
        writable = Irreps(sorted(variances))
        out = writable if irreps_out is None else Irreps(irreps_out)
        missing = [str(ir) for ir in out.irreps if ir not in variances]
        if missing or not out.entries:
            raise RepresentationError(
                f"the product `{self.name}` cannot write {', '.join(missing) or 'anything from these inputs'}",
                got={"in1": a, "in2": b, "out": out if irreps_out is not None else "everything"},
                expected=f"out within {writable}" if writable.entries else "inputs that couple",
                fix=self._advice(),
                code="E203",
            )
        super().__init__(a, b, out)
        self.value_parities, self.normalization = parities, normalization
        self.degree = a.lmax + b.lmax + out.lmax
        """The degree of the integrand, which a grid must integrate exactly."""
        self._scales = [1.0 if normalization == "integral" else variances[ir] ** -0.5 for ir in out.irreps]
        self._add_tables()

    @abstractmethod
    def _add_tables(self) -> None:
        """Make the tables and modules that the product is computed with; irreps, degree and scales are known."""

    def channels_last(
        self, x: Float[Tensor, "*batch dim1 channels"], y: Float[Tensor, "*batch dim2 channels"]
    ) -> Float[Tensor, "*batch dim channels"]:
        """Return the product channel by channel, of features with components before channels (layout ``ir_mul``)."""
        return self(x.mT, y.mT).mT

    @staticmethod
    @abstractmethod
    def constant(l1: int, l2: int, l3: int) -> float:
        """Return the constant of a coupling in front of C, in ``integral`` normalization."""

    @staticmethod
    @abstractmethod
    def _advice() -> str:
        """What to use for the couplings that are not there."""

    def _variances(self, first: Iterable[Irrep], second: Iterable[Irrep]) -> dict[Irrep, float]:
        """For every irrep that can be written, the variance of its components for standard normal inputs."""
        found: dict[Irrep, float] = {}
        for a in first:
            for b in second:
                for degree in range(abs(a.l - b.l), a.l + b.l + 1):
                    constant = self.constant(a.l, b.l, degree)
                    if constant > 0:
                        ir = Irrep(degree, a.p * b.p)
                        found[ir] = found.get(ir, 0.0) + constant**2 / ir.dim
        return found

    def _columns(self, table: Tensor, irreps: Irreps, scales: Iterable[float] | None = None) -> Tensor:
        """The columns of a table over (l, m) that belong to the entries of ``irreps``, in their order and scaled."""
        factors = [1.0] * len(irreps) if scales is None else scales
        parts = [table[..., ir.l**2 : (ir.l + 1) ** 2] * s for ir, s in zip(irreps.irreps, factors, strict=True)]
        return torch.cat(parts, dim=-1)
