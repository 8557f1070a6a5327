"""Representations as text: ``"positions=Permuted(Point), species=Permuted(Invariant)"``.

Names are those of the classes, in any case: ``invariant``, ``vector``, ``pseudovector``, ``pseudoscalar``,
``point``, ``cartesian(2)``, ``irreps(8x0e + 4x1o)``, ``nodes`` (indices of items), ``permuted(point)``,
``permuted(0, 1, invariant)``, ``along(-2, vector)``.
"""

import difflib
import re

from intertwine.errors import SymmetryError
from intertwine.representations import (
    AlongAxis,
    Cartesian,
    Invariant,
    IrrepsTensor,
    NodeIndices,
    Permuted,
    Point,
    Representation,
    Vector,
)

__all__ = ["format_representation", "parse_representation", "parse_representations"]

_NAME = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)
_PLAIN = {
    "invariant": Invariant(),
    "scalar": Invariant(),
    "pseudoscalar": Cartesian(0, pseudo=True),
    "vector": Vector(),
    "pseudovector": Vector(pseudo=True),
    "point": Point(),
    "nodes": NodeIndices(),
    "nodeindices": NodeIndices(),
}
_WITH_ARGUMENTS = ("along", "cartesian", "irreps", "irrepstensor", "permuted")
_FORMS = (
    "invariant, vector, pseudovector, pseudoscalar, point, nodes, cartesian(2), irreps(8x0e + 4x1o), permuted(point), "
    "permuted(0, 1, invariant), along(-2, vector)"
)


def parse_representation(text: str) -> Representation:
    """Return the representation that ``text`` names.

    Numbers in ``permuted(...)`` are the permuted axes, 0 if there are none.

    Raises:
        SymmetryError: if the text is not a representation; the message lists the forms and the nearest name.

    Example:
        >>> parse_representation("permuted(0, 1, invariant)")
        Permuted(axes=(0, 1), inner=Invariant())
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise _unreadable(text, "a name, with arguments in parentheses where it has some")
    name, inside = match[1].lower(), match[2]
    if name in _PLAIN and not (inside or "").strip():
        return _PLAIN[name]
    arguments = _split(inside or "", text)
    if name == "cartesian" and len(arguments) in (1, 2) and arguments[0].isdecimal():
        if arguments[1:] in ([], ["pseudo"]):
            return Cartesian(int(arguments[0]), pseudo=len(arguments) == 2)
    elif name in ("irreps", "irrepstensor") and arguments:
        if arguments[1:] in ([], ["mul_ir"], ["ir_mul"]):
            return IrrepsTensor(arguments[0], "ir_mul" if arguments[1:] == ["ir_mul"] else "mul_ir")
    elif name == "permuted":
        axes = tuple(int(argument) for argument in arguments if argument.lstrip("-").isdecimal())
        inner = [argument for argument in arguments if not argument.lstrip("-").isdecimal()]
        if len(inner) <= 1:
            return Permuted(axes or (0,), parse_representation(inner[0]) if inner else Invariant())
    elif name == "along" and len(arguments) == 2 and arguments[0].lstrip("-").isdecimal():
        return AlongAxis(int(arguments[0]), parse_representation(arguments[1]))
    elif name not in _PLAIN:
        close = difflib.get_close_matches(name, [*_PLAIN, *_WITH_ARGUMENTS], n=1)
        raise _unreadable(text, _FORMS, f"did you mean {close[0]!r}?" if close else None)
    raise _unreadable(text, _FORMS)


def parse_representations(text: str) -> dict[str, Representation]:
    """Return representations by name, from ``"name=representation, name=representation"``.

    Raises:
        SymmetryError: if a part has no name, or a name occurs twice.

    Example:
        >>> parse_representations("positions=permuted(point), species=permuted(invariant)")["positions"]
        Permuted(axes=(0,), inner=Point())
    """
    found: dict[str, Representation] = {}
    for part in _split(text, text):
        name, equals, value = part.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier() or name in found:
            raise _unreadable(text, "name=representation, separated by commas, each name once")
        found[name] = parse_representation(value)
    return found


def format_representation(representation: Representation) -> str:
    """Return the text that `parse_representation` reads back; the repr where there is no such text.

    Example:
        >>> format_representation(Permuted((0,), Point()))
        'permuted(point)'
    """
    for name, known in _PLAIN.items():
        if representation == known:
            return name
    if isinstance(representation, Cartesian):
        return f"cartesian({representation.rank}{', pseudo' if representation.pseudo else ''})"
    if isinstance(representation, IrrepsTensor):
        return f"irreps({representation.irreps}{', ir_mul' if representation.layout == 'ir_mul' else ''})"
    if isinstance(representation, Permuted):
        axes = "" if representation.axes == (0,) else "".join(f"{axis}, " for axis in representation.axes)
        return f"permuted({axes}{format_representation(representation.inner)})"
    if isinstance(representation, AlongAxis):
        return f"along({representation.axis}, {format_representation(representation.inner)})"
    return repr(representation)


def _split(text: str, whole: str) -> list[str]:
    """Split at commas outside parentheses."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            raise _unreadable(whole, "matching parentheses")
        if letter == "," and depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
    if depth:
        raise _unreadable(whole, "matching parentheses")
    return [part for part in [*parts, text[start:].strip()] if part]


def _unreadable(text: str, expected: str, fix: str | None = None) -> SymmetryError:
    return SymmetryError("this is not a representation", got=repr(text), expected=expected, fix=fix, code="E401")
