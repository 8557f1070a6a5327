"""How far a module is from commuting with a group: f(g x) against g f(x), over drawn elements g.

The module is copied, put in evaluation mode and evaluated in float64 unless told otherwise, so that what is
left is rounding (some machine epsilons) or a fault. Errors are relative to the largest entry of the output.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from intertwine.errors import SymmetryError
from intertwine.groups import Element
from intertwine.representations import Representation
from intertwine.symmetry.describe import describe_element
from intertwine.symmetry.elements import draw_parts, move_element
from intertwine.symmetry.evaluate import Evaluation, convert, name_inputs
from intertwine.symmetry.report import EquivarianceEntry, EquivarianceReport
from intertwine.symmetry.symmetry import Symmetry

__all__ = ["declared_symmetry", "equivariance_error", "transform"]


def declared_symmetry(module: Callable, symmetry: Symmetry | None = None) -> Symmetry:
    """Return the symmetry given, or the one that the module declares.

    Raises:
        SymmetryError: if there is neither.
    """
    found = symmetry if symmetry is not None else getattr(module, "symmetry", None)
    if not isinstance(found, Symmetry):
        raise SymmetryError(
            f"{type(module).__name__} declares no symmetry",
            got=f"symmetry = {found!r}",
            expected="an attribute or property `symmetry` that is a Symmetry",
            fix="pass symmetry=Symmetry(group, inputs={...}, output=...)",
        )
    return found


def transform(symmetry: Symmetry, element: Element, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inputs moved by one element; arguments that the symmetry does not name stay as they are."""
    moved = dict(inputs)
    for name, representation in symmetry.inputs.items():
        value = inputs.get(name)
        if isinstance(value, Tensor):
            moved[name] = representation.apply(symmetry.group, move_element(element, value.device), value)
    return moved


def equivariance_error(
    module: Callable,
    inputs: Tensor | Sequence | Mapping[str, Any],
    *,
    symmetry: Symmetry | None = None,
    trials: int = 8,
    rng: torch.Generator | None = None,
    dtype: torch.dtype | None = torch.float64,
) -> EquivarianceReport:
    """Return how far ``module`` is from keeping the symmetry that it declares, on the given inputs.

    Elements are drawn from the whole group and, where the group has several kinds, from each kind alone
    (rotations, reflections, translations, permutations), so that the report says which of them break.

    Args:
        module: a module or a function from tensors to a tensor, a tuple or a mapping. It is not changed.
        inputs: one tensor, a sequence in the order of the arguments, or a mapping by name.
        symmetry: overrides the module's own ``symmetry``.
        trials: elements drawn of each kind.
        rng: source of the elements; a fixed seed if not given.
        dtype: precision in which a copy of the module is evaluated; None keeps module and inputs as they are.

    Raises:
        SymmetryError: if no symmetry is known, or it does not fit the arguments or the outputs.

    Example:
        >>> from intertwine.groups import SO
        >>> from intertwine.representations import Vector
        >>> law = Symmetry(SO(3), inputs={"a": Vector(), "b": Vector()}, output=Vector())
        >>> def cross(a, b):
        ...     return torch.linalg.cross(a, b)
        >>> equivariance_error(cross, tuple(torch.randn(2, 5, 3)), symmetry=law).passed()
        True
    """
    symmetry = declared_symmetry(module, symmetry)
    named = name_inputs(module, inputs)
    symmetry.check_inputs(module, named)
    symmetry = symmetry.bind(named)
    rng = rng or torch.Generator().manual_seed(0)
    named = {name: convert(value, dtype) for name, value in named.items()}
    dtype_used = dtype or _precision(named)
    evaluation = Evaluation.prepare(module, not isinstance(inputs, Mapping), dtype)
    reference = evaluation(named)
    laws = symmetry.output_laws(reference)
    entries = []
    for part, elements in draw_parts(symmetry.group, trials, rng=rng, dtype=dtype_used).items():
        results = [evaluation(transform(symmetry, element, named)) for element in elements]
        for name, law in laws.items():
            deviations = [
                _deviation(symmetry, element, law, reference[name], result.get(name), name)
                for element, result in zip(elements, results, strict=True)
            ]
            trial = max(range(len(elements)), key=lambda place: _severity(*deviations[place]))
            words = describe_element(symmetry.group, elements[trial])
            entries.append(EquivarianceEntry.judge(name, part, *deviations[trial], words, trial, dtype_used))
    warnings = _warnings(evaluation, named, reference, laws, rng, dtype)
    return EquivarianceReport(tuple(entries), str(symmetry.group), dtype_used, trials, tuple(warnings))


