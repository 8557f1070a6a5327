"""The contract of a module as a test suite to inherit: one method a check, all on unless switched off.

A test class names the module and its inputs and inherits ``test_...`` methods that any test runner collects.
A check that cannot apply is switched off by its flag, in the open: nothing is skipped because something was
forgotten.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from intertwine.testing.laws import (
    check_batch_equals_single,
    check_conservative,
    check_equivariance,
    check_permutation,
)
from intertwine.testing.numerics import check_empty_batch, check_gradients_finite, check_precision
from intertwine.testing.transport import check_compile, check_pretrained, check_save_load

__all__ = ["ModuleContract"]

Inputs = Mapping[str, Any]

_CHECK_OF_FLAG = {
    "equivariant": "test_equivariance",
    "permutes": "test_permutation",
    "batches": "test_batch_equals_single",
    "differentiable": "test_gradients_are_finite",
    "saves": "test_save_and_load",
    "compiles": "test_compile_equals_eager",
    "keeps_precision": "test_float32_equals_float64",
    "accepts_empty": "test_empty_batch",
}


class ModuleContract:
    """What every module of this package is held to.

    A subclass gives ``build`` and ``inputs`` and, for the checks that need them, ``singles`` with ``join``
    and ``empty_inputs``. Random weights are drawn by ``build``; gradients are finite and copies equal for
    those.

    Example:
        >>> class TestLinear(ModuleContract):
        ...     permutes = batches = accepts_empty = False
        ...
        ...     def build(self):
        ...         return MyLinear(8)
        ...
        ...     def inputs(self, rng, dtype):
        ...         return {"x": torch.randn(5, 8, 3, generator=rng, dtype=dtype)}
    """

    equivariant: ClassVar[bool] = True
    """It declares a symmetry and keeps it; where it returns energy and forces, they belong together."""
    permutes: ClassVar[bool] = True
    """Its group permutes items."""
    batches: ClassVar[bool] = True
    """It takes several samples at once; needs ``singles`` and ``join``."""
    differentiable: ClassVar[int] = 2
    """The order up to which derivatives exist."""
    saves: ClassVar[bool] = True
    """Its state dictionary, and ``save_pretrained`` if it has that, decide its numbers."""
    compiles: ClassVar[bool] = True
    """``torch.compile`` takes it without graph breaks."""
    compile_backend: ClassVar[str] = "aot_eager"
    """The backend that ``torch.compile`` is asked for."""
    keeps_precision: ClassVar[bool] = True
    """It runs in float32 and float64 and returns what it was given."""
    accepts_empty: ClassVar[bool] = True
    """It takes a batch of no samples; needs ``empty_inputs``."""
    epsilons: ClassVar[float | None] = None
    """Allowed error in machine epsilons between two ways to the same number; None for the default."""
    precision_epsilons: ClassVar[float] = 4096
    """Allowed difference of float32 from float64, in machine epsilons of float32."""
    seed: ClassVar[int] = 1
    """Seed of the generators that are handed out."""

    def __init_subclass__(cls, **settings: Any) -> None:
        """Take the checks that are switched off out of the suite, so that they are not counted as passed."""
        super().__init_subclass__(**settings)
        for flag, check in _CHECK_OF_FLAG.items():
            if not getattr(cls, flag):
                setattr(cls, check, None)

    def build(self) -> nn.Module:
        """Return a new module in float32; two calls give modules of the same structure."""
        raise self._missing("build", "always")

    def inputs(self, rng: torch.Generator, dtype: torch.dtype) -> Inputs:
        """Return inputs of the module by argument name."""
        raise self._missing("inputs", "always")

    def singles(self, rng: torch.Generator, dtype: torch.dtype) -> Sequence[Inputs]:
        """Return the inputs of at least two different samples."""
        raise self._missing("singles", "batches")

    def join(self, singles: Sequence[Inputs]) -> Inputs:
        """Return the inputs of the batch of these samples."""
        raise self._missing("join", "batches")

    def join_outputs(self, outputs: Sequence[dict[str, Tensor]]) -> Mapping[str, Tensor]:
        """Return the output that the batch should give; by default all outputs are concatenated."""
        return {name: torch.cat([single[name] for single in outputs]) for name in outputs[0]}

    def empty_inputs(self, dtype: torch.dtype) -> Inputs:
        """Return the inputs of a batch without samples."""
        raise self._missing("empty_inputs", "accepts_empty")

    def test_equivariance(self) -> None:
        """If this fails, the module does not keep the law that it declares, or its forces are not -dE/dx."""
        module, inputs = self.build(), self._inputs(torch.float64)
        check_equivariance(module, inputs, rng=self._rng(), tolerance=self._tolerance())
        check_conservative(module, inputs, rng=self._rng(), required=False)

    def test_permutation(self) -> None:
        """If this fails, the result depends on the order in which items are listed."""
        check_permutation(self.build(), self._inputs(torch.float64), rng=self._rng(), tolerance=self._tolerance())

    def test_batch_equals_single(self) -> None:
        """If this fails, members of a batch influence each other."""
        check_batch_equals_single(
            self.build().double().eval(),
            self.singles(self._rng(), torch.float64),
            self.join,
            join_outputs=self.join_outputs,
            epsilons=self.epsilons,
        )

    def test_gradients_are_finite(self) -> None:
        """If this fails, training meets NaN on inputs like these."""
        check_gradients_finite(self.build().double(), self._inputs(torch.float64), order=self.differentiable)

    def test_save_and_load(self) -> None:
        """If this fails, a checkpoint or a published model is not the module that was saved."""
        module, inputs = self.build().eval(), self._inputs(torch.float32)
        check_save_load(module, self.build(), inputs)
        if hasattr(module, "save_pretrained"):
            check_pretrained(module, inputs)

    def test_compile_equals_eager(self) -> None:
        """If this fails, compiling breaks the graph or changes the numbers."""
        module = self.build().double().eval()
        check_compile(module, self._inputs(torch.float64), backend=self.compile_backend, epsilons=self.epsilons)

    def test_float32_equals_float64(self) -> None:
        """If this fails, precision is lost or fixed inside the module."""
        check_precision(self.build().eval(), self._inputs(torch.float64), epsilons=self.precision_epsilons)

    def test_empty_batch(self) -> None:
        """If this fails, the module cannot take a batch of no samples."""
        check_empty_batch(self.build().double().eval(), self.empty_inputs(torch.float64))

    def _rng(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def _inputs(self, dtype: torch.dtype) -> Inputs:
        return self.inputs(self._rng(), dtype)

    def _tolerance(self) -> float | None:
        return None if self.epsilons is None else self.epsilons * torch.finfo(torch.float64).eps

    def _missing(self, method: str, flag: str) -> NotImplementedError:
        reason = "every contract needs it" if flag == "always" else f"or set {flag} = False"
        return NotImplementedError(f"{type(self).__name__} must define {method}(...), {reason}")
