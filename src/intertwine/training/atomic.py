"""Replacing a folder completely or not at all: temporary place, flush to disk, rename.

Single files are written by `intertwine.reporting.files`.
"""

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

__all__ = ["recover", "sync", "write_folder"]


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace a folder by the one that ``fill`` writes; the old one stays until the new one is complete.

    A folder cannot be renamed over a full one, so the old one first moves to ``.<name>.old``; `recover`
    moves it back if the process dies between the two renames.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    temporary, old = _beside(path), path.parent / f".{path.name}.old"
    try:
        temporary.mkdir()
        fill(temporary)
        for file in sorted(temporary.iterdir()):
            sync(file)
        sync(temporary)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if path.exists():
        os.replace(path, old)
    os.replace(temporary, path)
    sync(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover(path: Path) -> None:
    """Finish a folder's replacement that was cut off between its two renames, and remove what it left."""
    old = path.parent / f".{path.name}.old"
    if old.exists() and not path.exists():
        os.replace(old, path)
    elif old.exists():
        shutil.rmtree(old)
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _beside(path: Path) -> Path:
    return path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.tmp"
