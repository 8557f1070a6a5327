"""Results files: every number that README, docs or a card shows, with the command that measured it.

One schema serves ``results/<system>.json`` (from ``intertwine reproduce``) and ``results/bench-<topic>.json``
(from benchmarks). Whether a target is met is computed from the value, never typed, and a row that misses
stays in.
"""

import math
import os
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from operator import eq, ge, gt, le, lt
from pathlib import Path
from typing import Any

from intertwine.errors import DataError
from intertwine.reporting.files import read_json, write_json
from intertwine.reporting.provenance import collect_versions, current_commit, describe_hardware

__all__ = [
    "PaperFigure",
    "ResultFile",
    "ResultRow",
    "Target",
    "collect_versions",
    "current_commit",
    "describe_hardware",
]

_OPERATORS: dict[str, Callable[[float, float], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge, "==": eq}


@dataclass(frozen=True)
class Target:
    """What a value has to reach, for example ``Target("<", 70.0)``.

    Args:
        op: one of ``<``, ``<=``, ``>``, ``>=``, ``==``; the measured value stands on its left.
        value: the bound, in the unit of the row.
    """

    op: str
    value: float

    def __post_init__(self) -> None:
        if self.op not in _OPERATORS or not _is_number(self.value):
            raise DataError(
                "this is not a target",
                got={"op": repr(self.op), "value": repr(self.value)},
                expected=f"op one of {' '.join(_OPERATORS)}, and a finite number as value",
            )

    def accepts(self, value: float | None) -> bool:
        """Return whether the value meets the target; a value that could not be measured does not."""
        return value is not None and _OPERATORS[self.op](value, self.value)


@dataclass(frozen=True)
class PaperFigure:
    """The published number that stands beside ours.

    Args:
        value: the number, in the unit of the row.
        source: paper and table.
        verified: False where the number could not be checked against the paper itself.
    """

    value: float
    source: str
    verified: bool = True


@dataclass(frozen=True)
class ResultRow:
    """One measured number.

    Args:
        case: what was measured, for example ``3bpa/dev_300K``.
        metric: the name of the metric, for example ``force_rmse``.
        value: the mean over the seeds; None when the measurement was not possible (out of memory, say).
        unit: its unit, empty for a pure number.
        spread: sample standard deviation over the seeds; None for a single one.
        seeds: the seeds it is the mean of.
        baselines: trivial or peer results in the same unit, by name.
        paper: the published figure.
        target: what the value has to reach.
    """

    case: str
    metric: str
    value: float | None
    unit: str = ""
    spread: float | None = None
    seeds: tuple[int, ...] = ()
    baselines: Mapping[str, float] = field(default_factory=dict)
    paper: PaperFigure | None = None
    target: Target | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", tuple(self.seeds))
        object.__setattr__(self, "baselines", dict(self.baselines))
        problems = {name: repr(getattr(self, name)) for name, check in _ROW.items() if not check(getattr(self, name))}
        if problems:
            raise DataError(
                f"a result row ({self.case!r}, {self.metric!r}) has fields that it cannot have",
                got=problems,
                expected={name: _ROW_WORDS[name] for name in problems},
            )

    @classmethod
    def over_seeds(cls, case: str, metric: str, values: Mapping[int, float], **fields: Any) -> "ResultRow":
        """Return the row of a metric measured with several seeds: their mean and sample standard deviation.

        Args:
            case: what was measured.
            metric: the name of the metric.
            values: the result of each seed.
            fields: the other fields of the row.
        """
        numbers = list(values.values())
        spread = statistics.stdev(numbers) if len(numbers) > 1 else None
        return cls(case, metric, statistics.fmean(numbers), spread=spread, seeds=tuple(values), **fields)

    @property
    def meets_target(self) -> bool | None:
        """Whether the value reaches its target; None where no target is set."""
        return None if self.target is None else self.target.accepts(self.value)

    def to_json(self) -> dict[str, Any]:
        """Return the row as the mapping that the file holds."""
        return asdict(self) | {"seeds": list(self.seeds), "meets_target": self.meets_target}


@dataclass(frozen=True)
class ResultFile:
    """The rows that one command measured, and all that is needed to measure them again.

    Args:
        command: the command line, as a user would type it.
        commit: of the code, with ``+dirty`` when it was changed; None outside of a checkout.
        date: UTC, ISO 8601.
        hardware: from `describe_hardware`.
        versions: from `collect_versions`.
        seconds: wall time of the whole command.
        rows: what it measured.
    """

    command: str
    commit: str | None
    date: str
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: float
    rows: tuple[ResultRow, ...]

    @classmethod
    def collect(cls, command: str, rows: Iterable[ResultRow], seconds: float) -> "ResultFile":
        """Return the rows together with this machine, these versions, this commit and the present time."""
        date = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(
            command,
            current_commit(),
            date,
            describe_hardware(),
            collect_versions(),
            round(seconds, 3),
            tuple(rows),
        )

    @property
    def missed(self) -> tuple[ResultRow, ...]:
        """The rows that do not reach their target."""
        return tuple(row for row in self.rows if row.meets_target is False)

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Write the file atomically and return its path."""
        fields = {name: getattr(self, name) for name in _FILE if name != "rows"}
        return write_json(path, fields | {"rows": [row.to_json() for row in self.rows]})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "ResultFile":
        """Read a results file and check it.

        Raises:
            DataError: if it is missing or damaged, or if fields are missing, unknown or of the wrong kind;
                all problems at once, in ``error.got`` by their place (``rows[3].value``). A typed
                ``meets_target`` that contradicts value and target is one of them.
        """
        data = read_json(path, fix="run the command that writes it: `intertwine reproduce SYSTEM` or `make bench`")
        problems = _field_problems(data, _FILE, _FILE_WORDS)
        rows: list[Any] = []
        for index, raw in enumerate(data["rows"] if "rows" not in problems and isinstance(data, Mapping) else ()):
            row, found = _row_from_json(raw)
            problems |= {f"rows[{index}].{place}": problem for place, problem in found.items()}
            rows.append(row)
        if problems:
            raise DataError(
                f"{path} is not a results file: {len(problems)} problem{'s' * (len(problems) > 1)}",
                got=problems,
                expected="the fields that `intertwine.reporting.results` documents",
                fix="do not edit it by hand; run its command again",
            )
        return cls(**{**data, "rows": tuple(rows)})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _is_date(value: Any) -> bool:
    try:
        return _is_text(value) and datetime.fromisoformat(value) is not None
    except ValueError:
        return False


_ROW: dict[str, Callable[[Any], bool]] = {
    "case": lambda value: _is_text(value) and bool(value),
    "metric": lambda value: _is_text(value) and bool(value),
    "value": _optional(_is_number),
    "unit": _is_text,
    "spread": _optional(lambda value: _is_number(value) and value >= 0),
    "seeds": lambda value: all(isinstance(seed, int) and not isinstance(seed, bool) for seed in value),
    "baselines": lambda value: all(_is_text(name) and _is_number(number) for name, number in value.items()),
    "paper": _optional(lambda value: isinstance(value, PaperFigure) and _is_number(value.value)),
    "target": _optional(lambda value: isinstance(value, Target)),
}
_ROW_WORDS = {
    "case": "a text",
    "metric": "a text",
    "value": "a finite number or null",
    "unit": "a text",
    "spread": "a number >= 0 or null",
    "seeds": "a list of integers",
    "baselines": "a mapping from name to number",
    "paper": "value, source and verified, or null",
    "target": "op and value, or null",
    "meets_target": "what value and target give",
}
_FILE: dict[str, Callable[[Any], bool]] = {
    "command": lambda value: _is_text(value) and bool(value),
    "commit": _optional(_is_text),
    "date": _is_date,
    "hardware": lambda value: isinstance(value, Mapping),
    "versions": lambda value: isinstance(value, Mapping) and all(map(_is_text, value.values())),
    "seconds": lambda value: _is_number(value) and value >= 0,
    "rows": lambda value: isinstance(value, list),
}
_FILE_WORDS = {
    "command": "a text",
    "commit": "a text or null",
    "date": "an ISO 8601 date",
    "hardware": "a mapping",
    "versions": "a mapping from package to version",
    "seconds": "a number >= 0",
    "rows": "a list",
}


def _field_problems(data: Any, checks: Mapping[str, Callable[[Any], bool]], words: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(data, Mapping):
        return {"": f"{type(data).__name__} instead of a mapping"}
    problems = {name: "is missing" for name in words if name not in data}
    problems |= {name: "is not a field" for name in data if name not in words}
    for name, check in checks.items():
        if name in data and not check(data[name]):
            problems[name] = f"{data[name]!r} is not {words[name]}"
    return problems


def _row_from_json(raw: Any) -> tuple[ResultRow | None, dict[str, str]]:
    containers = {"seeds": list, "baselines": Mapping, "paper": Mapping | None, "target": Mapping | None}
    shapes = {name: (lambda value, kind=kind: isinstance(value, kind)) for name, kind in containers.items()}
    if problems := _field_problems(raw, shapes, _ROW_WORDS):
        return None, problems
    fields = {name: raw[name] for name in _ROW}
    for name, kind in (("paper", PaperFigure), ("target", Target)):
        if fields[name] is not None:
            try:
                fields[name] = kind(**fields[name])
            except (TypeError, DataError):
                return None, {name: f"{raw[name]!r} is not {_ROW_WORDS[name]}"}
    try:
        row = ResultRow(**fields)
    except DataError as error:
        return None, {name: f"{value} is not {_ROW_WORDS[name]}" for name, value in error.got.items()}
    if raw["meets_target"] is not row.meets_target:
        return None, {"meets_target": f"{raw['meets_target']!r}, but value and target give {row.meets_target!r}"}
    return row, {}
