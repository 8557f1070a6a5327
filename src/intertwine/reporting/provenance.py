"""Where a number comes from: the machine, the versions and the commit of the code that measured it.

Everything here is read, nothing is changed, and what cannot be found out is None rather than a guess.
"""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import intertwine.errors

__all__ = ["PACKAGES", "collect_versions", "current_commit", "describe_hardware"]

PACKAGES = (
    "intertwine", "torch", "numpy", "scipy", "lightning", "torchmetrics", "safetensors", "jsonargparse",
    "ase", "vesin", "e3nn", "triton", "numba",
)  # fmt: skip
"""The packages whose versions can change a result."""


def describe_hardware() -> dict[str, Any]:
    """Return what the numbers were measured on: ``cpu``, ``cores``, ``memory_gib``, ``gpu`` and ``platform``.

    ``cores`` counts those that this process may use, which can be fewer than the machine has.
    ``gpu`` is None without a CUDA device, else its name with the number of devices.
    """
    import torch

    gpu = None
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        gpu = torch.cuda.get_device_name(0) + (f", {count} of them" if count > 1 else "")
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "gpu": gpu,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.lower().startswith("model name"))
    return next(named, None) or platform.processor() or None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (AttributeError, OSError, ValueError):
        return None


def collect_versions() -> dict[str, str]:
    """Return the versions of Python and of those of `PACKAGES` that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def current_commit(file: str | os.PathLike[str] = intertwine.errors.__file__) -> str | None:
    """Return the commit of the git checkout that tracks ``file``, with ``+dirty`` when tracked files differ.

    Changes below ``results/`` do not count, because the command that asks for the commit writes there.
    None where there is no git, or where ``file`` is not tracked (an installed package inside another
    project's checkout must not borrow that project's commit).
    """
    path = Path(file).resolve()
    if _git(path.parent, "ls-files", "--error-unmatch", path.name) is None:
        return None
    commit = _git(path.parent, "rev-parse", "HEAD")
    if commit is None:
        return None
    status = ("status", "--porcelain", "--untracked-files=no", "--", ":(top)", ":(top,exclude)results")
    return commit + ("+dirty" if _git(path.parent, *status) else "")


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
