"""Finding systems by name, without importing more than their few lines of description.

Systems are the sub-packages of ``intertwine.systems`` that hold a ``SYSTEM``, and those that
`register_system` adds.
"""

import importlib
import pkgutil

from intertwine.errors import ConfigError
from intertwine.training.system import System
from intertwine.training.words import nearest

__all__ = ["get_system", "register_system", "system_names", "unregister_system"]

# A name, not an import: this layer is below the systems.
_NAMESPACE = "intertwine.systems"
_registered: dict[str, System] = {}


def system_names() -> list[str]:
    """Return the names of all systems, sorted."""
    return sorted({*_packaged(), *_registered})


def get_system(name: str) -> System:
    """Return the system of this name.

    Raises:
        ConfigError: if there is none; ``fix`` names the nearest.
    """
    if name in _registered:
        return _registered[name]
    if name in _packaged():
        return importlib.import_module(f"{_NAMESPACE}.{name}").SYSTEM
    names = system_names()
    raise ConfigError(
        f"there is no system `{name}`",
        got=name,
        expected=", ".join(names),
        fix=nearest(name, names) or "`intertwine systems` lists them",
    )


def register_system(system: System) -> None:
    """Make a system of your own known by its name, for this process.

    Raises:
        ConfigError: if another system has this name.
    """
    known = _registered.get(system.name)
    if (known is not None and known != system) or system.name in _packaged():
        raise ConfigError(f"the name `{system.name}` is taken", got=system.package, fix="choose another name")
    _registered[system.name] = system


def unregister_system(name: str) -> None:
    """Forget a system that `register_system` added."""
    _registered.pop(name, None)


def _packaged() -> list[str]:
    """Return the sub-packages that declare a system; private ones and ones still without a card are not."""
    paths = importlib.import_module(_NAMESPACE).__path__
    return [found.name for found in pkgutil.iter_modules(paths) if found.ispkg and not found.name.startswith("_")]
