"""What moves and how: degrees of freedom, initial velocities, integrators of ASE."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.errors import ConfigError
from intertwine.systems.potential.md.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Freedom", "make_dynamics"]


class Freedom:
    """The degrees of freedom that dynamics moves: all, or those without motion of the whole."""

    def __init__(self, atoms: "Atoms", settings: MDSettings) -> None:
        self.open = not atoms.pbc.any()
        self.all = settings.ensemble == "nvt" and settings.thermostat == "langevin"
        removed = 0 if self.all else 3 + (_rotations(atoms) if self.open else 0)
        self.count = 3 * len(atoms) - removed

    def temperature(self, atoms: "Atoms") -> float:
        """Return the temperature (K) of the velocities."""
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
                arms, inertia = _inertia(atoms)
                momentum = np.cross(arms, mass * velocity).sum(0)
                velocity -= np.cross(np.linalg.pinv(inertia, rcond=1e-6) @ momentum, arms)
        atoms.set_velocities(velocity)
        if not self.all and (now := self.temperature(atoms)) > 0:
            atoms.set_velocities(velocity * math.sqrt(temperature / now))


def _inertia(atoms: "Atoms") -> tuple[np.ndarray, np.ndarray]:
    """Return the positions about the centre of mass, and the tensor of inertia."""
    mass = atoms.get_masses()
    arms = atoms.positions - mass @ atoms.positions / mass.sum()
    second = np.einsum("a,ai,aj->ij", mass, arms, arms)
    return arms, np.trace(second) * np.eye(3) - second


def _rotations(atoms: "Atoms") -> int:
    moments = np.linalg.eigvalsh(_inertia(atoms)[1])
    return int((moments > 1e-6 * moments.max()).sum())  # a linear molecule has two


def make_dynamics(atoms: "Atoms", settings: MDSettings, free: Freedom, rng: np.random.Generator) -> Any:
    """Return ASE's integrator for the settings."""
    from ase import units
    from ase.md.bussi import Bussi
    from ase.md.langevin import Langevin
    from ase.md.verlet import VelocityVerlet

    step = settings.time_step * units.fs
    if settings.ensemble == "nve":
        return VelocityVerlet(atoms, step)
    if settings.thermostat == "langevin":
        friction = settings.friction / units.fs
        return Langevin(atoms, step, temperature_K=settings.temperature, friction=friction, fixcm=False, rng=rng)
    if not atoms.get_kinetic_energy() > 0:
        raise ConfigError(
            "the Bussi thermostat scales velocities, and there are none",
            got=f"temperature = {settings.temperature}",
            fix="start above 0 K, or use the Langevin thermostat",
        )
    bussi = Bussi(atoms, step, temperature_K=settings.temperature, taut=settings.coupling_time * units.fs, rng=rng)
    # ASE counts 3 N; these dynamics never excite the motion of the whole
    bussi.ndof = free.count
    bussi.target_kinetic_energy = 0.5 * bussi.temp * free.count
    return bussi
