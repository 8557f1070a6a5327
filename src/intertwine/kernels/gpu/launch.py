"""Starting kernels on the device of their tensors, with words for what can go wrong there."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from intertwine.kernels.build import BuildError

__all__ = ["launch", "multiply_add"]

multiply_add = {"enable_fp_fusion": True}
"""Products and additions become one instruction; said aloud, because Triton's default is about to change."""


def launch(kernel: Any, grid: Sequence[int], *arguments: Any, warps: int = 1, **constants: Any) -> None:
    """Run a kernel on a grid, on the device of its first argument; nothing happens on an empty grid.

    Raises:
        BuildError: if Triton cannot compile or start it, for instance without a C compiler.
    """
    if 0 in grid:
        return
    first: Tensor = arguments[0]
    try:
        with torch.cuda.device_of(first):
            kernel[tuple(grid)](*arguments, num_warps=warps, **multiply_add, **constants)
    except Exception as error:  # Triton's own errors have no common class
        raise BuildError(f"Triton cannot compile or start a kernel on {first.device}: {error!r}") from error
