"""How a check calls a module: by argument name, on a copy in the precision of the check, outputs by name.

The module given by the user is never changed: it is copied, the copy is put in evaluation mode and converted.
Inputs are detached copies, because a force model may ask for gradients of them or write into them.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.errors import SymmetryError

__all__ = ["Evaluation", "argument_names", "convert", "name_inputs", "name_outputs"]

_CONVERSIONS = {
    torch.float64: nn.Module.double,
    torch.float32: nn.Module.float,
    torch.float16: nn.Module.half,
    torch.bfloat16: nn.Module.bfloat16,
}
_COMPLEX = {torch.float64: torch.complex128, torch.float32: torch.complex64}


def argument_names(module: Callable) -> tuple[list[str], bool] | None:
    """Return the argument names of ``forward`` and whether it accepts others; None if not known."""
    try:
        parameters = inspect.signature(module.forward if isinstance(module, nn.Module) else module).parameters
    except (TypeError, ValueError):
        return None
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = [name for name, parameter in parameters.items() if parameter.kind not in variadic]
    return names, len(names) < len(parameters)


def name_inputs(module: Callable, inputs: Tensor | Sequence | Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs by the names of the arguments of ``forward``, in order.

    Raises:
        SymmetryError: if there are more positional inputs than arguments, or an input has a name ``forward``
            lacks.
    """
    known = argument_names(module)
    if isinstance(inputs, Mapping):
        unknown = [name for name in inputs if known is not None and not known[1] and name not in known[0]]
        if unknown and known is not None:
            raise SymmetryError(f"{type(module).__name__} has no argument of that name", got=unknown, expected=known[0])
        return dict(inputs)
    values = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    names = [] if known is None else known[0]
    if len(values) > len(names):
        if known is not None and not known[1]:
            raise SymmetryError(
                f"{type(module).__name__} takes fewer arguments than were given",
                got=f"{len(values)} inputs",
                expected=names,
            )
        names = names + [f"argument{place}" for place in range(len(names), len(values))]
    return dict(zip(names, values, strict=False))


def convert(value: Any, dtype: torch.dtype | None) -> Any:
    """Return detached copies in the given precision of a tensor, or of those in a list, tuple or dictionary.

    Integers and booleans keep their type; complex tensors keep being complex. ``None`` keeps every type.
    """
    if isinstance(value, Tensor):
        target = value.dtype
        if dtype is not None and value.is_floating_point():
            target = dtype
        elif dtype is not None and value.is_complex():
            target = _COMPLEX.get(dtype, value.dtype)
        return value.detach().to(target, copy=True)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(convert(item, dtype) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(convert(item, dtype) for item in value)
    if isinstance(value, dict):
        return {name: convert(item, dtype) for name, item in value.items()}
    return value


def name_outputs(value: Any) -> dict[str, Tensor]:
    """Return an output's tensors by name: ``output`` for one tensor, places in a tuple, keys of a mapping.

    Nested outputs are joined by dots; what is not a tensor is left out.
    """
    if isinstance(value, Tensor):
        return {"output": value}
    if isinstance(value, Mapping):
        items = [(str(name), item) for name, item in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = list(value._asdict().items())  # pyright: ignore[reportAttributeAccessIssue]
    elif isinstance(value, list | tuple):
        items = [(str(place), item) for place, item in enumerate(value)]
    elif is_dataclass(value) and not isinstance(value, type):
        items = list(vars(value).items())
    else:
        items = []
    named = {}
    for name, item in items:
        if isinstance(item, Tensor):
            named[name] = item
        else:
            named |= {f"{name}.{inner}": tensor for inner, tensor in name_outputs(item).items()}
    return named


@dataclass(frozen=True)
class Evaluation:
    """A module ready to be evaluated by a check.

    Args:
        module: the copy (or the plain function) that is called.
        positional: whether inputs are given by place, as the user gave them.
        dtype: the precision of the check; None leaves all as it is.
    """

    module: Callable
    positional: bool
    dtype: torch.dtype | None

    @classmethod
    def prepare(cls, module: Callable, positional: bool, dtype: torch.dtype | None) -> "Evaluation":
        """Copy a module, in evaluation mode and in ``dtype``; a plain function is taken as it is."""
        if isinstance(module, nn.Module):
            module = copy.deepcopy(module).eval()
            if dtype is not None:
                _CONVERSIONS[dtype](module)
        return cls(module, positional, dtype)

    def raw(self, inputs: Mapping[str, Any], attached: str | None = None) -> Any:
        """Call the module on copies of the inputs, with autograd enabled, and return what it returns.

        Args:
            inputs: the inputs by name.
            attached: name of an input that is passed as it is, with its gradient graph.

        Raises:
            SymmetryError: if the module mixes its own precision with that of the check.
        """
        values = {name: value if name == attached else convert(value, self.dtype) for name, value in inputs.items()}
        try:
            with torch.enable_grad():
                return self.module(*values.values()) if self.positional else self.module(**values)
        except RuntimeError as error:
            if self.dtype is None or "dtype" not in str(error):
                raise
            raise SymmetryError(
                f"the module cannot be evaluated in {self.dtype}: {error}",
                fix="register constants as buffers so that they follow the module, or check with dtype=None",
            ) from error

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return the outputs by name, detached."""
        return {name: tensor.detach() for name, tensor in name_outputs(self.raw(inputs)).items()}
