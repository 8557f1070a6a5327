"""Reference energies of the elements, fitted to total energies where those of isolated atoms are not known."""

import warnings
from collections.abc import Iterable
from typing import Protocol, runtime_checkable

import numpy as np

from intertwine.atoms.elements import symbols_of
from intertwine.errors import DataWarning

__all__ = ["fit_atomic_energies"]


@runtime_checkable
class _Labelled(Protocol):
    """Atomic numbers (atoms,), and the total energy (eV) where it is known."""

    @property
    def numbers(self) -> np.ndarray: ...

    @property
    def energy(self) -> float | None: ...


def fit_atomic_energies(structures: Iterable[_Labelled], *, advice: str = "") -> dict[int, float]:
    """Return energies (eV) by atomic number whose sums are nearest to the total energies, by least squares.

    Where the compositions do not fix them, the solution of least norm is taken, and a `DataWarning` says so:
    totals of the compositions at hand are right, those of others mean nothing.

    Args:
        structures: of which those with an energy count; without any, no element has one.
        advice: what else may be done where the compositions do not fix them, for the warning.
    """
    known = [structure for structure in structures if structure.energy is not None]
    if not known:
        return {}
    elements = sorted({int(z) for structure in known for z in structure.numbers})
    counts = np.array([[np.count_nonzero(s.numbers == z) for z in elements] for s in known], dtype=float)
    solution, _, rank, _ = np.linalg.lstsq(counts, np.array([s.energy for s in known], dtype=float))
    if rank < len(elements):
        warnings.warn(
            f"{len(known)} structures do not fix the atomic energies of {symbols_of(elements)}: "
            f"{f'{advice}, or ' if advice else ''}compare only energies of compositions that are in the training data",
            DataWarning,
            stacklevel=2,
        )
    return dict(zip(elements, solution.tolist(), strict=True))
