"""What every submodule receives and returns during one call of a module, in order of execution."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.symmetry.evaluate import Evaluation, argument_names, convert, name_outputs

__all__ = ["Call", "record_calls"]


@dataclass
class Call:
    """One call of one submodule.

    Args:
        name: dotted name of the submodule; empty for the module itself.
        module: the submodule.
        positional: its positional arguments, copied.
        keywords: its keyword arguments, copied.
        received: identities of the tensors it received, to follow a tensor from one submodule to the next.
        outputs: what it returned, copied, by name.
        returned: identities of the tensors it returned, by name.
        children: calls made inside this one, in order.
    """

    name: str
    module: nn.Module
    positional: tuple
    keywords: dict[str, Any]
    received: set[int]
    outputs: dict[str, Tensor] = field(default_factory=dict)
    returned: dict[str, int] = field(default_factory=dict)
    children: list["Call"] = field(default_factory=list)

    @property
    def inputs(self) -> dict[str, Tensor]:
        """The tensors received, by argument name."""
        return name_outputs(self.arguments)

    @property
    def arguments(self) -> dict[str, Any]:
        """All arguments by name, in order."""
        known = argument_names(self.module)
        names = list(known[0]) if known else []
        names += [f"argument{place}" for place in range(len(names), len(self.positional))]
        return dict(zip(names, self.positional, strict=False)) | self.keywords

    def walk(self) -> list["Call"]:
        """This call and all calls inside it, each before its children."""
        return [self, *(inner for child in self.children for inner in child.walk())]


def record_calls(evaluation: Evaluation, module: nn.Module, inputs: Mapping[str, Any]) -> Call:
    """Evaluate ``module``, and return the record of its own call with those of its submodules inside."""
    stack: list[Call] = []
    finished: list[Call] = []
    alive: list[Any] = []  # identities are those of living tensors, so tensors live until the call ends

    def enter(name: str, submodule: nn.Module, positional: tuple, keywords: dict[str, Any]) -> None:
        alive.append((positional, keywords))
        received = {id(tensor) for tensor in name_outputs((positional, keywords)).values()}
        stack.append(Call(name, submodule, convert(positional, None), convert(keywords, None), received))

    def leave(output: Any) -> None:
        alive.append(output)
        call = stack.pop()
        named = name_outputs(output)
        call.outputs = {name: tensor.detach().clone() for name, tensor in named.items()}
        call.returned = {name: id(tensor) for name, tensor in named.items()}
        (stack[-1].children if stack else finished).append(call)

    handles = []
    for name, submodule in module.named_modules(remove_duplicate=True):
        if isinstance(submodule, torch.jit.ScriptModule):
            continue
        handles.append(
            submodule.register_forward_pre_hook(
                lambda inner, positional, keywords, name=name: enter(name, inner, positional, keywords),
                with_kwargs=True,
            )
        )
        handles.append(submodule.register_forward_hook(lambda inner, received, output: leave(output)))
    try:
        evaluation(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return finished[0]
