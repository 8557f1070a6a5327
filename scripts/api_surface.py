"""List the public names of every package; ``python scripts/api_surface.py --write`` stores the list.

A name is listed with the names of its parameters, an ``=`` after those that have a default. The list is
compared with the code by `tests/test_public_api.py`, so that no name changes unnoticed.
"""

import importlib
import inspect
import json
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
STORED = CHECKOUT / "tests" / "api_surface.json"


def packages() -> list[str]:
    """Return the dotted names of all packages, and of single modules of the outermost one."""
    source = CHECKOUT / "src"
    inner = (file.parent for file in source.rglob("__init__.py"))
    flat = (file.with_suffix("") for file in (source / "intertwine").glob("[!_]*.py"))
    return sorted(".".join(path.relative_to(source).parts) for path in [*inner, *flat])


def describe(value: object) -> str:
    """Return a name's kind and parameters, for example ``function(degree, rotation)``."""
    if inspect.ismodule(value):
        return "module"
    kind = "class" if inspect.isclass(value) else "function" if inspect.isroutine(value) else type(value).__name__
    if not callable(value):
        return kind
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return kind
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    words, keywords = [], False
    for parameter in parameters:
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keywords:
            words.append("*")
        keywords |= parameter.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_POSITIONAL)
        default = "" if parameter.default is inspect.Parameter.empty else "="
        words.append(f"{stars.get(parameter.kind, '')}{parameter.name}{default}")
    return f"{kind}({', '.join(words)})"


def surface() -> dict[str, dict[str, str]]:
    """Return the public names of every package with their descriptions."""
    found = {}
    for package in packages():
        module = importlib.import_module(package)
        found[package] = {name: describe(getattr(module, name)) for name in sorted(module.__all__)}
    return found


if __name__ == "__main__":
    text = json.dumps(surface(), indent=1, ensure_ascii=False) + "\n"
    if "--write" in sys.argv[1:]:
        STORED.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)
