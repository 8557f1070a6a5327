"""Reader of a user's own files by ASE: extended XYZ, trajectories, and what else ASE knows by its extension.

Energies (eV) and forces (eV/Å) stand under names that the caller gives. Atoms that a ``FixAtoms`` constraint holds are
fixed; extended XYZ writes it as the column ``move_mask``. Tags are those of ASE.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from intertwine.atoms import entries, missing_label, read_frames
from intertwine.errors import DataError
from intertwine.systems.equiformer.data.structures import Structure, checked_structure

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["read_atoms_file", "structure_of"]


def read_atoms_file(
    path: str | Path, *, energy_key: str = "energy", forces_key: str = "forces", require: tuple[str, ...] = ()
) -> list[Structure]:
    """Return all structures of a file.

    A label outside ``require`` may be missing from a whole file, but not from a part of it.

    Args:
        path: the file.
        energy_key: name of the energy.
        forces_key: name of the forces.
        require: ``energy`` and ``forces``, where every structure must have them.

    Raises:
        DataError: naming file and frame, if it cannot be read, or a label is missing or not a number.
        MissingExtraError: if ASE is not installed.
    """
    frames = read_frames(path)
    keys = {"energy": energy_key, "forces": forces_key}
    structures = [structure_of(frame.atoms, frame.where, **keys) for frame in frames]
    for name, key in keys.items():
        absent = [frame for frame, found in zip(frames, structures, strict=True) if getattr(found, name) is None]
        if absent and (name in require or len(absent) < len(frames)):
            raise missing_label(absent, len(frames), name, key)
    return structures


def structure_of(atoms: "Atoms", where: str, *, energy: str = "energy", forces: str = "forces") -> Structure:
    """Return one structure, with the labels that stand under these names.

    Args:
        atoms: positions, cell, tags, constraints and labels.
        where: names it in errors.
        energy: name of the energy.
        forces: name of the forces.

    Raises:
        DataError: if a label has another shape, or something is not a finite number.
    """
    from ase.constraints import FixAtoms

    fixed = np.zeros(len(atoms))
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            fixed[constraint.index] = 1
    found = entries(atoms)
    for key in (energy, forces):
        value = np.asarray(found.get(key, 0.0))
        if value.dtype.kind not in "if":
            raise DataError(f"{where}: `{key}` does not hold numbers", got=str(found[key])[:80])
    return checked_structure(
        where,
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
        tags=atoms.get_tags(),
        fixed=fixed,
        energy=found.get(energy),
        forces=found.get(forces),
        source=atoms,
    )
