"""Which submodule breaks a symmetry: the first, innermost whose inputs obey a law and whose output does not.

The module is run on x and on g x for a few elements g, and every tensor that a submodule receives or returns
is compared between the runs. A submodule that declares a ``symmetry`` is held to it on the inputs it
receives; for the others a law is inferred from the tensors. The search goes downward: a submodule is blamed
only if all modules around it fail too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.errors import IntertwineError, SymmetryError
from intertwine.representations import Representation
from intertwine.symmetry.elements import draw_parts, move_element
from intertwine.symmetry.equivariance import declared_symmetry, equivariance_error, transform
from intertwine.symmetry.evaluate import Evaluation, convert, name_inputs
from intertwine.symmetry.laws import LawFinder, declared_irreps
from intertwine.symmetry.parse import format_representation
from intertwine.symmetry.record import Call, record_calls
from intertwine.symmetry.symmetry import Symmetry

__all__ = ["LocalisationReport", "ModuleFinding", "localise"]

_TOLERANCE = 1e-10


@dataclass(frozen=True)
class ModuleFinding:
    """What one call of one submodule does to the symmetry.

    Args:
        name: dotted name; ``(whole module)`` for the module itself.
        kind: name of its class.
        law_in: how each input transforms, in words.
        law_out: how each output transforms, in words.
        declared: whether the module declares a symmetry, to which it was held.
        error: relative deviation of the output from the declared law, or from the closest law that was tried.
        verdict: ``keeps``, ``breaks``, or ``unknown`` where the inputs themselves obey no law that was tried.
    """

    name: str
    kind: str
    law_in: str
    law_out: str
    declared: bool
    error: float
    verdict: str


@dataclass(frozen=True)
class LocalisationReport:
    """What every submodule does to the symmetry, in the order in which they start.

    Args:
        findings: one per call of a submodule.
        culprit: the first, innermost submodule that breaks the law; None if the whole module keeps it.
        error: relative error of the whole module.
    """

    findings: tuple[ModuleFinding, ...]
    culprit: ModuleFinding | None
    error: float

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per finding."""
        return [asdict(finding) | {"error": _plain(finding.error)} for finding in self.findings]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values."""
        culprit = None if self.culprit is None else self.culprit.name
        return {"culprit": culprit, "error": _plain(self.error), "modules": self.rows()}

    def explain(self) -> str:
        """Return plain lines: which submodule breaks the law, what it receives and what it returns."""
        if self.culprit is None:
            return f"The whole module keeps its symmetry (error {self.error:.2e}); no submodule is to blame."
        found = self.culprit
        lines = [f"{found.kind} `{found.name}` breaks the symmetry (error {found.error:.2e})."]
        lines.append(f"It receives  {found.law_in or 'no tensors'}")
        lines.append(f"It returns   {found.law_out or 'no tensors'}")
        if found.declared and found.name != _WHOLE:
            lines.append("It declares a symmetry and violates it on the inputs it receives here.")
        inside = [other for other in self.findings if _is_inside(other.name, found.name)]
        if inside:
            state = "keep their law" if all(other.verdict == "keeps" for other in inside) else "are not the first cause"
            lines.append(f"The submodules inside it {state}: look at the code of its own forward.")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.explain()


_WHOLE = "(whole module)"


def localise(
    module: nn.Module,
    inputs: Tensor | Sequence | Mapping[str, Any],
    symmetry: Symmetry | None = None,
    *,
    rng: torch.Generator | None = None,
    trials: int = 2,
    tolerance: float = _TOLERANCE,
    dtype: torch.dtype | None = torch.float64,
) -> LocalisationReport:
    """Return which submodule is the first to break the symmetry of ``module``.

    Args:
        module: the module; a copy is run, the module is not changed.
        inputs: one tensor, a sequence in the order of the arguments, or a mapping by name.
        symmetry: overrides the module's own ``symmetry``.
        rng: source of the elements; a fixed seed if not given.
        trials: elements drawn of each kind (rotations, reflections, translations, permutations, all).
        tolerance: relative deviation up to which a law counts as kept.
        dtype: precision in which the copy is evaluated; None keeps module and inputs as they are.

    Raises:
        SymmetryError: if no symmetry is known, it does not fit the module, or the path through the
            submodules depends on the element.
    """
    symmetry = declared_symmetry(module, symmetry)
    if not isinstance(module, nn.Module):
        raise SymmetryError("only a torch.nn.Module has submodules to search", got=type(module).__name__)
    named = name_inputs(module, inputs)
    symmetry.check_inputs(module, named)
    symmetry = symmetry.bind(named)
    rng = rng or torch.Generator().manual_seed(0)
    named = {name: convert(value, dtype) for name, value in named.items()}
    evaluation = Evaluation.prepare(module, not isinstance(inputs, Mapping), dtype)
    parts = draw_parts(symmetry.group, trials, rng=rng, dtype=dtype or torch.get_default_dtype())
    device = next((value.device for value in named.values() if isinstance(value, Tensor)), torch.device("cpu"))
    elements = [move_element(element, device) for part in parts.values() for element in part]
    copied = evaluation.module if isinstance(evaluation.module, nn.Module) else module
    before = record_calls(evaluation, copied, named)
    after = [record_calls(evaluation, copied, transform(symmetry, element, named)) for element in elements]
    modules = list(copied.modules())
    finder = LawFinder(symmetry.group, elements, declared_irreps(modules), _declared(symmetry, modules), tolerance)
    search = _Search(finder, symmetry, rng, trials, dtype)
    search.judge(before, after)
    root = search.findings[id(before)]
    culprit = None if root.verdict == "keeps" else search.findings[id(search.descend(before))]
    return LocalisationReport(tuple(search.findings.values()), culprit, root.error)


class _Search:
    """Findings of all calls, and the way down to the culprit."""

    def __init__(
        self,
        finder: LawFinder,
        symmetry: Symmetry,
        rng: torch.Generator,
        trials: int,
        dtype: torch.dtype | None,
    ) -> None:
        self.finder, self.symmetry, self.rng, self.trials, self.dtype = finder, symmetry, rng, trials, dtype
        self.findings: dict[int, ModuleFinding] = {}
        self.lawless: dict[int, set[int]] = {}

    def judge(self, before: Call, after: Sequence[Call]) -> None:
        """Record a finding for a call and all calls inside it."""
        runs = [before.walk(), *(call.walk() for call in after)]
        if len({tuple(call.name for call in run) for run in runs}) != 1:
            raise SymmetryError(
                "the submodules that are called depend on the element that transforms the inputs",
                got=", ".join(sorted({f"{len(run)} calls" for run in runs})),
                expected="the same calls for x and g x",
            )
        whole = before
        for call, *moved in zip(*runs, strict=True):
            laws_in = self._laws(call.inputs, [other.inputs for other in moved])
            laws_out = self._laws(call.outputs, [other.outputs for other in moved])
            self.lawless[id(call)] = {call.returned[name] for name, (law, _) in laws_out.items() if law is None}
            symmetry = self.symmetry if call is whole else getattr(call.module, "symmetry", None)
            verdict, error = self._verdict(laws_in, laws_out)
            declared = isinstance(symmetry, Symmetry)
            if declared:
                verdict, error = self._held_to(call, symmetry, verdict, error)
            self.findings[id(call)] = ModuleFinding(
                call.name or _WHOLE,
                type(call.module).__name__,
                _words(laws_in),
                _words(laws_out),
                declared,
                error,
                verdict,
            )

    def descend(self, call: Call) -> Call:
        """Follow the first child that breaks the law, unless what it returned proves lawful further on.

        A child in which a declared law is broken has no such excuse: a later sibling may use the lawful part alone.
        """
        for child in call.children:
            if self.findings[id(child)].verdict != "breaks":
                continue
            if self._breaks_its_word(child) or not self._recovered(child, call.children):
                return self.descend(child)
        return call

    def _breaks_its_word(self, call: Call) -> bool:
        """Whether the call, or one inside it, violates the symmetry that its module declares."""
        found = [self.findings[id(inner)] for inner in call.walk()]
        return any(finding.declared and finding.verdict == "breaks" for finding in found)

    def _recovered(self, call: Call, siblings: Sequence[Call]) -> bool:
        """Whether a later sibling makes lawful outputs of what seems lost: its law was then not tried."""
        lost = self.lawless[id(call)]
        later = siblings[[id(other) for other in siblings].index(id(call)) + 1 :]
        return any(lost & other.received and other.outputs and not self.lawless[id(other)] for other in later)

    def _laws(
        self, before: Mapping[str, Tensor], after: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, tuple[Representation | None, float]]:
        return {name: self.finder.find(x, [moved[name] for moved in after]) for name, x in before.items()}

    @staticmethod
    def _verdict(laws_in: Mapping[str, tuple], laws_out: Mapping[str, tuple]) -> tuple[str, float]:
        error = max((deviation for _, deviation in laws_out.values()), default=0.0)
        if not laws_in or any(law is None for law, _ in laws_in.values()):
            return "unknown", error
        return ("breaks" if any(law is None for law, _ in laws_out.values()) else "keeps"), error

    def _held_to(self, call: Call, symmetry: Symmetry, verdict: str, error: float) -> tuple[str, float]:
        """Check a declared symmetry on the inputs that the submodule receives."""
        arguments = call.arguments
        try:
            report = equivariance_error(
                call.module, arguments, symmetry=symmetry, trials=self.trials, rng=self.rng, dtype=self.dtype
            )
        except IntertwineError:  # the declaration does not fit what the module is given here
            return verdict, error
        return ("keeps" if report.passed(self.finder.tolerance) else "breaks"), report.worst.relative


def _declared(symmetry: Symmetry, modules: Sequence[nn.Module]) -> list[Representation]:
    """Representations that the symmetry of the whole or of a submodule names, once each."""
    known = [symmetry, *(getattr(module, "symmetry", None) for module in modules)]
    found: dict[Representation, None] = {}
    for law in known:
        if isinstance(law, Symmetry):
            found |= dict.fromkeys([*law.inputs.values(), *law.output_representations])
    return list(found)


def _words(laws: Mapping[str, tuple[Representation | None, float]]) -> str:
    return ", ".join(
        f"{name}: {'no law that was tried' if law is None else format_representation(law)}"
        for name, (law, _) in laws.items()
    )


def _is_inside(name: str, outer: str) -> bool:
    return name != outer and (outer == _WHOLE or name.startswith(f"{outer}."))


def _plain(value: float) -> float | None:
    return value if value not in (float("inf"), float("-inf")) and value == value else None