def _deviation(
    symmetry: Symmetry, element: Element, law: Representation, before: Tensor, after: Tensor | None, name: str
) -> tuple[float, float]:
    """Largest entry of f(g x) - g f(x), and the size of g f(x)."""
    if after is None or after.shape != before.shape:
        raise SymmetryError(
            f"the output {name!r} changes shape when the inputs are transformed",
            got="no such output" if after is None else tuple(after.shape),
            expected=tuple(before.shape),
            fix="pad it to a fixed shape, or leave it out of the symmetry's outputs",
        )
    if before.numel() == 0:
        return 0.0, 0.0
    expected = law.apply(symmetry.group, move_element(element, before.device), before)
    expected, after = _wide(expected), _wide(after)
    size = float(expected.abs().max()) or float(after.abs().max())
    return float((after - expected).abs().max()), size


def _severity(absolute: float, size: float) -> float:
    """Order of deviations: not finite is worst, then by relative size; an output of zero says least."""
    if not (math.isfinite(absolute) and math.isfinite(size)):
        return math.inf
    return absolute / size if size > 0 else -1.0


def _warnings(
    evaluation: Evaluation,
    inputs: Mapping[str, Any],
    reference: Mapping[str, Tensor],
    laws: Mapping[str, Representation],
    rng: torch.Generator,
    dtype: torch.dtype | None,
) -> list[str]:
    """Say where the check means little: outputs that are random, ignore the inputs, or have low precision."""
    warnings = []
    again = evaluation(inputs)
    random = [name for name in laws if not torch.equal(again[name].nan_to_num(), reference[name].nan_to_num())]
    if random:
        warnings.append(
            f"two calls with the same inputs give different values of {', '.join(random)}: part of the error may be "
            "randomness in the module, not a broken law."
        )
    constant = [name for name in _ignoring(evaluation, inputs, reference, rng) if name in laws and name not in random]
    if constant:
        warnings.append(
            f"{', '.join(constant)} did not change when the inputs were perturbed: an output that ignores its inputs "
            "satisfies any invariance, so this says nothing about the module."
        )
    if dtype is not None:
        for name in laws:
            found = reference[name]
            if found.is_floating_point() and torch.finfo(found.dtype).eps > torch.finfo(dtype).eps:
                warnings.append(f"{name} is {found.dtype} although the module was evaluated in {dtype}.")
    return warnings


def _ignoring(
    evaluation: Evaluation, inputs: Mapping[str, Any], reference: Mapping[str, Tensor], rng: torch.Generator
) -> list[str]:
    """Names of outputs, not all zero, that stay the same when every floating-point input is perturbed."""
    perturbed = {name: _perturbed(value, rng) for name, value in inputs.items()}
    if all(perturbed[name] is inputs[name] for name in inputs):
        return []
    try:
        outputs = evaluation(perturbed)
    except Exception:  # the perturbed input may lie outside the module's domain; this probe is a courtesy
        return []
    names = [name for name, value in reference.items() if value.numel() and value.isfinite().all() and value.any()]
    return [name for name in names if name in outputs and torch.equal(outputs[name], reference[name])]


def _perturbed(value: Any, rng: torch.Generator) -> Any:
    if not (isinstance(value, Tensor) and value.is_floating_point() and value.numel()):
        return value
    noise = torch.randn(value.shape, generator=rng, dtype=value.dtype, device=rng.device).to(value.device)
    return value + 0.03 * noise * value.abs().mean()


def _precision(inputs: Mapping[str, Any]) -> torch.dtype:
    floating = [value.dtype for value in inputs.values() if isinstance(value, Tensor) and value.is_floating_point()]
    return floating[0] if floating else torch.get_default_dtype()


def _wide(value: Tensor) -> Tensor:
    return value.to(torch.complex128 if value.is_complex() else torch.float64)
