"""Making Triton kernels from text: every number that a problem fixes is written into the code of its kernel."""

import hashlib
import linecache
from collections.abc import Iterable
from typing import Any

import torch
import triton
import triton.language as tl

__all__ = ["indent", "lanes_for", "make_kernel", "number", "number_type", "total", "wide"]


def make_kernel(name: str, lines: Iterable[str]) -> Any:
    """Return the kernel that the lines define as a function called ``name``.

    The text is kept for tracebacks and for Triton, which reads it to compile; its own cache on disk goes by the text.
    """
    text = "\n".join(lines) + "\n"
    file = f"<intertwine {name} {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    scope: dict[str, Any] = {"tl": tl, "__name__": "intertwine.kernels.gpu.generated"}
    exec(compile(text, file, "exec"), scope)
    return triton.jit(scope[name])


def wide(dtype: torch.dtype) -> torch.dtype:
    """Return what a kernel computes with: float32 for bfloat16, else the dtype itself."""
    return torch.float32 if dtype == torch.bfloat16 else dtype


def number_type(dtype: torch.dtype) -> tl.dtype:
    """Return what a kernel computes with, as Triton's type."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def lanes_for(channels: int, dtype: torch.dtype) -> int:
    """Return how many channels a program holds: one or two a thread of a warp, whichever leaves fewer idle."""
    wide = 32 if dtype == torch.float64 else 64
    if channels <= 16:
        return 16
    return min((32, wide), key=lambda lanes: (-(-channels // lanes) * lanes, -lanes))


def number(value: float) -> str:
    """Return a number as text that gives back exactly this float64."""
    return f"({float(value)!r})"


def total(parts: Iterable[str], begin: str | None = None) -> str:
    """Return a sum as text, left to right, so that each product and addition can be one instruction."""
    return " + ".join([*([] if begin is None else [begin]), *parts])


def indent(lines: Iterable[str], steps: int = 1) -> list[str]:
    """Return the lines moved to the right."""
    return ["    " * steps + line for line in lines]
