"""Tolerances, checks, and contract suites that the tests of a module inherit. No test runner is imported."""

from intertwine.testing.contract import ModuleContract
from intertwine.testing.laws import (
    check_batch_equals_single,
    check_conservative,
    check_equivariance,
    check_permutation,
)
from intertwine.testing.numerics import check_empty_batch, check_gradients_finite, check_precision
from intertwine.testing.tolerances import DTYPES, tolerance
from intertwine.testing.transport import check_compile, check_pretrained, check_save_load
from intertwine.testing.violation import ContractViolation

__all__ = [
    "DTYPES",
    "ContractViolation",
    "ModuleContract",
    "check_batch_equals_single",
    "check_compile",
    "check_conservative",
    "check_empty_batch",
    "check_equivariance",
    "check_gradients_finite",
    "check_permutation",
    "check_precision",
    "check_pretrained",
    "check_save_load",
    "tolerance",
]
