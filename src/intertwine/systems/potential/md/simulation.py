"""Molecular dynamics with an ASE calculator: constant energy, or constant temperature.

Times are in fs, temperatures in K, energies in eV. The temperature counts the degrees of freedom that can
move: at constant energy and with the Bussi thermostat total momentum (and in open space angular momentum) is
zero and stays so, the Langevin thermostat drives all of them.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from intertwine.errors import ConfigError, DataError
from intertwine.systems.potential.md.dynamics import Freedom, make_dynamics
from intertwine.systems.potential.md.files import COLUMNS, MDFiles
from intertwine.systems.potential.md.guard import Guard
from intertwine.systems.potential.md.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["MDResult", "run_md"]


@dataclass(frozen=True)
class MDResult:
    """What a simulation gave: one number per written step, and what they say together.

    Args:
        atoms: the last frame, with velocities.
        columns: ``time_fs``, ``potential_ev``, ``kinetic_ev``, ``total_ev`` and ``temperature_k``, restarts
            included.
        drift_mev_per_atom_ps: slope of the straight line through the total energy; None with a thermostat.
        max_deviation_mev_per_atom: largest distance of the total energy from its start; None with a
            thermostat.
        seconds: wall-clock time of this run.
        steps_done: steps of this run, without those before a restart.
        ns_per_day: simulated time per day of computing.
        files: what was written.
    """

    atoms: "Atoms"
    columns: dict[str, np.ndarray]
    drift_mev_per_atom_ps: float | None
    max_deviation_mev_per_atom: float | None
    seconds: float
    steps_done: int
    ns_per_day: float
    files: tuple[Path, ...] = ()


def run_md(
    calculator: "Calculator",
    atoms: "Atoms",
    settings: MDSettings,
    *,
    output: str | Path | None = None,
    restart: bool = False,
    progress: Callable[[int, float], None] | None = None,
) -> MDResult:
    """Simulate, and return the course of the energies.

    A copy of ``atoms`` is moved. Velocities that it has are kept, others are drawn from the
    Maxwell-Boltzmann distribution at ``settings.temperature``. A restart goes on from the last written step
    with the state of all random numbers, and gives what an uninterrupted run would have given.

    Args:
        calculator: any ASE calculator, such as `IntertwineCalculator`.
        atoms: the first frame.
        settings: how to run.
        output: the trajectory (extended XYZ); beside it stand, with other suffixes, the table of energies
            (``.csv``), a summary (``.json``), and the state to restart from (``.restart.json``).
            Without it nothing is written; an existing trajectory is not overwritten.
        restart: go on with the files of ``output``.
        progress: called with the step and the temperature after every step.

    Raises:
        DataError: if there are fewer than two atoms, or the calculator does not accept the structure.
        NumericsError: if energies or forces are not finite, or the simulation explodes; the last good frame
            is saved.
        ConfigError: if there is nothing to restart from, or it belongs to other settings, or the output
            exists.
    """
    if len(atoms) < 2:
        raise DataError(
            "a simulation needs at least two atoms",
            got=f"{len(atoms)} atoms",
            fix="choose another frame with --frame, or another file",
        )
    if atoms.constraints:
        raise DataError(
            "a simulation moves all atoms, and some of these are held by constraints",
            got=", ".join(type(constraint).__name__ for constraint in atoms.constraints),
            fix="remove the constraints (the column move_mask of an extended XYZ file)",
        )
    if restart and output is None:
        raise ConfigError("a restart needs the files of the run", got="no output", fix="give --output")
    moving = atoms.copy()
    moving.calc = calculator
    free = Freedom(moving, settings)
    rng = np.random.default_rng(settings.seed)
    files = None if output is None else MDFiles(Path(output), asdict(settings))
    first, rows = 0, []
    if files is not None and restart:
        first, rows = files.resume(moving, rng)
    elif files is not None:
        files.refuse_to_overwrite()
    if not restart and not moving.has("momenta"):
        free.set_velocities(moving, settings.temperature, rng)
    dynamics = make_dynamics(moving, settings, free, rng)
    guard = Guard(moving, settings, free, files)
    guard.check(first)

    def row(step: int) -> list[float]:
        potential, kinetic = float(moving.get_potential_energy()), float(moving.get_kinetic_energy())
        return [step * settings.time_step, potential, kinetic, potential + kinetic, free.temperature(moving)]

    if not rows:
        rows = [row(0)]
        if files is not None:
            files.start(moving, rows[0], rng)
    started = time.perf_counter()
    for step in range(first + 1, settings.steps + 1):
        with guard.watching(step):
            dynamics.step()
        guard.check(step)
        if step % settings.every == 0 or step == settings.steps:
            rows.append(row(step))
            if files is not None:
                files.add(moving, step, rows[-1], rng)
        if progress is not None:
            progress(step, free.temperature(moving))
    seconds = time.perf_counter() - started
    done = max(settings.steps - first, 0)
    columns = dict(zip(COLUMNS, np.array(rows).T, strict=True))
    drift, deviation = _drift(columns, len(atoms)) if settings.ensemble == "nve" else (None, None)
    speed = done * settings.time_step * 1e-6 / max(seconds, 1e-9) * 86400
    summary = {
        "atoms": len(atoms),
        **asdict(settings),
        "time_step_fs": settings.time_step,
        "drift_mev_per_atom_ps": drift,
        "max_deviation_mev_per_atom": deviation,
        "mean_temperature_k": float(columns["temperature_k"].mean()),
        "seconds": seconds,
        "ns_per_day": speed,
    }
    written = () if files is None else files.finish(summary)
    return MDResult(moving, columns, drift, deviation, seconds, done, speed, written)


def _drift(columns: dict[str, np.ndarray], atoms: int) -> tuple[float, float]:
    time_ps, total = columns["time_fs"] / 1000, 1000 * columns["total_ev"] / atoms
    slope = float(np.polyfit(time_ps, total - total[0], 1)[0]) if len(total) > 1 else 0.0
    return slope, float(np.abs(total - total[0]).max())
