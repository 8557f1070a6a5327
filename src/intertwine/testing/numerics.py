"""Checks of numbers: finite gradients of first and second order, float32 against float64, empty batches."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.symmetry.evaluate import convert, name_outputs
from intertwine.testing.violation import ContractViolation, compare_outputs, floating_inputs

__all__ = ["check_empty_batch", "check_gradients_finite", "check_precision"]

Inputs = Mapping[str, Any]


def check_gradients_finite(module: nn.Module, inputs: Inputs, *, order: int = 2) -> None:
    """Raise ContractViolation unless the outputs and their gradients, up to ``order``, exist and are finite.

    Gradients are taken by all floating-point inputs and all parameters. The scalar differentiated is the sum
    of squares of the outputs, and for the second order the sum of squares of the gradients.
    """
    leaves = {name: convert(inputs[name], None).requires_grad_(True) for name in floating_inputs(inputs)}
    with torch.enable_grad():
        outputs = name_outputs(module(**{**inputs, **leaves}))
    for name, value in outputs.items():
        if not value.isfinite().all():
            raise ContractViolation("finite gradients", "the output itself is not finite", output=name)
    leaves |= {name: value for name, value in module.named_parameters() if value.requires_grad}
    values = [value for value in outputs.values() if value.is_floating_point() or value.is_complex()]
    for degree in range(1, order + 1):
        scalar = sum((value.abs().square().sum() for value in values), torch.zeros(()))
        if not scalar.requires_grad:
            if degree == 1:
                raise ContractViolation("finite gradients", "the outputs are detached: no gradient reaches anything")
            return  # the outputs are linear in everything, so there is no second order to check
        gradients = torch.autograd.grad(
            scalar,
            list(leaves.values()),
            create_graph=degree < order,
            allow_unused=True,
            materialize_grads=True,
        )
        for name, gradient in zip(leaves, gradients, strict=True):
            if not gradient.isfinite().all():
                raise ContractViolation(
                    "finite gradients",
                    "a gradient is not finite; usual causes: the square root or norm of zero, a division by a "
                    "distance of zero, a log of zero, hidden behind torch.where",
                    order=degree,
                    by=name,
                )
        values = list(gradients)


def check_precision(module: nn.Module, inputs: Inputs, *, epsilons: float = 4096) -> None:
    """Raise ContractViolation unless float32 gives what float64 gives, and both return their own precision.

    Args:
        module: the module; copies of it are converted.
        inputs: inputs by name; they are converted.
        epsilons: allowed error in float32 machine epsilons, relative to the largest entry of each output.
    """
    results = {}
    for dtype, cast in ((torch.float64, nn.Module.double), (torch.float32, nn.Module.float)):
        with torch.enable_grad():
            value = cast(copy.deepcopy(module))(**{name: convert(item, dtype) for name, item in inputs.items()})
        results[dtype] = {name: item.detach() for name, item in name_outputs(value).items()}
        for name, item in results[dtype].items():
            if item.is_floating_point() and item.dtype != dtype:
                raise ContractViolation(
                    "precision",
                    f"a module in {dtype} returns {item.dtype}",
                    output=name,
                    got=item.dtype,
                    expected=dtype,
                )
    compare_outputs(
        "precision",
        results[torch.float32],
        results[torch.float64],
        "float32 and float64 disagree by more than rounding; usual causes: cancellation of large numbers, or a "
        "precision that is fixed somewhere inside",
        epsilons=epsilons,
        dtype=torch.float32,
    )


def check_empty_batch(
    module: Callable, inputs: Inputs, *, shapes: Mapping[str, tuple[int, ...]] | None = None
) -> dict[str, Tensor]:
    """Raise ContractViolation unless an empty batch gives finite outputs; return them.

    Args:
        module: a module or function.
        inputs: inputs that hold no items.
        shapes: expected shapes of outputs by name; those not named are not compared.
    """
    try:
        with torch.enable_grad():
            outputs = name_outputs(module(**inputs))
    except Exception as error:
        raise ContractViolation(
            "empty batch", "the module fails on an empty batch", error=f"{type(error).__name__}: {error}"
        ) from error
    for name, value in outputs.items():
        expected = (shapes or {}).get(name, tuple(value.shape))
        if tuple(value.shape) != expected:
            raise ContractViolation(
                "empty batch", "wrong shape", output=name, got=tuple(value.shape), expected=expected
            )
        if not value.isfinite().all():
            raise ContractViolation("empty batch", "the mean or maximum of nothing was taken", output=name)
    return outputs
