"""What an equivariance check found: numbers first, then what they usually mean.

Errors are relative to the largest entry of the output, and also counted in machine epsilons of the precision
used.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch

from intertwine.errors import SymmetryError

__all__ = ["EquivarianceEntry", "EquivarianceReport", "rounding_limit"]

_ROUNDING_EPSILONS = {torch.float64: 2**14, torch.float32: 2**10, torch.bfloat16: 2**4, torch.float16: 2**4}
_LOW_PRECISION = {torch.float64: 1e-4, torch.float32: 5e-3}
_MEANING = {
    "rounding": "This is rounding: the law holds.",
    "low precision": (
        "This is far above rounding and far below a wrong formula. Usually a constant or an intermediate result of "
        "lower precision: a float32 buffer filled before the module was converted, TF32 or half precision inside, a "
        "grid or quadrature that is too coarse, or a cutoff that is not smooth."
    ),
    "broken": (
        "This is not rounding: the law does not hold. Usual causes: components mixed or ordered differently in two "
        "places, a non-linearity applied to the components of a vector, a wrong parity, coordinates used where only "
        "differences may enter, or a dependence on the order of the items."
    ),
    "not finite": "The output holds NaN or infinity, so nothing can be said of its symmetry; this counts as a failure.",
    "zero": "Trivially satisfied: the output is zero for every input tried, so this says nothing about the module.",
}


def rounding_limit(dtype: torch.dtype) -> float:
    """Return the relative error up to which a deviation counts as rounding in ``dtype``."""
    return _ROUNDING_EPSILONS.get(dtype, 2**10) * torch.finfo(dtype).eps


@dataclass(frozen=True)
class EquivarianceEntry:
    """The worst deviation of one output under one part of the group.

    Args:
        output: name of the output.
        part: which elements were drawn: ``all``, or only ``rotations``, ``reflections``, ``translations``,
            ``permutations``.
        absolute: largest entry of ``f(g x) - g f(x)``.
        relative: the same divided by the largest entry of ``g f(x)``; infinite where an output is not finite.
        epsilons: ``relative`` in machine epsilons of the precision used.
        element: the worst element, in words.
        trial: index of the worst draw within its part.
        verdict: ``rounding``, ``low precision``, ``broken``, ``not finite`` or ``zero``.
    """

    output: str
    part: str
    absolute: float
    relative: float
    epsilons: float
    element: str
    trial: int
    verdict: str

    @classmethod
    def judge(
        cls,
        output: str,
        part: str,
        absolute: float,
        size: float,
        element: str,
        trial: int,
        dtype: torch.dtype,
    ) -> "EquivarianceEntry":
        """Build an entry from a measured deviation and the size of the output."""
        if not (math.isfinite(absolute) and math.isfinite(size)):
            return cls(output, part, math.inf, math.inf, math.inf, element, trial, "not finite")
        if size == 0:
            return cls(output, part, 0.0, 0.0, 0.0, element, trial, "zero")
        relative = absolute / size
        if relative <= rounding_limit(dtype):
            verdict = "rounding"
        else:
            verdict = "low precision" if relative <= _LOW_PRECISION.get(dtype, 0.0) else "broken"
        epsilons = relative / torch.finfo(dtype).eps
        return cls(output, part, absolute, relative, epsilons, element, trial, verdict)


@dataclass(frozen=True)
class EquivarianceReport:
    """All deviations that one check measured.

    Args:
        entries: one per output and part of the group.
        group: the group, as text.
        dtype: precision in which the module was evaluated.
        trials: elements drawn per part.
        warnings: sentences on outputs for which the check says little, or on which it was not possible.
    """

    entries: tuple[EquivarianceEntry, ...]
    group: str
    dtype: torch.dtype
    trials: int
    warnings: tuple[str, ...] = ()

    @property
    def worst(self) -> EquivarianceEntry:
        """The entry with the largest relative error."""
        return max(self.entries, key=lambda entry: entry.relative)

    def passed(self, tolerance: float | None = None) -> bool:
        """Return whether no relative error exceeds ``tolerance``.

        Args:
            tolerance: relative to the output's size; by default what counts as rounding in the precision used
                (16384 machine epsilons in float64, 1024 in float32).
        """
        limit = rounding_limit(self.dtype) if tolerance is None else tolerance
        return all(entry.relative <= limit for entry in self.entries)

    def part(self, name: str) -> EquivarianceEntry:
        """Return the worst entry of one part of the group, for example ``reflections``."""
        chosen = [entry for entry in self.entries if entry.part == name]
        if not chosen:
            parts = ", ".join(dict.fromkeys(entry.part for entry in self.entries))
            raise SymmetryError("this check has no such part of the group", got=name, expected=parts)
        return max(chosen, key=lambda entry: entry.relative)

    def rows(self) -> list[dict[str, Any]]:
        """Return one flat dictionary per entry, worst first, ready for a table or a JSON file."""
        ordered = sorted(self.entries, key=lambda entry: -entry.relative)
        return [{name: _plain(value) for name, value in vars(entry).items()} for entry in ordered]

    def to_dict(self) -> dict[str, Any]:
        """Return the whole report as plain values (numbers that are not finite become null)."""
        return {
            "group": self.group,
            "dtype": str(self.dtype).removeprefix("torch."),
            "trials": self.trials,
            "passed": self.passed(),
            "worst": {name: _plain(value) for name, value in vars(self.worst).items()},
            "rows": self.rows(),
            "warnings": list(self.warnings),
        }

    def explain(self) -> str:
        """Return plain lines: the worst output and element, the error's size, and what that usually means."""
        worst = self.worst
        lines = [_headline(worst, self.group)]
        if worst.verdict in ("rounding", "low precision", "broken"):
            name = str(self.dtype).removeprefix("torch.")
            lines.append(
                f"The largest error is {worst.relative:.2e} of the output's size, {worst.epsilons:.3g} machine "
                f"epsilons of {name}; the element was: {worst.element} (draw {worst.trial} of {worst.part})."
            )
        elif worst.verdict == "not finite":
            lines.append(f"The element was: {worst.element} (draw {worst.trial} of {worst.part}).")
        lines.append(_MEANING[worst.verdict])
        lines += self._comparison_of_parts()
        zero = sorted({entry.output for entry in self.entries if entry.verdict == "zero"})
        if zero and worst.verdict != "zero":
            lines.append(f"Trivially satisfied: output is zero ({', '.join(zero)}).")
        return "\n".join([*lines, *(f"Warning: {text}" for text in self.warnings)])

    def _comparison_of_parts(self) -> list[str]:
        """Say which parts of the group fail and which hold, where they differ."""
        limit = rounding_limit(self.dtype)
        parts = list(dict.fromkeys(entry.part for entry in self.entries if entry.part != "all"))
        failing = [name for name in parts if self.part(name).relative > limit]
        holding = [name for name in parts if name not in failing]
        if not failing or not holding:
            return []
        return [f"Only {_listed(failing)} break the law; {_listed(holding)} keep it."]

    def __str__(self) -> str:
        return self.explain()


def _headline(worst: EquivarianceEntry, group: str) -> str:
    state = {"rounding": "keeps", "zero": "trivially keeps", "not finite": "cannot be tested for"}
    word = state.get(worst.verdict, "does not keep")
    return f"Output `{worst.output}` {word} its symmetry under {group}."


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
