"""Checks of laws: equivariance, permutation, batch equals single, conservative forces."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.groups import Group, ProductGroup
from intertwine.symmetry import EquivarianceReport, Symmetry, check_forces, equivariance_error
from intertwine.symmetry.equivariance import declared_symmetry
from intertwine.symmetry.evaluate import name_outputs
from intertwine.testing.violation import ContractViolation, compare_outputs

__all__ = ["check_batch_equals_single", "check_conservative", "check_equivariance", "check_permutation"]

Inputs = Mapping[str, Any]


def check_equivariance(
    module: Callable,
    inputs: Inputs,
    *,
    symmetry: Symmetry | None = None,
    trials: int = 4,
    rng: torch.Generator | None = None,
    tolerance: float | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> EquivarianceReport:
    """Raise ContractViolation unless the module keeps the symmetry it declares; return the report.

    A test that passes because every output is zero, or ignores its inputs, says nothing: that is a violation
    too.
    """
    report = equivariance_error(module, inputs, symmetry=symmetry, trials=trials, rng=rng, dtype=dtype)
    if not report.passed(tolerance):
        raise ContractViolation("equivariance", report.explain())
    if all(entry.verdict == "zero" for entry in report.entries):
        raise ContractViolation(
            "equivariance",
            "every output is zero, so nothing was tested; choose inputs or weights that give more",
        )
    return report


def check_permutation(
    module: Callable,
    inputs: Inputs,
    *,
    symmetry: Symmetry | None = None,
    trials: int = 4,
    rng: torch.Generator | None = None,
    tolerance: float | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> EquivarianceReport:
    """Raise ContractViolation unless the module keeps the permutations of its symmetry; return the report."""
    symmetry = declared_symmetry(module, symmetry)
    factors = symmetry.group.factors if isinstance(symmetry.group, ProductGroup) else (symmetry.group,)
    permuting = [factor for factor in factors if _permutes(factor)]
    if not permuting:
        raise ContractViolation(
            "permutation",
            "the declared group permutes nothing; declare it, or switch this check off",
            group=symmetry.group,
        )
    only = replace(symmetry, group=permuting[0])
    report = equivariance_error(module, inputs, symmetry=only, trials=trials, rng=rng, dtype=dtype)
    if not report.passed(tolerance):
        raise ContractViolation("permutation", report.explain())
    return report


def _permutes(factor: Group) -> bool:
    return not factor.bound or factor.permutation(factor.identity()) is not None


def check_batch_equals_single(
    module: Callable,
    singles: Sequence[Inputs],
    join: Callable[[Sequence[Inputs]], Inputs],
    *,
    join_outputs: Callable[[Sequence[dict[str, Tensor]]], Mapping[str, Tensor]] | None = None,
    epsilons: float | None = None,
) -> None:
    """Raise ContractViolation unless a batch gives what its members give one by one.

    Args:
        module: a module or function.
        singles: inputs of the members, at least two that differ.
        join: makes the inputs of the batch from those of the members.
        join_outputs: makes the expected output of the batch from those of the members; by default every
            output is concatenated along the first axis.
        epsilons: allowed error in machine epsilons.
    """
    if len(singles) < 2:
        raise ContractViolation("batch equals single", "a batch needs at least two members", got=len(singles))
    together = _evaluated(module, join(singles))
    alone = [_evaluated(module, single) for single in singles]
    expected = (join_outputs or _concatenated)(alone)
    compare_outputs(
        "batch equals single",
        together,
        dict(expected),
        "members of a batch influence each other; usual causes: statistics or sums over the whole batch, node offsets "
        "that are not applied, padding that is not masked",
        epsilons=epsilons,
    )


def check_conservative(
    module: nn.Module,
    inputs: Inputs,
    *,
    rng: torch.Generator | None = None,
    dtype: torch.dtype | None = torch.float64,
    required: bool = True,
) -> None:
    """Raise ContractViolation unless ``forces`` is minus the gradient of ``energy`` by ``positions``.

    Args:
        module: the module.
        inputs: inputs by name.
        rng: source of randomness.
        dtype: precision of the check.
        required: whether a module without these inputs and outputs is a violation.
    """
    report, notes = check_forces(module, inputs, rng=rng, dtype=dtype)
    if report is not None and not report.passed():
        raise ContractViolation("conservative forces", report.explain())
    if required and report is None:
        reason = " ".join(notes) or "the module does not take positions and return energy and forces"
        raise ContractViolation("conservative forces", reason, inputs=list(inputs))


def _evaluated(module: Callable, inputs: Inputs) -> dict[str, Tensor]:
    with torch.enable_grad():
        return {name: value.detach() for name, value in name_outputs(module(**inputs)).items()}


def _concatenated(outputs: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([single[name] for single in outputs]) for name in outputs[0]}
