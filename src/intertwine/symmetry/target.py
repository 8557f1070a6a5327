"""A module by import path: ``load_target("package.module:factory")``, for checking code that is not ours.

The name after the colon may be a module instance, a module class without required arguments, or a function
that returns a module or a pair (module, example inputs). A module may offer ``example_inputs()`` itself.
"""

import difflib
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from intertwine.errors import SymmetryError

__all__ = ["Target", "load_target"]


@dataclass(frozen=True)
class Target:
    """What an import path led to.

    Args:
        module: the module.
        inputs: example inputs, one tensor, a sequence or a mapping by name; None if there are none.
        path: the import path.
    """

    module: nn.Module
    inputs: Any
    path: str


def load_target(path: str) -> Target:
    """Import a module and its example inputs; the current directory is searched too.

    Args:
        path: ``package.module:name``, where ``name`` may contain dots.

    Raises:
        SymmetryError: code E410 if the path cannot be read, E411 if the Python module is not found, E412 if
            it has no such name, E413 if what is found is not, and does not return, a ``torch.nn.Module``.
    """
    module_name, colon, attribute = path.partition(":")
    if not colon or not module_name or not attribute:
        raise SymmetryError(
            "this is not an import path",
            got=repr(path),
            expected="package.module:factory",
            fix="separate the Python module and the name in it by a colon",
            code="E410",
        )
    with _current_directory_importable():
        found = _attribute(_import(module_name, path), attribute, path)
        made = _make(found, path)
        module, inputs = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
        if not isinstance(module, nn.Module):
            raise SymmetryError(
                f"{path} does not give a module",
                got=type(made).__name__,
                expected="a torch.nn.Module, or a pair (module, example inputs)",
                code="E413",
            )
        example_inputs: Any = getattr(module, "example_inputs", None)
        if inputs is None and callable(example_inputs):
            inputs = example_inputs()
    return Target(module, inputs, path)


def _import(name: str, path: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise SymmetryError(
                f"importing {name} failed: it needs {error.name}, which is not installed",
                got=path,
                fix=f"install {error.name}, or run where it is installed",
                code="E411",
            ) from error
        raise SymmetryError(
            f"there is no Python module {error.name}",
            got=path,
            expected="a module in the current directory or an installed one",
            fix="run the command from the folder that contains it",
            code="E411",
        ) from error


def _attribute(module: Any, dotted: str, path: str) -> Any:
    found = module
    for name in dotted.split("."):
        if not hasattr(found, name):
            public = [known for known in dir(found) if not known.startswith("_")]
            close = difflib.get_close_matches(name, public, n=3, cutoff=0.4)
            raise SymmetryError(
                f"{getattr(found, '__name__', path)} has no {name}",
                got=path,
                expected=", ".join(public) or "a public name",
                fix=f"did you mean {' or '.join(close)}?" if close else None,
                code="E412",
            )
        found = getattr(found, name)
    return found


def _make(found: Any, path: str) -> Any:
    if isinstance(found, nn.Module) or (isinstance(found, tuple) and found and isinstance(found[0], nn.Module)):
        return found
    if not callable(found):
        raise SymmetryError(
            f"{path} is not callable and not a module",
            got=type(found).__name__,
            expected="a torch.nn.Module, a class of one, or a function that returns one",
            code="E413",
        )
    try:
        return found()
    except TypeError as error:
        if "required" not in str(error):
            raise
        raise SymmetryError(
            f"{path} cannot be called without arguments: {error}",
            got=path,
            expected="a function or a class without required arguments",
            fix="write a short function that builds the module and returns it",
            code="E413",
        ) from error


@contextmanager
def _current_directory_importable() -> Iterator[None]:
    """Search the current directory while the target is imported and built, and no longer."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        if here in sys.path:
            sys.path.remove(here)
