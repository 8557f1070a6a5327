"""Versions that are stored with weights, and how older ones are brought up to date or refused."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intertwine.errors import CheckpointError
from intertwine.reporting.provenance import collect_versions, current_commit

__all__ = ["code_version", "convention_version", "environment", "register_upgrade", "upgrade"]

_upgrades: dict[tuple[str, int], Callable[[Any], Any]] = {}


def code_version() -> str:
    """Return the version of this package."""
    return sys.modules[__name__.partition(".")[0]].__version__


def convention_version() -> int:
    """Return the version of signs, orders and normalisations that stored weights depend on."""
    import intertwine.representations

    return getattr(intertwine.representations, "CONVENTION_VERSION", 1)


def environment() -> dict[str, Any]:
    """Return the versions of everything that decides a run's numbers, and the commit in a checkout."""
    return {
        "intertwine": code_version(),
        "convention": convention_version(),
        "commit": current_commit(),
        "platform": sys.platform,
        "packages": collect_versions(),
    }


def register_upgrade(kind: str, version: int) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register a function that takes stored content of ``version`` and returns that of ``version + 1``.

    Args:
        kind: ``checkpoint`` (the layout of checkpoints; content is the whole dictionary) or ``conventions``
            (weights; content is ``(config, tensors)`` of a saved model).
        version: the version that it reads.
    """

    def register(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        _upgrades[kind, version] = function
        return function

    return register


def upgrade(kind: str, content: Any, version: int, current: int, *, source: Path) -> Any:
    """Return stored content brought to the current version, step by step.

    Raises:
        CheckpointError: if it is newer than this code, or a step is missing.
    """
    if version > current:
        raise CheckpointError(
            f"{source.name} was written by a newer version of this package",
            got=f"{kind} version {version}",
            expected=f"{kind} version {current} or older",
            fix="update with `pip install --upgrade intertwine`",
            code="E602",
        )
    for step in range(version, current):
        if (kind, step) not in _upgrades:
            raise CheckpointError(
                f"{source.name} cannot be brought to this version: its numbers would mean something else",
                got=f"{kind} version {step}",
                expected=f"{kind} version {current}",
                fix="use the version of this package that wrote it, or train again",
                code="E602",
            )
        content = _upgrades[kind, step](content)
    return content
