"""The switch between accelerated kernels and the plain PyTorch reference of every operation.

``with use_reference():`` forces the reference inside a block, the environment variable ``INTERTWINE_KERNELS=reference``
for a whole process. ``kernel_status()`` says what runs, and why.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from intertwine.errors import ConfigError

__all__ = ["kernels_wanted", "use_reference"]

_VARIABLE = "INTERTWINE_KERNELS"
_CHOICES = ("auto", "reference")
_forced: ContextVar[bool] = ContextVar("intertwine_use_reference", default=False)


@contextmanager
def use_reference(force: bool = True) -> Iterator[None]:
    """Run the plain PyTorch reference of every operation inside the block; ``force=False`` allows kernels again.

    Example:
        >>> with use_reference():
        ...     kernels_wanted()
        False
    """
    token = _forced.set(force)
    try:
        yield
    finally:
        _forced.reset(token)


def kernels_wanted() -> bool:
    """Return whether kernels may run here: not inside `use_reference`, nor with ``INTERTWINE_KERNELS=reference``.

    Raises:
        ConfigError: if the variable holds something else than ``auto`` or ``reference``.
    """
    value = os.environ.get(_VARIABLE, "auto")
    if value not in _CHOICES:
        raise ConfigError(
            f"the environment variable {_VARIABLE} has an unknown value", got=value, expected=" or ".join(_CHOICES)
        )
    return value == "auto" and not _forced.get()
