"""Symmetry-aware deep learning: groups, representations, equivariant operations, systems, and a checker.

``import intertwine`` imports neither torch nor anything optional; public names load when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_SUBPACKAGES = (
    "atoms", "cli", "errors", "graphs", "groups", "nn", "products",
    "reporting", "representations", "symmetry", "systems", "testing", "training",
)  # fmt: skip

_NAMES = {
    "Irreps": "intertwine.representations",
    "Symmetry": "intertwine.symmetry",
    "conservativeness_error": "intertwine.symmetry",
    "equivariance_error": "intertwine.symmetry",
    "get_system": "intertwine.systems",
    "load_pretrained": "intertwine.training",
    "load_recipe": "intertwine.training",
    "open_run": "intertwine.training",
    "system_names": "intertwine.systems",
    "train": "intertwine.training",
}

__all__ = [
    "Irreps",
    "Symmetry",
    "__version__",
    "atoms",
    "cli",
    "conservativeness_error",
    "equivariance_error",
    "errors",
    "get_system",
    "graphs",
    "groups",
    "load_pretrained",
    "load_recipe",
    "nn",
    "open_run",
    "products",
    "reporting",
    "representations",
    "symmetry",
    "system_names",
    "systems",
    "testing",
    "train",
    "training",
]

if TYPE_CHECKING:
    from intertwine.representations import Irreps
    from intertwine.symmetry import Symmetry, conservativeness_error, equivariance_error
    from intertwine.systems import get_system, system_names
    from intertwine.training import load_pretrained, load_recipe, open_run, train


def __getattr__(name: str) -> Any:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"intertwine.{name}")
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'intertwine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
