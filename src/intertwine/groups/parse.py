"""Groups by name: ``parse_group("SE(3)")``, ``"O(3) x S_5"``, ``"C_4"``, ``"S_n"``, ``"O(1,3)"``, ``"E(2) in 3D"``.

``str`` of a group is such a name. The size may be written ``SO(3)``, ``SO_3`` or ``SO3``; factors are joined
by ``x``, ``×`` or ``*``.
"""

import difflib
import re
from collections.abc import Callable

from intertwine.errors import GroupError
from intertwine.groups.embedded import Embedded
from intertwine.groups.euclidean import SE, E
from intertwine.groups.group import Group
from intertwine.groups.linear import GL, SL, Affine, GLPlus
from intertwine.groups.lorentz import Lorentz, ProperLorentz
from intertwine.groups.orthogonal import SO, O
from intertwine.groups.permutations import SymmetricGroup
from intertwine.groups.planar import CyclicGroup, DihedralGroup
from intertwine.groups.product import ProductGroup
from intertwine.groups.translations import T
from intertwine.groups.unitary import SU, U

__all__ = ["parse_group"]

_MAKERS: dict[str, Callable[[int], Group]] = {
    "O": O,
    "SO": SO,
    "E": E,
    "SE": SE,
    "T": T,
    "S": SymmetricGroup,
    "C": CyclicGroup,
    "D": DihedralGroup,
    "GL": GL,
    "GL+": GLPlus,
    "SL": SL,
    "Affine": Affine,
    "U": U,
    "SU": SU,
}
_LORENTZ: dict[str, Callable[[int], Group]] = {"O": Lorentz, "SO": ProperLorentz}
_NAMES = (
    *("O(n)", "SO(n)", "E(n)", "SE(n)", "T(n)", "S_n", "C_n", "D_n", "GL(n)", "GL+(n)", "SL(n)", "Affine(n)"),
    *("O(1,n)", "SO(1,n)", "U(n)", "SU(n)"),
)
_FACTOR = re.compile(r"(?P<name>[A-Za-z]+\+?)(?:\(\s*(?P<time>1\s*,\s*)?(?P<a>\w+)\s*\)|_?(?P<b>\d+|n))")
_EMBEDDED = re.compile(r"(?P<inner>.+?)\s+in\s+(?P<n>\d+)D")


def parse_group(text: str) -> Group:
    """Return the group that ``text`` names.

    Raises:
        GroupError: if there is no such group; the message lists the names and the nearest one.

    Example:
        >>> parse_group("O(3) x S_5")
        ProductGroup(factors=(O(n=3), SymmetricGroup(n=5)))
    """
    parts = [part.strip() for part in re.split(r"\s+x\s+|[×*]", text)]  # noqa: RUF001
    factors = [_parse_factor(part, text) for part in parts]
    return factors[0] if len(factors) == 1 else ProductGroup(*factors)


def _parse_factor(part: str, text: str) -> Group:
    if embedded := _EMBEDDED.fullmatch(part):
        inner = _parse_factor(embedded["inner"], text)
        return Embedded(inner, int(embedded["n"]))  # pyright: ignore[reportArgumentType] - it checks the kind
    match = _FACTOR.fullmatch(part)
    size = (match["a"] or match["b"]) if match else ""
    if match and match["time"]:
        if match["name"] in _LORENTZ and size.isdecimal():
            return _LORENTZ[match["name"]](1 + int(size))
    elif match and match["name"] in _MAKERS:
        if size.isdecimal():
            return _MAKERS[match["name"]](int(size))
        if size == "n" and match["name"] == "S":
            return SymmetricGroup(None)
    raise GroupError(
        f"there is no group {part!r}",
        got=text,
        expected=f"{', '.join(_NAMES)} with a number for n (S_n may stay open), or factors joined by ' x '",
        fix=f"did you mean {_nearest(part, size)!r}?",
    )


def _nearest(part: str, size: str) -> str:
    number = next(iter(reversed(re.findall(r"\d+", part))), size if size.isdecimal() else "3")
    known = [name.replace("n)", f"{number})").replace("_n", f"_{number}") for name in _NAMES]
    by_lower_case = {name.lower(): name for name in reversed(known)}
    close = difflib.get_close_matches(part.lower(), by_lower_case, n=1, cutoff=0.0)
    return by_lower_case[close[0]]
