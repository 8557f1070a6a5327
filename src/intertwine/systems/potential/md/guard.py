"""Stopping a simulation that has left what is physical, with the last good frame saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from intertwine.errors import DataError, NumericsError
from intertwine.systems.potential.md.dynamics import Freedom
from intertwine.systems.potential.md.files import MDFiles
from intertwine.systems.potential.md.settings import MDSettings

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Guard"]


class Guard:
    """Stops a simulation that has left the physical, and saves the last frame before."""

    def __init__(self, atoms: "Atoms", settings: MDSettings, free: Freedom, files: MDFiles | None) -> None:
        self.atoms, self.free, self.files, self.settings = atoms, free, files, settings
        self.hottest = settings.max_temperature or 10 * settings.temperature + 1000
        self.step, self.good = 0, atoms.copy()

    @contextmanager
    def watching(self, step: int) -> Iterator[None]:
        """Turn what goes wrong inside a step into this guard's own error."""
        try:
            yield
        except (NumericsError, DataError) as error:
            raise self.stopped(step, error.message, str(error.got)) from error

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
        """Save the last good frame and return the error to raise."""
        place = "" if self.files is None else f"; the last good frame is {self.files.save_last_good(self.good)}"
        return NumericsError(
            f"the simulation stopped at step {step}: {what}",
            got=got,
            expected="a stable simulation",
            fix=f"use a smaller time step, relax the first frame, or train on data like it{place}",
        )
