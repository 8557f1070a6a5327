"""Reader of a user's own files by ASE: extended XYZ, trajectories, and what else ASE knows by its extension.

Energies (eV) and forces (eV/Å) stand under names that the caller gives. Atoms that a ``FixAtoms`` constraint holds are
fixed; extended XYZ writes it as the column ``move_mask``. Tags are those of ASE.
"""

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.errors import DataError, MissingExtraError
from intertwine.systems.equiformer.data.structures import Structure, checked_structure

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["read_atoms_file", "require_ase", "structure_of"]


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
    ase = require_ase()
    path = Path(path)
    try:
        frames: Any = ase.io.read(path, index=":")
    except Exception as error:  # every format of ASE has errors of its own
        raise DataError(
            f"{path} cannot be read",
            got=f"{type(error).__name__}: {error}",
            expected="a whole file of structures, such as extended XYZ",
        ) from error
    if not frames:
        raise DataError(f"{path} holds no structures", got="an empty file")
    keys = {"energy": energy_key, "forces": forces_key}
    structures = [structure_of(atoms, f"{path}, frame {n}", **keys) for n, atoms in enumerate(frames)]
    for name, key in keys.items():
        absent = [n for n, structure in enumerate(structures) if getattr(structure, name) is None]
        if absent and (name in require or len(absent) < len(structures)):
            raise DataError(
                f"{structures[absent[0]].where}: there is no `{key}`",
                got={
                    "frames without it": f"{len(absent)} of {len(structures)}",
                    "names in the frame": ", ".join(_entries(frames[absent[0]])) or "none",
                },
                expected=f"{name} under the name `{key}` in every frame",
                fix=f"set data.{name}_key, or add the {name}",
            )
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
    entries = _entries(atoms)
    for key in (energy, forces):
        value = np.asarray(entries.get(key, 0.0))
        if value.dtype.kind not in "if":
            raise DataError(f"{where}: `{key}` does not hold numbers", got=str(entries[key])[:80])
    return checked_structure(
        where,
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=np.array(atoms.cell),
        pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
        tags=atoms.get_tags(),
        fixed=fixed,
        energy=entries.get(energy),
        forces=entries.get(forces),
        source=atoms,
    )


def require_ase() -> ModuleType:
    """Import ASE with its reader, or say how to install it."""
    try:
        import ase.io
    except ImportError as error:
        raise MissingExtraError(
            "atomic structures need ASE", got="no module `ase`", fix='pip install "intertwine[atoms]"'
        ) from error
    return ase


def _entries(atoms: "Atoms") -> dict[str, Any]:
    """Return all that a file says of a frame, by name; ASE keeps some of it as results of a calculation."""
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return {**atoms.info, **arrays, **(atoms.calc.results if atoms.calc is not None else {})}
