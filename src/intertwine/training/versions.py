"""Versions that are stored with weights, and how older ones are brought up to date or refused."""

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intertwine.errors import CheckpointError

__all__ = ["code_version", "convention_version", "environment", "git_commit", "register_upgrade", "upgrade"]

_PACKAGES = ("torch", "numpy", "lightning", "torchmetrics", "safetensors", "ase", "vesin", "scipy")
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
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "intertwine": code_version(),
        "convention": convention_version(),
        "commit": git_commit(),
        "python": sys.version.split()[0],
        "platform": sys.platform,
        "packages": packages,
    }


def git_commit() -> str | None:
    """Return the commit of the checkout that this runs from, ``-dirty`` if changed, or None without one."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


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
