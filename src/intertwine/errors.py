"""Errors a user can cause, each saying what was given, what was expected and what to do.

Every error carries its parts as fields, so that programs and tests read ``error.got`` and never parse prose.
The code in square brackets (``E203``) is stable and is the anchor of the message in the documentation.
"""

from collections.abc import Mapping
from typing import Any

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DataWarning",
    "GroupError",
    "IntertwineError",
    "MissingExtraError",
    "NumericsError",
    "RepresentationError",
    "ShapeError",
    "SymmetryError",
    "check_fields",
]


class IntertwineError(Exception):
    """Base of every error this package raises on purpose.

    Args:
        message: one sentence that names the object and the problem.
        got: what was given, as text or as a mapping from name to value.
        expected: what would have been accepted.
        fix: what to do about it.
        code: overrides the class's code where one class has several documented causes.
    """

    code = "E000"

    def __init__(
        self,
        message: str,
        *,
        got: Any = None,
        expected: Any = None,
        fix: str | None = None,
        code: str | None = None,
    ) -> None:
        self.message = message
        self.got = got
        self.expected = expected
        self.fix = fix
        self.code = code or type(self).code
        super().__init__(str(self))

    def __str__(self) -> str:
        rows = [("given", self.got), ("expected", self.expected), ("fix", self.fix)]
        lines = [f"{type(self).__name__}[{self.code}]: {self.message}"]
        lines += [f"  {label:<9} {_as_text(value)}" for label, value in rows if value is not None]
        return "\n".join(lines)


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "   ".join(f"{name} = {item}" for name, item in value.items())
    return str(value)


class ShapeError(IntertwineError):
    """A tensor has the wrong shape, dtype or device."""

    code = "E100"


class ConfigError(IntertwineError):
    """A recipe, a setting or a command-line argument is wrong."""

    code = "E101"


class RepresentationError(IntertwineError):
    """Irreps that cannot be parsed, or that do not fit together."""

    code = "E200"


class GroupError(IntertwineError):
    """A group that does not exist, or an element that is not one of it."""

    code = "E300"


class SymmetryError(IntertwineError):
    """A symmetry that is not declared, or does not fit the inputs it is checked on."""

    code = "E400"


class DataError(IntertwineError):
    """A data file that is missing, damaged, or does not hold what was asked of it."""

    code = "E500"


class DataWarning(UserWarning):
    """Data that can be used, but may not mean what one thinks."""


class CheckpointError(IntertwineError):
    """A checkpoint that cannot be read, written, or upgraded to this version."""

    code = "E600"


class NumericsError(IntertwineError):
    """A computation produced NaN or infinity."""

    code = "E700"


class MissingExtraError(IntertwineError):
    """An optional library is needed and not installed."""

    code = "E800"


def check_fields(settings: Any, /, **rules: tuple[bool, str]) -> None:
    """Raise one error naming every field of a settings dataclass whose rule does not hold.

    Call it in ``__post_init__``; the recipe reader turns ``got`` and ``expected`` into line numbers of the
    file.

    Args:
        settings: the dataclass instance.
        rules: for each field, whether its value is allowed, and what is.

    Raises:
        ConfigError: with ``got`` and ``expected`` keyed by field.
    """
    expected: Mapping[str, str] = {name: text for name, (holds, text) in rules.items() if not holds}
    if expected:
        raise ConfigError(
            f"{type(settings).__name__}: values out of range",
            got={name: getattr(settings, name) for name in expected},
            expected=expected,
        )
