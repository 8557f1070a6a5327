"""Molecular dynamics with an ASE calculator: constant energy, or constant temperature.

Times are in fs, temperatures in K, energies in eV. The temperature counts the degrees of freedom that can move: at
constant energy and with the Bussi thermostat total momentum (and in open space angular momentum) is zero and stays so,
the Langevin thermostat drives all of them.
"""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from intertwine.errors import ConfigError, DataError, NumericsError
from intertwine.systems.potential.extxyz import read_frames, require_ase
from intertwine.systems.potential.trajectory import COLUMNS, MDFiles
from intertwine.training.datasets import find_data
from intertwine.training.settings import check_fields

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

__all__ = ["MDResult", "MDSettings", "add_arguments", "main", "run_md"]


@dataclass(frozen=True)
class MDSettings:
    """How a simulation runs."""

    ensemble: Literal["nve", "nvt"] = "nve"
    """`nve` keeps the energy, `nvt` the temperature."""
    temperature: float = 300.0
    """Temperature (K) of the initial velocities, and of the thermostat."""
    time_step: float = 0.5
    """Time step (fs)."""
    steps: int = 1000
    """Number of steps, counted from the beginning also after a restart."""
    thermostat: Literal["langevin", "bussi"] = "langevin"
    """Thermostat of `nvt`: `langevin` adds friction and noise to each atom, `bussi` rescales all velocities."""
    friction: float = 0.01
    """Friction (1/fs) of the Langevin thermostat."""
    coupling_time: float = 100.0
    """Relaxation time (fs) of the Bussi thermostat."""
    seed: int = 0
    """Seed of the initial velocities and of the thermostat."""
    every: int = 10
    """Steps between the frames and lines that are written."""
    max_temperature: float | None = None
    """The simulation has exploded above this temperature (K); empty takes 10 times `temperature` + 1000 K."""
    max_move: float = 0.5
    """The simulation has exploded when an atom moves further than this (Å) in one step."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            ensemble=(self.ensemble in ("nve", "nvt"), "nve or nvt"),
            temperature=(self.temperature >= 0 and self.temperature < math.inf, "at least 0"),
            time_step=(0 < self.time_step < math.inf, "more than 0"),
            steps=(self.steps >= 1, "at least 1"),
            thermostat=(self.thermostat in ("langevin", "bussi"), "langevin or bussi"),
            friction=(self.friction > 0, "more than 0"),
            coupling_time=(self.coupling_time > 0, "more than 0"),
            every=(self.every >= 1, "at least 1"),
            max_temperature=(self.max_temperature is None or self.max_temperature > 0, "above 0, or empty"),
            max_move=(self.max_move > 0, "more than 0"),
        )


@dataclass(frozen=True)
class MDResult:
    """What a simulation gave: one number per written step, and what they say together.

    Args:
        atoms: the last frame, with velocities.
        columns: ``time_fs``, ``potential_ev``, ``kinetic_ev``, ``total_ev`` and ``temperature_k``, restarts included.
        drift_mev_per_atom_ps: slope of the straight line through the total energy; None with a thermostat.
        max_deviation_mev_per_atom: largest distance of the total energy from its start; None with a thermostat.
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

    A copy of ``atoms`` is moved. Velocities that it has are kept, others are drawn from the Maxwell-Boltzmann distribution
    at ``settings.temperature``. A restart goes on from the last written step with the state of all random numbers, and
    gives what an uninterrupted run would have given.

    Args:
        calculator: any ASE calculator, such as `IntertwineCalculator`.
        atoms: the first frame.
        settings: how to run.
        output: the trajectory (extended XYZ); beside it, with other suffixes, stand the table of energies (``.csv``), what
            it says together (``.json``) and the state to restart from (``.restart.npz``). Nothing is written without it.
        restart: go on with the files of ``output``.
        progress: called with the step and the temperature after every step.

    Raises:
        DataError: if there are fewer than two atoms, or the calculator does not accept the structure.
        NumericsError: if energies or forces are not finite, or the simulation explodes; the last good frame is saved.
        ConfigError: if there is nothing to restart from, or the files to restart from belong to other settings.
    """
    from ase import units

    require_ase()
    if len(atoms) < 2:
        raise DataError(
            "a simulation needs at least two atoms",
            got=f"{len(atoms)} atoms",
            fix="choose another frame with --frame, or another file",
        )
    if restart and output is None:
        raise ConfigError("a restart needs the files of the run", got="no output", fix="give --output")
    moving = atoms.copy()
    moving.calc = calculator
    free = _Freedom(moving, settings)
    rng = np.random.default_rng(settings.seed)
    files = None if output is None else MDFiles(Path(output), asdict(settings))
    first, rows = 0, []
    if restart and files is not None:
        first, rows = files.resume(moving, rng)
    elif not moving.has("momenta"):
        free.set_velocities(moving, settings.temperature, rng)
    dynamics = _dynamics(moving, settings, free, rng)
    guard = _Guard(moving, settings, free, files)
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


class _Freedom:
    """The degrees of freedom that dynamics moves: all, or those without translation and rotation of the whole."""

    def __init__(self, atoms: "Atoms", settings: MDSettings) -> None:
        self.open = not atoms.pbc.any()
        self.all = settings.ensemble == "nvt" and settings.thermostat == "langevin"
        removed = 0 if self.all else 3 + (self._rotations(atoms) if self.open else 0)
        self.count = 3 * len(atoms) - removed

    @staticmethod
    def _inertia(atoms: "Atoms") -> tuple[np.ndarray, np.ndarray]:
        mass = atoms.get_masses()
        arms = atoms.positions - mass @ atoms.positions / mass.sum()
        return arms, np.einsum("a,aij->ij", mass, (arms**2).sum(-1)[:, None, None] * np.eye(3)) - np.einsum(
            "a,ai,aj->ij", mass, arms, arms
        )

    def _rotations(self, atoms: "Atoms") -> int:
        moments = np.linalg.eigvalsh(self._inertia(atoms)[1])
        return int((moments > 1e-6 * moments.max()).sum())  # a linear molecule has two

    def temperature(self, atoms: "Atoms") -> float:
        from ase import units

        return 2 * float(atoms.get_kinetic_energy()) / (self.count * units.kB) if self.count else 0.0

    def set_velocities(self, atoms: "Atoms", temperature: float, rng: np.random.Generator) -> None:
        """Draw velocities; without motion of the whole they are scaled to exactly the temperature."""
        from ase import units

        mass = atoms.get_masses()[:, None]
        velocity = rng.standard_normal((len(atoms), 3)) * np.sqrt(units.kB * temperature / mass)
        if not self.all:
            velocity -= (mass * velocity).sum(0) / mass.sum()
            if self.open:
                arms, inertia = self._inertia(atoms)
                momentum = np.cross(arms, mass * velocity).sum(0)
                velocity -= np.cross(np.linalg.pinv(inertia, rcond=1e-6) @ momentum, arms)
        atoms.set_velocities(velocity)
        if not self.all and (now := self.temperature(atoms)) > 0:
            atoms.set_velocities(velocity * math.sqrt(temperature / now))


def _dynamics(atoms: "Atoms", settings: MDSettings, free: _Freedom, rng: np.random.Generator) -> Any:
    from ase import units
    from ase.md.bussi import Bussi
    from ase.md.langevin import Langevin
    from ase.md.verlet import VelocityVerlet

    step = settings.time_step * units.fs
    if settings.ensemble == "nve":
        return VelocityVerlet(atoms, step)
    if settings.thermostat == "langevin":
        friction = settings.friction / units.fs
        return Langevin(
            atoms, step, temperature_K=settings.temperature, friction=friction, fixcm=False, rng=rng
        )
    if not atoms.get_kinetic_energy() > 0:
        raise ConfigError(
            "the Bussi thermostat scales velocities, and there are none",
            got=f"temperature = {settings.temperature}",
            fix="start above 0 K, or use the Langevin thermostat",
        )
    bussi = Bussi(
        atoms, step, temperature_K=settings.temperature, taut=settings.coupling_time * units.fs, rng=rng
    )
    # ASE counts 3 N; these dynamics never excite the motion of the whole
    bussi.ndof = free.count
    bussi.target_kinetic_energy = 0.5 * bussi.temp * free.count
    return bussi


class _Guard:
    """Stops a simulation that has left the physical, and saves the last frame before."""

    def __init__(
        self, atoms: "Atoms", settings: MDSettings, free: _Freedom, files: MDFiles | None
    ) -> None:
        self.atoms, self.free, self.files, self.settings = atoms, free, files, settings
        self.hottest = settings.max_temperature or 10 * settings.temperature + 1000
        self.step, self.good = 0, atoms.copy()

    def watching(self, step: int) -> "_Watch":
        return _Watch(self, step)

    def check(self, step: int) -> None:
        """Accept this step as good, or stop."""
        energy = self.atoms.get_potential_energy()
        forces, moved = self.atoms.get_forces(), np.abs(self.atoms.positions - self.good.positions)
        if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(moved).all()):
            raise self.stopped(step, "energy or forces are not finite numbers", f"energy = {energy}")
        distance = float(np.linalg.norm(moved, axis=-1).max())
        if step > self.step and distance > self.settings.max_move:
            atom = int(np.linalg.norm(moved, axis=-1).argmax())
            raise self.stopped(step, "an atom moves too far in one step", f"atom {atom}: {distance:.3g} Å")
        temperature = self.free.temperature(self.atoms)
        if temperature > self.hottest:
            raise self.stopped(step, "the temperature runs away", f"{temperature:.0f} K > {self.hottest:.0f} K")
        self.step, self.good = step, self.atoms.copy()

    def stopped(self, step: int, what: str, got: str) -> NumericsError:
        place = "" if self.files is None else f"; the last good frame is {self.files.save_last_good(self.good)}"
        return NumericsError(
            f"the simulation stopped at step {step}: {what}",
            got=got,
            expected="a stable simulation",
            fix=f"use a smaller time step, relax the first frame, or train on data near step {self.step}{place}",
        )


class _Watch:
    """Turns what goes wrong inside a step into the guard's own error."""

    def __init__(self, guard: _Guard, step: int) -> None:
        self.guard, self.step = guard, step

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (NumericsError, DataError, FloatingPointError)):
            reason = error.message if isinstance(error, (NumericsError, DataError)) else str(error)
            got = getattr(error, "got", None)
            raise self.guard.stopped(self.step, reason, str(got)) from error


def _drift(columns: dict[str, np.ndarray], atoms: int) -> tuple[float, float]:
    time_ps, total = columns["time_fs"] / 1000, 1000 * columns["total_ev"] / atoms
    slope = float(np.polyfit(time_ps, total - total[0], 1)[0]) if len(total) > 1 else 0.0
    return slope, float(np.abs(total - total[0]).max())
