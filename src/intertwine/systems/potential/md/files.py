"""The files of a simulation: trajectory, table of energies, summary, and the state to restart from.

They stand side by side: ``nve.extxyz``, ``nve.csv``, ``nve.json``, ``nve.restart.json``. A frame is written
before the state that counts it, so a run that was killed loses nothing and repeats nothing.
"""

import csv
import json
import os
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.errors import ConfigError, DataError
from intertwine.reporting.files import write_text

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["COLUMNS", "MDFiles"]

COLUMNS: tuple[str, ...] = ("time_fs", "potential_ev", "kinetic_ev", "total_ev", "temperature_k")
"""Columns of the table of energies."""

_MAY_CHANGE = ("steps", "max_temperature", "max_move")


class MDFiles:
    """Writes a simulation step by step.

    Args:
        trajectory: the file of frames; the others have its name with other suffixes.
        settings: of the simulation, as plain data.

    Raises:
        ConfigError: if the name of the trajectory is that of the table or of the summary.
    """

    def __init__(self, trajectory: Path, settings: Mapping[str, Any]) -> None:
        self.trajectory, self.settings = trajectory.expanduser(), dict(settings)
        if self.trajectory.suffix.lower() in (".csv", ".json"):
            raise ConfigError(
                f"a trajectory cannot be called {self.trajectory.name}: another file of the simulation has that name",
                got=self.trajectory,
                expected="a name that ends in .extxyz",
                fix=f"give --output {self.trajectory.with_suffix('.extxyz')}",
            )
        self.table = self.trajectory.with_suffix(".csv")
        self.summary = self.trajectory.with_suffix(".json")
        self.state = self.trajectory.with_suffix(".restart.json")
        self.last_good = self.trajectory.with_suffix(".last_good.extxyz")

    def refuse_to_overwrite(self) -> None:
        """Raise if there is a trajectory already: it may have taken days.

        Raises:
            ConfigError: naming it.
        """
        if self.trajectory.exists():
            raise ConfigError(
                f"there is a trajectory already: {self.trajectory}",
                got=self.trajectory,
                expected="a new name",
                fix="go on with it by --restart, or choose another --output, or remove it",
            )

    def start(self, atoms: "Atoms", row: list[float], rng: np.random.Generator) -> None:
        """Begin with the first frame."""
        self.trajectory.parent.mkdir(parents=True, exist_ok=True)
        self.trajectory.write_text("")
        write_text(self.table, ",".join(COLUMNS) + "\n")
        self.add(atoms, 0, row, rng)

    def add(self, atoms: "Atoms", step: int, row: list[float], rng: np.random.Generator) -> None:
        """Append a frame and its energies, then move the state forward."""
        with self.trajectory.open("a", encoding="utf-8") as file:
            file.write(_frame(atoms, {"step": step, "time_fs": row[0]}))
        with self.table.open("a", encoding="utf-8") as file:
            file.write(",".join(map(repr, row)) + "\n")
        state = {
            "step": step,
            "settings": self.settings,
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "momenta": atoms.get_momenta().tolist(),
            "random": rng.bit_generator.state,
        }
        write_text(self.state, json.dumps(state))

    def resume(self, atoms: "Atoms", rng: np.random.Generator) -> tuple[int, list[list[float]]]:
        """Put atoms and random numbers where the files end, and return the step and the rows so far.

        Frames and rows after the stored step, which no state counts, are dropped from the files.

        Raises:
            ConfigError: if there is nothing to restart from, or it belongs to other settings or atoms; the
                files are as before.
            DataError: if a file is damaged; the files are as before.
        """
        if not self.state.exists():
            raise ConfigError(
                f"there is nothing to restart from: {self.state} is missing",
                got=self.trajectory,
                fix="leave out --restart to begin, or give the --output of the run",
            )
        try:
            state = json.loads(self.state.read_text(encoding="utf-8"))
            self._refuse_another(dict(state["settings"]), state["numbers"], atoms)
            step, time_step = int(state["step"]), float(state["settings"]["time_step"])
            positions, momenta = np.array(state["positions"]), np.array(state["momenta"])
            rows = self._rows((step + 0.5) * time_step)
            end = self._end(len(rows) * (len(state["numbers"]) + 2))
            rng.bit_generator.state = state["random"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"the files of {self.trajectory} are damaged", got=repr(error), fix="begin again elsewhere"
            ) from error
        lines = [",".join(COLUMNS), *(",".join(map(repr, row)) for row in rows)]
        write_text(self.table, "\n".join(lines) + "\n")
        os.truncate(self.trajectory, end)
        atoms.positions = positions
        atoms.set_momenta(momenta)
        return step, rows

    def save_last_good(self, atoms: "Atoms") -> Path:
        """Write one frame beside the trajectory."""
        self.last_good.parent.mkdir(parents=True, exist_ok=True)
        write_text(self.last_good, _frame(atoms, {}))
        return self.last_good

    def finish(self, summary: Mapping[str, Any]) -> tuple[Path, ...]:
        """Write what the simulation says as a whole, and return the files for the reader."""
        write_text(self.summary, json.dumps(summary, indent=2) + "\n")
        return self.trajectory, self.table, self.summary

    def _refuse_another(self, old: Mapping[str, Any], numbers: list[int], atoms: "Atoms") -> None:
        other = [k for k, v in self.settings.items() if k not in _MAY_CHANGE and old.get(k) != v]
        if other or numbers != atoms.numbers.tolist():
            raise ConfigError(
                f"{self.state} is of another simulation",
                got={name: self.settings[name] for name in other} or "other atoms",
                expected={name: old.get(name) for name in other} or "the atoms of the first part",
                fix="restart with the settings and the structure of the first part",
            )

    def _rows(self, end: float) -> list[list[float]]:
        """Return the rows of the table up to a time (fs)."""
        with self.table.open(newline="", encoding="utf-8") as file:
            found = [[float(row[name]) for name in COLUMNS] for row in csv.DictReader(file)]
        rows = [row for row in found if row[0] <= end]
        if not rows:
            raise ValueError("the table of energies is empty")
        return rows

    def _end(self, lines: int) -> int:
        """Return where so many lines of the trajectory end, in bytes."""
        with self.trajectory.open("rb") as file:
            whole = sum(file.readline().endswith(b"\n") for _ in range(lines))
            if whole < lines:
                raise ValueError("the trajectory is too short")
            return file.tell()


def _frame(atoms: "Atoms", info: Mapping[str, Any]) -> str:
    """Return a frame as text, with energy, forces and momenta."""
    import ase.io
    from ase.calculators.singlepoint import SinglePointCalculator

    copy = atoms.copy()
    copy.info.update(info)
    if atoms.calc is not None:
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        copy.calc = SinglePointCalculator(copy, **results)
    text = StringIO()
    ase.io.write(text, copy, format="extxyz")
    return text.getvalue()
