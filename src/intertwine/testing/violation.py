"""The error that a contract check raises, and how checks compare the outputs of two calls."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.symmetry.evaluate import name_outputs
from intertwine.testing.tolerances import tolerance

__all__ = ["ContractViolation", "compare_outputs", "floating_inputs", "relative_difference"]


class ContractViolation(AssertionError):
    """A module does not keep a contract; test runners report it as a failed assertion.

    Args:
        contract: the name of the contract, for example ``batch equals single``.
        message: what was found, and what that usually means.
        details: numbers and names behind the message.
    """

    def __init__(self, contract: str, message: str, **details: Any) -> None:
        self.contract, self.message, self.details = contract, message, details
        rows = [f"  {name:<10} {value}" for name, value in details.items()]
        super().__init__("\n".join([f"{contract}: {message}", *rows]))


def relative_difference(got: Tensor, expected: Tensor) -> float:
    """Return the largest difference over the largest expected entry; infinite where one is not finite."""
    if got.numel() == 0:
        return 0.0
    wide = torch.complex128 if got.is_complex() or expected.is_complex() else torch.float64
    got, expected = got.detach().to(wide), expected.detach().to(wide)
    if not (got.isfinite().all() and expected.isfinite().all()):
        return float("inf")
    size = float(expected.abs().max()) or float(got.abs().max()) or 1.0
    return float((got - expected).abs().max()) / size


def compare_outputs(
    contract: str,
    got: Any,
    expected: Any,
    meaning: str,
    *,
    epsilons: float | None,
    dtype: torch.dtype | None = None,
) -> None:
    """Raise ContractViolation unless two outputs have the same names, shapes and, up to rounding, values.

    Args:
        contract: name of the contract that is checked.
        got: outputs of the call under test: a tensor, a tuple or a mapping.
        expected: outputs of the call it is compared with.
        meaning: what a difference usually means.
        epsilons: allowed error in machine epsilons, relative to the largest entry; 0 asks for equal bits.
        dtype: precision whose epsilon counts; that of each expected output if not given.
    """
    found, wanted = name_outputs(got), name_outputs(expected)
    if list(found) != list(wanted) or not wanted:
        raise ContractViolation(contract, "the outputs have other names", got=list(found), expected=list(wanted))
    for name, reference in wanted.items():
        value = found[name]
        if value.shape != reference.shape:
            raise ContractViolation(
                contract, f"{name} has another shape", got=tuple(value.shape), expected=tuple(reference.shape)
            )
        error = relative_difference(value, reference)
        limit = tolerance(dtype or reference.dtype, epsilons)["rtol"]
        if error > limit:
            raise ContractViolation(contract, meaning, output=name, error=f"{error:.3e}", allowed=f"{limit:.3e}")


def floating_inputs(inputs: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs that are floating-point tensors."""
    return [name for name, value in inputs.items() if isinstance(value, Tensor) and value.is_floating_point()]
