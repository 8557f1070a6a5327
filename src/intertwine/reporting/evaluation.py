"""What evaluating a run gives: numbers by test set and metric, and the arrays behind them.

On disk it is two files of the run folder: ``evaluation.json`` (rows, baselines, published figures) and
``evaluation.npz`` (arrays named ``<set>/<quantity>``), which the pictures of the report are drawn from.
"""

import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting.files import read_json, write_bytes, write_json

__all__ = ["Evaluation", "EvaluationRow", "Figures"]

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Numbers to compare with: name of the model, then test set, then metric."""

_FIX = "write them with `intertwine evaluate RUN`"


@dataclass(frozen=True)
class EvaluationRow:
    """One number.

    Args:
        set: name of the test set, for example ``dev_300K``.
        metric: for example ``force_rmse``.
        value: the number.
        unit: of the number, empty for a pure one.
        frames: how many structures it was computed from, None if not stored.
    """

    set: str
    metric: str
    value: float
    unit: str = ""
    frames: int | None = None


@dataclass(frozen=True)
class Evaluation:
    """All numbers of one run, what they are compared with, and the arrays they were computed from.

    Args:
        rows: the numbers.
        baselines: trivial or peer models, by name, test set and metric, in the units of the rows.
        paper: published figures, in the same form.
        arrays: by ``<set>/<quantity>``.
    """

    rows: tuple[EvaluationRow, ...]
    baselines: Figures = field(default_factory=dict)
    paper: Figures = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def sets(self) -> tuple[str, ...]:
        """The test sets, in the order of the rows."""
        return tuple(dict.fromkeys(row.set for row in self.rows))

    @property
    def others(self) -> Figures:
        """The models to compare with, as ``name (baseline)`` and then ``name (paper)``."""
        kinds = {"baseline": self.baselines, "paper": self.paper}
        return {f"{name} ({kind})": sets for kind, figures in kinds.items() for name, sets in figures.items()}

    def row(self, set: str, metric: str) -> EvaluationRow | None:
        """Return the number of one test set, or None where it was not computed."""
        return next((row for row in self.rows if (row.set, row.metric) == (set, metric)), None)

    def array(self, set: str, quantity: str) -> np.ndarray | None:
        """Return an array of one test set, or None where there is none."""
        return self.arrays.get(f"{set}/{quantity}")

    def write(self, run: str | os.PathLike[str]) -> Path:
        """Write both files into a run folder and return the path of the JSON file."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **{name: np.asarray(a) for name, a in self.arrays.items()})
        write_bytes(Path(run) / "evaluation.npz", buffer.getvalue())
        rows = [asdict(row) for row in self.rows]
        content = {"rows": rows, "baselines": dict(self.baselines), "paper": dict(self.paper)}
        return write_json(Path(run) / "evaluation.json", content)

    @classmethod
    def read(cls, run: str | os.PathLike[str]) -> "Evaluation":
        """Read the files of a run folder; the arrays are empty if only the JSON file is there.

        Raises:
            DataError: if ``evaluation.json`` is missing, or one of the files is damaged.
        """
        path = Path(run) / "evaluation.json"
        data = read_json(path, _FIX)
        try:
            rows = tuple(_row(row) for row in data["rows"])
            baselines, paper = _figures(data.get("baselines", {})), _figures(data.get("paper", {}))
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise DataError(
                f"{path} does not hold an evaluation",
                got=str(error),
                expected="rows (set, metric, value, unit, frames), baselines and paper",
                fix=_FIX,
            ) from error
        return cls(rows, baselines, paper, _read_arrays(Path(run) / "evaluation.npz"))


def _row(data: Any) -> EvaluationRow:
    """Return one row; the test set may be called ``case``, and further keys are other readers' business."""
    return EvaluationRow(
        data["set"] if "set" in data else data["case"],
        data["metric"],
        float(data["value"]),
        data.get("unit", ""),
        data.get("frames"),
    )


def _figures(data: Any) -> Figures:
    return {name: {case: dict(metrics) for case, metrics in sets.items()} for name, sets in data.items()}


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path} is damaged", got=str(error), fix=_FIX) from error
