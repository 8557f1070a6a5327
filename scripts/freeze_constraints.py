"""Write constraints.txt: the exact version of everything that ``intertwine[dev]`` needs, as installed here.

Build tags (``2.13.0+cpu``) are dropped, so that the pin also fits the other builds of the same release.
"""

import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TARGET = Path(__file__).parents[1] / "constraints.txt"
HEADER = "# Exact versions for a reproducible set-up, written by `make constraints`; the package asks for less.\n"


def pins(project: str, extras: set[str]) -> dict[str, str]:
    """Return the installed version of each distribution that ``project[extras]`` needs, without itself."""
    found: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    waiting = [(project, extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"error: {name} is needed and not installed here; run `make setup` first")
        if name != project:
            found[name] = installed.version.partition("+")[0]
        for text in installed.requires or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                waiting += [(canonicalize_name(needed.name), part) for part in ("", *needed.extras)]
    return found


if __name__ == "__main__":
    lines = [f"{name}=={version}\n" for name, version in sorted(pins("intertwine", {"dev"}).items())]
    TARGET.write_text(HEADER + "".join(lines))
    sys.stdout.write(f"{TARGET.name}: {len(lines)} pins\n")
