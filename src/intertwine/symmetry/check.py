"""A whole check of one module: equivariance, where it breaks, and whether forces are conservative."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.errors import SymmetryError
from intertwine.groups import Group, parse_group
from intertwine.representations import Representation
from intertwine.symmetry.conservative import ConservativenessReport, conservativeness_error
from intertwine.symmetry.equivariance import declared_symmetry, equivariance_error
from intertwine.symmetry.evaluate import Evaluation, convert, name_inputs, name_outputs
from intertwine.symmetry.localise import LocalisationReport, localise
from intertwine.symmetry.parse import parse_representation, parse_representations
from intertwine.symmetry.report import EquivarianceReport
from intertwine.symmetry.symmetry import Symmetry
from intertwine.symmetry.target import load_target

__all__ = ["CheckReport", "check_factory", "check_forces", "check_module"]


@dataclass(frozen=True)
class CheckReport:
    """All that a check found.

    Args:
        name: what was checked.
        equivariance: errors of the declared law.
        localisation: which submodule breaks it; None if the law holds, or the checked object has no
            submodules.
        conservativeness: how far forces are from the gradient of the energy; None where this was not measured,
            because the module does not return both, or not judged, because it claims nothing of the kind.
        tolerance: relative error up to which the law counts as kept; None for the default of the precision.
        notes: what kept a check from being as sharp as it could be.
    """

    name: str
    equivariance: EquivarianceReport
    localisation: LocalisationReport | None = None
    conservativeness: ConservativenessReport | None = None
    tolerance: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the law holds and forces, where this was measured, are those of the energy."""
        conservative = self.conservativeness is None or self.conservativeness.passed()
        return self.equivariance.passed(self.tolerance) and conservative

    @property
    def text(self) -> str:
        """The report in plain lines."""
        sections = [f"{self.name}: {'passed' if self.passed else 'failed'}", self.equivariance.explain()]
        if self.tolerance is not None and self.equivariance.passed(self.tolerance) != self.equivariance.passed():
            relation = "within" if self.equivariance.passed(self.tolerance) else "above"
            sections.append(f"The error is {relation} the tolerance of {self.tolerance:g} that was asked for.")
        sections += [part.explain() for part in (self.localisation, self.conservativeness) if part is not None]
        return "\n\n".join([*sections, *self.notes])

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {
            "name": self.name,
            "passed": self.passed,
            "tolerance": self.tolerance,
            "equivariance": self.equivariance.to_dict(),
            "localisation": None if self.localisation is None else self.localisation.to_dict(),
            "conservativeness": None if self.conservativeness is None else self.conservativeness.to_dict(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return self.text


def check_module(
    module: Callable,
    inputs: Tensor | Sequence | Mapping[str, Any],
    *,
    symmetry: Symmetry | None = None,
    name: str | None = None,
    trials: int = 8,
    rng: torch.Generator | None = None,
    dtype: torch.dtype | None = torch.float64,
    tolerance: float | None = None,
    positions: str = "positions",
    energy: str = "energy",
    forces: str = "forces",
) -> CheckReport:
    """Return a module's symmetry errors, the submodule at fault, and how conservative its forces are.

    Args:
        module: a module or a function.
        inputs: one tensor, a sequence in the order of the arguments, or a mapping by name.
        symmetry: overrides the module's own ``symmetry``.
        name: what to call the module in the report; its class by default.
        trials: elements drawn of each kind.
        rng: source of randomness; a fixed seed if not given.
        dtype: precision in which a copy is evaluated; None keeps it.
        tolerance: relative error up to which the law counts as kept; by default what is rounding in the
            precision.
        positions: name of the input that forces are derivatives by.
        energy: name of the output that is the energy.
        forces: name of the output that is the force.
    """
    rng = rng or torch.Generator().manual_seed(0)
    symmetry = declared_symmetry(module, symmetry)
    report = equivariance_error(module, inputs, symmetry=symmetry, trials=trials, rng=rng, dtype=dtype)
    found = None
    if not report.passed(tolerance) and isinstance(module, nn.Module):
        found = localise(module, inputs, symmetry, rng=rng, dtype=dtype)
    conservativeness, notes = check_forces(
        module, inputs, rng=rng, dtype=dtype, positions=positions, energy=energy, forces=forces
    )
    title: str = name or getattr(module, "__name__", type(module).__name__)
    return CheckReport(title, report, found, conservativeness, tolerance, notes)


def check_factory(
    path: str,
    *,
    group: str | Group | None = None,
    inputs: str | Mapping[str, Representation] | None = None,
    output: str | Representation | Mapping[str, Representation] | None = None,
    **settings: Any,
) -> CheckReport:
    """Return the check of the module at an import path, as ``intertwine check package.module:name`` does.

    Args:
        path: ``package.module:name``, see ``load_target``; it must come with example inputs.
        group: the group or its name, such as ``"E(3) x S_n"``; needed if the module declares no symmetry.
        inputs: representations by argument, or text: ``"positions=permuted(point),
            species=permuted(invariant)"``.
        output: the representation of the output, or text: ``"vector"``, ``"energy=invariant,
            forces=permuted(vector)"``.
        **settings: arguments of ``check_module``.

    Raises:
        SymmetryError: if the path cannot be loaded, or symmetry or example inputs are missing.
    """
    target = load_target(path)
    if target.inputs is None:
        raise SymmetryError(
            f"{path} comes without example inputs",
            got=type(target.module).__name__,
            expected="a function that returns (module, inputs), or a module with a method example_inputs()",
            fix="return a pair (module, inputs) from the function",
        )
    symmetry = None
    if (group, inputs, output) != (None, None, None):
        symmetry = _symmetry(group, inputs, output)
    return check_module(target.module, target.inputs, symmetry=symmetry, name=path, **settings)


def _symmetry(group: Any, inputs: Any, output: Any) -> Symmetry:
    if group is None or output is None:
        raise SymmetryError(
            "a symmetry given by hand needs a group, inputs and an output",
            got={"group": group, "inputs": inputs, "output": output},
            expected='for example group="SO(3)", inputs="x=vector", output="vector"',
        )
    if isinstance(output, str):
        output = parse_representations(output) if "=" in output else parse_representation(output)
    if isinstance(inputs, str):
        inputs = parse_representations(inputs)
    return Symmetry(parse_group(group) if isinstance(group, str) else group, inputs or {}, output)


def check_forces(
    module: Callable,
    inputs: Tensor | Sequence | Mapping[str, Any],
    *,
    rng: torch.Generator | None = None,
    dtype: torch.dtype | None = torch.float64,
    positions: str = "positions",
    energy: str = "energy",
    forces: str = "forces",
) -> tuple[ConservativenessReport | None, tuple[str, ...]]:
    """Return whether the forces that a module returns are the gradient of the energy that it returns.

    The report is None for a module that lacks one of the names; the notes say what kept a check from being
    sharp.

    Args:
        module: a module or a function with these outputs.
        inputs: one tensor, a sequence in the order of the arguments, or a mapping by name.
        rng: source of randomness; a fixed seed if not given.
        dtype: precision in which a copy is evaluated; None keeps it.
        positions: name of the input that forces are derivatives by.
        energy: name of the output that is the energy.
        forces: name of the output that is the force.
    """
    named = {name: convert(value, dtype) for name, value in name_inputs(module, inputs).items()}
    moving = named.get(positions)
    evaluation = Evaluation.prepare(module, not isinstance(inputs, Mapping), dtype)
    outputs = set(evaluation(named))
    if not isinstance(moving, Tensor) or not {energy, forces} <= outputs:
        alone = f"There are {forces} without {energy} and {positions}: whether they are conservative was not measured."
        return None, ((alone,) if forces in outputs else ())

    def output(name: str) -> Callable[[Tensor], Tensor]:
        return lambda moved: name_outputs(evaluation.raw(named | {positions: moved}, attached=positions))[name]

    attached = output(forces)(moving.clone().requires_grad_(True)).requires_grad
    method = "autograd" if attached else "finite_difference"
    report = conservativeness_error(output(forces), moving, energy=output(energy), rng=rng, method=method)
    note = "The forces are detached, so their Jacobian was taken by finite differences."
    return report, (() if attached else (note,))
