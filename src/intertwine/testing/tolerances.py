"""One table of tolerances: relative to the size of what is compared, in machine epsilons of its precision.

A looser bound than the default is written in epsilons next to the value that was measured.
"""

import torch

from intertwine.errors import SymmetryError

__all__ = ["DTYPES", "tolerance"]

DTYPES = (torch.float32, torch.float64)
"""The precisions every operation is tested in."""

_DEFAULT_EPSILONS = {torch.float64: 256, torch.float32: 64, torch.bfloat16: 8, torch.float16: 8}
_REAL = {torch.complex64: torch.float32, torch.complex128: torch.float64}


def tolerance(dtype: torch.dtype, epsilons: float | None = None, size: float = 1.0) -> dict[str, float]:
    """Return ``rtol`` and ``atol`` for ``torch.testing.assert_close``.

    Args:
        dtype: precision of the values compared; integers and booleans must be equal.
        epsilons: allowed error in machine epsilons; by default 256 in float64, 64 in float32, 8 in half
            precision.
        size: size of the largest value compared, which sets the absolute tolerance.

    Example:
        >>> third = torch.tensor(1.0) / 3
        >>> torch.testing.assert_close(third * 3, torch.tensor(1.0), **tolerance(torch.float32))
    """
    dtype = _REAL.get(dtype, dtype)
    if not dtype.is_floating_point:
        return {"rtol": 0.0, "atol": 0.0}
    if dtype not in _DEFAULT_EPSILONS:
        raise SymmetryError(
            "no tolerance for this type", got=str(dtype), expected=", ".join(map(str, _DEFAULT_EPSILONS))
        )
    relative = (_DEFAULT_EPSILONS[dtype] if epsilons is None else epsilons) * torch.finfo(dtype).eps
    return {"rtol": relative, "atol": relative * size}
