"""CUDA implementations of the families, written in Triton and imported when a tensor on a device first needs them.

The kernels are texts made for one problem each: couplings are numbers in the text, accumulators stay in registers, sums
over edges follow sorted edges instead of atomics and so repeat bit by bit. **None of them has run on hardware yet**:
they are tested through Triton's interpreter, and compiled for NVIDIA's architectures without running. As on every
machine, the check of `Family` at first use compares them with the reference before they are used.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch

from intertwine.kernels.build import BuildError
from intertwine.kernels.channelwise import channelwise
from intertwine.kernels.family import Family, Implementation
from intertwine.kernels.grid import grid_product
from intertwine.kernels.harmonics import harmonics
from intertwine.kernels.symmetric import symmetric_polynomials

__all__ = ["implementation", "register"]

_FAMILIES: dict[str, Family] = {
    "channelwise": channelwise,
    "grid": grid_product,
    "harmonics": harmonics,
    "symmetric": symmetric_polynomials,
}
_DTYPES = (torch.float32, torch.float64, torch.bfloat16)


@cache
def register() -> None:
    """Give every family its implementation for CUDA; imports neither Triton nor CUDA."""
    for name, family in _FAMILIES.items():
        family.implement("cuda", implementation(name))


def implementation(name: str) -> Implementation:
    """Return the three operators of a module of this package, which is imported at the first call.

    The operators compute in float32 for bfloat16, and raise `BuildError` where Triton is missing.
    """

    def operator(kind: str) -> Callable[..., Any]:
        return lambda *arguments: getattr(_load(name), kind)(*arguments)

    return Implementation(operator("value"), operator("gradient"), operator("tangent"), _DTYPES)


@cache
def _load(name: str) -> Any:
    try:
        import_module("triton")
    except ImportError as error:
        raise BuildError(
            f"the kernels for CUDA need the package `triton`, which cannot be imported: {error}. PyTorch for CUDA "
            "brings it on Linux; elsewhere the reference runs"
        ) from error
    return import_module(f"intertwine.kernels.gpu.{name}")
