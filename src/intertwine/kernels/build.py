"""Compiling the CPU kernels on the machine that runs them: once, at first use, kept in the user's cache.

The sources travel with the package and need a C++17 compiler and nothing else. They share the threads of torch: both
load the one OpenMP library of the process. The name of a compiled library holds a hash of sources, compiler, flags and
processor, so that a stale one is never loaded.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path

__all__ = ["BuildError", "cache_folder", "load_library"]

_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-ffp-contract=fast", "-fPIC", "-shared")
_COMPILERS = ("c++", "g++", "clang++")


class BuildError(Exception):
    """Kernels cannot be compiled here; the text says why. Callers fall back to the reference."""


def cache_folder() -> Path:
    """Return the folder of compiled kernels and measured tables: below ``XDG_CACHE_HOME``, or ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "intertwine"


@cache
def load_library(name: str) -> ctypes.CDLL:
    """Return the compiled library of ``cpu/<name>.cpp``.

    Raises:
        BuildError: if there is no compiler, or it fails.
    """
    compiler = _compiler()
    folder = files("intertwine.kernels").joinpath("cpu")
    headers = sorted(file.name for file in folder.iterdir() if file.name.endswith(".hpp"))
    sources = {file: folder.joinpath(file).read_bytes() for file in (f"{name}.cpp", *headers)}
    flags = (*_FLAGS, *(() if sys.platform == "darwin" else ("-fopenmp",)))
    key = hashlib.sha256()
    for part in (
        *sources.values(),
        *(flag.encode() for flag in flags),
        _describe(compiler).encode(),
        _processor().encode(),
    ):
        key.update(len(part).to_bytes(8, "little") + part)
    library = cache_folder() / "kernels" / f"{name}-{key.hexdigest()[:20]}.so"
    if not library.exists():
        _compile(compiler, flags, sources, f"{name}.cpp", library)
    try:
        return ctypes.CDLL(str(library))
    except OSError as error:
        raise BuildError(f"the compiled kernels cannot be loaded: {error}") from error


def _compile(compiler: str, flags: tuple[str, ...], sources: dict[str, bytes], main: str, library: Path) -> None:
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            for file, text in sources.items():
                (Path(folder) / file).write_bytes(text)
            command = [compiler, *flags, "-o", str(Path(folder) / library.name), str(Path(folder) / main)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
            if done.returncode != 0:
                raise BuildError(f"`{compiler}` cannot compile the kernels:\n{done.stderr.strip()[-2000:]}")
            # atomic: another process sees either no library or a whole one
            os.replace(Path(folder) / library.name, library)
    except OSError as error:
        raise BuildError(f"the folder of compiled kernels cannot be written: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"`{compiler}` did not finish within {error.timeout:.0f} s") from error


def _compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in (wanted,) if wanted else _COMPILERS:
        if found := shutil.which(name):
            return found
    raise BuildError(
        f"the compiler that CXX names, `{wanted}`, is not there" if wanted else "there is no C++ compiler on the PATH"
    )


@cache
def _describe(compiler: str) -> str:
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=60, check=False)
    return f"{compiler}\n{done.stdout}"


@cache
def _processor() -> str:
    """What ``-march=native`` depends on: a cache folder may be shared by different machines."""
    description = [platform.machine(), platform.processor()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("model name", "flags", "Features", "CPU part")
        description += [next((line for line in lines if line.startswith(field)), "") for field in wanted]
    return "\n".join(description)
