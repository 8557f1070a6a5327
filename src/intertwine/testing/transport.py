"""Checks of moving a module: saved and loaded with equal bits, compiled with equal numbers."""

import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.symmetry.evaluate import convert, name_outputs
from intertwine.testing.violation import ContractViolation, compare_outputs

__all__ = ["check_compile", "check_pretrained", "check_save_load"]

Inputs = Mapping[str, Any]


def check_save_load(module: nn.Module, fresh: nn.Module, inputs: Inputs) -> None:
    """Raise ContractViolation unless ``fresh``, with the state of ``module`` loaded, gives the same bits.

    Args:
        module: the module to save, for example with weights as after training.
        fresh: a module built the same way, with other weights; it is changed.
        inputs: inputs by name.
    """
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    try:
        fresh.load_state_dict(torch.load(file, weights_only=True))
    except RuntimeError as error:
        raise ContractViolation(
            "save and load", "the state does not fit a module built the same way", error=error
        ) from error
    _compare_bits("save and load", fresh.train(module.training), module, inputs)


def check_pretrained(module: nn.Module, inputs: Inputs) -> None:
    """Raise ContractViolation unless ``from_pretrained`` after ``save_pretrained`` gives the same bits."""
    missing = [name for name in ("save_pretrained", "from_pretrained") if not hasattr(module, name)]
    if missing:
        raise ContractViolation("pretrained", "the module has no such method", missing=", ".join(missing))
    with tempfile.TemporaryDirectory() as folder:
        save: Any = module.save_pretrained
        load: Any = getattr(type(module), "from_pretrained")  # noqa: B009 - torch types do not know the method
        save(Path(folder))
        loaded = load(Path(folder))
    _compare_bits("pretrained", loaded.train(module.training), module, inputs)


def check_compile(
    module: nn.Module,
    inputs: Inputs,
    *,
    backend: str = "aot_eager",
    fullgraph: bool = True,
    epsilons: float | None = None,
    gradients: bool = True,
) -> None:
    """Raise ContractViolation unless ``torch.compile`` gives the numbers of eager execution.

    Args:
        module: the module.
        inputs: inputs by name.
        backend: backend of ``torch.compile``.
        fullgraph: whether a graph break is a violation.
        epsilons: allowed error in machine epsilons.
        gradients: whether gradients by the parameters are compared too.
    """
    torch.compiler.reset()
    compiled = torch.compile(module, backend=backend, fullgraph=fullgraph)
    try:
        got = _call(compiled, inputs)
    except Exception as error:
        raise ContractViolation(
            "compile",
            "torch.compile fails; usual causes: a graph break, a branch on the value of a tensor",
            error=error,
        ) from error
    expected = _call(module, inputs)
    meaning = "compiled and eager execution disagree"
    compare_outputs("compile", got, expected, meaning, epsilons=epsilons)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if gradients and parameters and any(value.requires_grad for value in expected.values()):
        compare_outputs(
            "compile",
            _gradients(got, parameters),
            _gradients(expected, parameters),
            f"{meaning} on gradients",
            epsilons=epsilons,
        )


def _gradients(outputs: Mapping[str, Tensor], parameters: list[nn.Parameter]) -> list[Tensor]:
    scalar = sum((value.square().sum() for value in outputs.values() if value.requires_grad), torch.zeros(()))
    return list(torch.autograd.grad(scalar, parameters, allow_unused=True, materialize_grads=True))


def _compare_bits(contract: str, got: nn.Module, expected: nn.Module, inputs: Inputs) -> None:
    meaning = "a loaded module gives other numbers; usual cause: what decides them is not all saved"
    compare_outputs(contract, _call(got, inputs), _call(expected, inputs), meaning, epsilons=0)


def _call(module: Callable, inputs: Inputs) -> dict[str, Tensor]:
    with torch.enable_grad():
        return name_outputs(module(**{name: convert(value, None) for name, value in inputs.items()}))
