"""A declared symmetry: a group, and how it acts on the inputs and the outputs of a module.

The law is f(g x) = g f(x) for every element g. A module that claims it has it as the attribute or property
``symmetry``; names of inputs are those of the arguments of ``forward``, and arguments not named are
invariant.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from torch import Tensor

from intertwine.errors import SymmetryError
from intertwine.groups import Group
from intertwine.representations import Permuted, Representation
from intertwine.symmetry.evaluate import argument_names
from intertwine.symmetry.parse import format_representation

__all__ = ["Symmetry"]

Output = Representation | Mapping[str, Representation] | Sequence[Representation]
"""One output, outputs by name, or a tuple of outputs by place."""


@final
@dataclass(frozen=True)
class Symmetry:
    """The claim that a module commutes with a group.

    Args:
        group: which elements act. ``SymmetricGroup(None)`` stands for any number of items, see ``bind``.
        inputs: the representation of each argument of ``forward`` that is not invariant.
        output: the representation of the one output, a mapping for outputs by name, a sequence for a tuple.
            Outputs not named are not checked.

    Example:
        >>> from intertwine.groups import E, SymmetricGroup
        >>> from intertwine.representations import Invariant, Permuted, Point, Vector
        >>> Symmetry(
        ...     E(3) * SymmetricGroup(None),
        ...     inputs={"positions": Permuted((0,), Point()), "species": Permuted()},
        ...     output={"energy": Invariant(), "forces": Permuted((0,), Vector())},
        ... ).group.bound
        False
    """

    group: Group
    inputs: Mapping[str, Representation] = field(default_factory=dict)
    output: Output = field(default_factory=dict)
    optional: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.group, Group):
            raise SymmetryError(
                "a symmetry needs a group",
                got=repr(self.group),
                expected="a group, such as O(3) * SymmetricGroup(5)",
            )
        object.__setattr__(self, "inputs", dict(self.inputs))
        if isinstance(self.output, Sequence):
            object.__setattr__(self, "output", {str(place): law for place, law in enumerate(self.output)})
        outputs = self.output_representations
        wrong = [law for law in [*self.inputs.values(), *outputs] if not isinstance(law, Representation)]
        if wrong or not outputs:
            raise SymmetryError(
                "a symmetry needs representations, and at least one output",
                got=", ".join(map(repr, wrong)) or "no output",
                expected="Invariant(), Vector(), Point(), Permuted(...), IrrepsTensor(...), ...",
                fix="write an instance, Vector(), not the class Vector",
            )

    @property
    def output_representations(self) -> list[Representation]:
        """The representations of all outputs, in order."""
        if not isinstance(self.output, Mapping):
            return [self.output]  # pyright: ignore[reportReturnType] - a sequence has become a mapping
        return list(self.output.values())

    def bind(self, inputs: Mapping[str, Any]) -> "Symmetry":
        """Return this symmetry for as many permuted items as the inputs have; itself if the number is known.

        Raises:
            SymmetryError: if no input is `Permuted`, or the inputs disagree on the number of items.
        """
        if self.group.bound:
            return self
        sizes = {
            f"{name} axis {axis}": inputs[name].shape[axis]
            for name, law in self.inputs.items()
            if isinstance(law, Permuted) and isinstance(inputs.get(name), Tensor)
            for axis in law.axes
            if -inputs[name].ndim <= axis < inputs[name].ndim
        }
        if len(set(sizes.values())) != 1:
            raise SymmetryError(
                f"the number of items that {self.group} permutes cannot be read from the inputs",
                got=sizes or "no input that is Permuted",
                expected="Permuted inputs that agree on the length of their permuted axes",
                fix="declare an input as Permuted((axis,), ...), or name the size: SymmetricGroup(5)",
            )
        return replace(self, group=self.group.bind(next(iter(sizes.values()))))

    def restrict(self, group: Group) -> "Symmetry":
        """Return the same actions under another group, for example only the permutations of a product."""
        return replace(self, group=group)

    def check_inputs(self, module: Callable, inputs: Mapping[str, Any]) -> None:
        """Raise SymmetryError if ``forward`` lacks a named input, or if none of the named inputs is given."""
        known = argument_names(module)
        if known is not None and not known[1]:
            unknown = [name for name in self.inputs if name not in known[0]]
            if unknown:
                raise SymmetryError(
                    f"the symmetry of {_name(module)} names an input that its forward does not have",
                    got=", ".join(unknown),
                    expected=", ".join(known[0]),
                    fix=_suggestion(unknown[0], known[0]),
                )
        if self.inputs and not any(isinstance(inputs.get(name), Tensor) for name in self.inputs):
            raise SymmetryError(
                f"no input on which {self.group} acts was given to {_name(module)}",
                got=", ".join(inputs) or "no inputs",
                expected=", ".join(self.inputs),
            )

    def output_laws(self, outputs: Mapping[str, Tensor]) -> dict[str, Representation]:
        """Return the representation of each checked output by the name it has in ``outputs``.

        Raises:
            SymmetryError: if an output is named that the module does not return, or one law is given for
                several outputs.
        """
        if isinstance(self.output, Representation):
            if len(outputs) != 1:
                raise SymmetryError(
                    "the symmetry gives one law, and the module does not return one tensor",
                    got=", ".join(outputs) or "no tensor",
                    expected="one tensor",
                    fix="write output={name: representation, ...}",
                )
            return {name: self.output for name in outputs}
        laws = self._output_names()
        missing = [name for name in laws if name not in outputs and name not in self.optional]
        if missing:
            raise SymmetryError(
                "the symmetry names an output that the module does not return",
                got=", ".join(missing),
                expected=", ".join(outputs) or "no tensor",
                fix=_suggestion(missing[0], list(outputs)),
            )
        return {name: law for name, law in laws.items() if name in outputs}

    def _output_names(self) -> dict[str, Representation]:
        return dict(self.output) if isinstance(self.output, Mapping) else {}

    def __repr__(self) -> str:
        if isinstance(self.output, Representation):
            output = format_representation(self.output)
        else:
            output = ", ".join(f"{name}: {format_representation(law)}" for name, law in self._output_names().items())
        inputs = (
            ", ".join(f"{name}: {format_representation(law)}" for name, law in self.inputs.items()) or "all invariant"
        )
        return f"Symmetry({self.group}; {inputs} -> {output})"


def _name(module: Callable) -> str:
    return getattr(module, "__name__", type(module).__name__)


def _suggestion(name: str, known: list[str]) -> str | None:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else None
