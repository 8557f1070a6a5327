"""Keeping freed memory in the process, so that every training step does not have to ask the system for it again.

glibc returns the large blocks that the end of a step frees, and the next step pays a page fault for each 4 KiB of them.
"""

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4
"""Parameters of glibc's ``mallopt``."""


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for reuse; return whether it could be told.

    This changes the whole process, so only commands call it, never the library. Without glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    # 32 MiB is the largest threshold that glibc accepts; that no block is mapped on its own keeps those above it too
    settings = ((_MMAP_THRESHOLD, 32 << 20), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 64 << 20))
    return all(mallopt(name, value) == 1 for name, value in settings)
