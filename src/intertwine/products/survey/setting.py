"""The settings in which products are compared: one irrep or many in the inputs, one irrep or many in the output.

SISO: degree L with degree L into degree L. SIMO: degree L with degree L into all degrees up to 2 L. MIMO: all degrees
up to L in both inputs, all degrees up to 2 L in the output. Every irrep stands once; inputs have natural parity
(-1)^l, and so have the outputs in the published timings, which leaves the odd couplings out; ``outputs="all"`` keeps
them. `given_setting` takes any irreps instead.
(Xie et al., "The Price of Freedom", the input and output settings of section 4.)
"""

from dataclasses import dataclass
from typing import Literal, get_args

from intertwine.errors import ConfigError, RepresentationError
from intertwine.representations import Irrep, Irreps

__all__ = ["OUTPUTS", "SETTINGS", "Setting", "SettingName", "given_setting", "make_setting"]

SettingName = Literal["SISO", "SIMO", "MIMO"]
SETTINGS: tuple[str, ...] = get_args(SettingName)
"""The names of the settings."""
OUTPUTS = ("natural", "all")
"""Which parities the output has."""


@dataclass(frozen=True)
class Setting:
    """Irreps of two inputs and of an output, for one largest degree of the inputs.

    Args:
        name: ``SISO``, ``SIMO`` or ``MIMO``, or ``given`` for irreps of one's own.
        lmax: the degree L.
        irreps_in1, irreps_in2, irreps_out: irreps, multiplicity 1 each.
        outputs: ``natural`` or ``all``, which parities the output has.
    """

    name: str
    lmax: int
    irreps_in1: Irreps
    irreps_in2: Irreps
    irreps_out: Irreps
    outputs: str = "natural"

    @property
    def title(self) -> str:
        """What it is, in words."""
        if self.name == "given":
            return f"{self.irreps_in1} with {self.irreps_in2} into {self.irreps_out}"
        return f"{self.name} with L = {self.lmax}"

    @property
    def paths(self) -> list[tuple[Irrep, Irrep, Irrep]]:
        """The couplings that O(3) allows."""
        return [
            (a, b, c)
            for a in self.irreps_in1.irreps
            for b in self.irreps_in2.irreps
            for c in self.irreps_out.irreps
            if c in a * b
        ]

    def require_paths(self) -> None:
        """Refuse a setting in which there is nothing to compute.

        Raises:
            RepresentationError: if O(3) allows no path.
        """
        if not self.paths:
            even = (
                "take an even degree: the product of two equal parities is even, and an odd degree of natural parity "
                "is not"
            )
            raise RepresentationError(
                f"no allowed path in the setting {self.title}: the expressivity is 0",
                got=f"{self.irreps_in1} with {self.irreps_in2} into {self.irreps_out}",
                expected=f"out within {self.irreps_in1.tensor_product(self.irreps_in2)}",
                fix=None if self.name == "given" else even,
                code="E203",
            )


def make_setting(name: str, lmax: int, lmax_out: int | None = None, outputs: str = "natural") -> Setting:
    """Return the setting of a name at degree ``lmax``.

    A setting without an allowed path (SISO with odd L) is returned as well, so that it can be listed as such;
    `Setting.require_paths` refuses it.

    Args:
        name: ``SISO``, ``SIMO`` or ``MIMO``; capitals do not matter.
        lmax: the degree L.
        lmax_out: cut the output there instead of at 2 L (MIMO and SIMO).
        outputs: ``natural`` parity only, or ``all`` irreps that the inputs give.

    Raises:
        ConfigError: if there is no such setting, or a degree is negative.

    Example:
        >>> make_setting("SIMO", 2).irreps_out
        Irreps('1x0e + 1x2e + 1x4e')
    """
    if name.upper() not in SETTINGS or outputs not in OUTPUTS:
        raise ConfigError(
            "there is no such setting",
            got={"setting": name, "outputs": outputs},
            expected=f"setting {', '.join(SETTINGS)}; outputs {' or '.join(OUTPUTS)}",
        )
    if lmax < 0 or (lmax_out is not None and lmax_out < 0):
        raise ConfigError("a degree is 0 or more", got={"lmax": lmax, "lmax_out": lmax_out}, expected="0, 1, 2, ...")
    name = name.upper()
    inputs = Irreps.spherical_harmonics(lmax) if name == "MIMO" else Irreps(Irrep(lmax, (-1) ** lmax))
    given = [ir for _, ir in inputs.tensor_product(inputs)]
    if name == "SISO":
        natural = Irrep(lmax, (-1) ** lmax)
        out = [natural] if outputs == "natural" else [ir for ir in given if ir.l == lmax]
    else:
        highest = 2 * lmax if lmax_out is None else lmax_out
        out = [ir for ir in given if ir.l <= highest and (outputs == "all" or ir.natural)]
    return Setting(name, lmax, inputs, inputs, Irreps(out), outputs)


def given_setting(
    irreps_in1: "str | Irreps", irreps_in2: "str | Irreps | None" = None, irreps_out: "str | Irreps | None" = None
) -> Setting:
    """Return the setting of irreps of one's own.

    Args:
        irreps_in1: irreps of the first input, multiplicity 1 each.
        irreps_in2: of the second input; None takes those of the first.
        irreps_out: what is needed; None takes all that the inputs give.

    Raises:
        RepresentationError: if a multiplicity is not 1, or an input is empty.

    Example:
        >>> given_setting("1o", "1o").irreps_out
        Irreps('1x0e + 1x1e + 1x2e')
    """
    first = Irreps(irreps_in1)
    second = first if irreps_in2 is None else Irreps(irreps_in2)
    whole = Irreps(sorted(set(first.tensor_product(second).irreps)))
    out = whole if irreps_out is None else Irreps(irreps_out)
    if not whole.entries or any(mul != 1 for irreps in (first, second, out) for mul, _ in irreps):
        raise RepresentationError(
            "products are compared on one copy of each irrep",
            got={"in1": first, "in2": second, "out": out},
            expected="multiplicity 1 throughout, such as 0e + 1o + 2e",
            fix="multiplicities are channels, which are leading axes",
            code="E204",
        )
    return Setting("given", max(first.lmax, second.lmax), first, second, out, "all")
