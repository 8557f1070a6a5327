"""Structures with their labels as plain arrays, and checks of what a file says of them.

Positions in Å, energies in eV, forces in eV/Å. A fixed atom is one that a relaxation does not move; metrics of forces
leave it out.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from intertwine.errors import DataError

__all__ = ["Structure", "checked_structure"]


@dataclass(frozen=True)
class Structure:
    """Atoms and labels; None is a label that the file does not have.

    Args:
        numbers: atomic numbers, (atoms,).
        positions: (atoms, 3).
        cell: lattice vectors as rows, (3, 3).
        pbc: which axes are periodic.
        tags: 0 below the surface, 1 at the surface, 2 of the adsorbate, (atoms,).
        free: whether a relaxation moves the atom, (atoms,).
        energy: of the structure.
        forces: (atoms, 3).
        where: file and frame, for messages.
        source: what a reader wants to find again, such as the ``ase.Atoms`` it came from.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]
    tags: np.ndarray
    free: np.ndarray
    energy: float | None
    forces: np.ndarray | None
    where: str
    source: Any = None


def checked_structure(
    where: str,
    *,
    numbers: Any,
    positions: Any,
    cell: Any,
    pbc: tuple[bool, bool, bool],
    tags: Any = None,
    fixed: Any = None,
    energy: Any = None,
    forces: Any = None,
    source: Any = None,
) -> Structure:
    """Return the structure, with arrays of the right shapes and types.

    Args:
        where: names it in errors.
        numbers, positions, cell, pbc, tags, energy, forces, source: see `Structure`; cells may have a leading axis.
        fixed: non-zero for atoms that a relaxation does not move; all are free if None.

    Raises:
        DataError: naming the field, if it has another shape, or is not a finite number.
    """
    z = np.asarray(numbers, dtype=float).reshape(-1)
    count = len(z)
    found = {
        "atomic_numbers": (z, (count,)),
        "pos": (np.asarray(positions, dtype=float), (count, 3)),
        "cell": (np.asarray(cell, dtype=float).reshape(-1, 3), (3, 3)),
        "tags": (np.zeros(count) if tags is None else np.asarray(tags, dtype=float).reshape(-1), (count,)),
        "fixed": (np.zeros(count) if fixed is None else np.asarray(fixed, dtype=float).reshape(-1), (count,)),
    }
    if forces is not None:
        found["force"] = (np.asarray(forces, dtype=float), (count, 3))
    if energy is not None:
        found["y"] = (np.asarray(energy, dtype=float).reshape(-1), (1,))
    for name, (array, shape) in found.items():
        if array.shape != shape:
            raise DataError(f"{where}: `{name}` has the wrong shape", got=array.shape, expected=shape)
        if not np.isfinite(array).all():
            raise DataError(
                f"{where}: `{name}` is not a finite number",
                got=array[~np.isfinite(array)][:3],
                fix="remove the structure, or repeat its calculation",
            )
    if count == 0 or (z % 1).any() or z.min() < 1 or z.max() > 118:
        got = sorted(set(z.tolist()))[:8] if count else "no atoms"
        raise DataError(f"{where}: these are no atomic numbers", got=got, expected="whole numbers from 1 to 118")
    return Structure(
        numbers=z.astype(np.int64),
        positions=found["pos"][0],
        cell=found["cell"][0],
        pbc=pbc,
        tags=found["tags"][0].astype(np.int64),
        free=found["fixed"][0] == 0,
        energy=None if energy is None else float(found["y"][0][0]),
        forces=None if forces is None else found["force"][0],
        where=where,
        source=source,
    )
