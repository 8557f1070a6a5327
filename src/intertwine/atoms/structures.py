"""Structures with their labels, under the names that the caller gives.

A label is found wherever ASE has put it; one that is asked for and not found is an error: nothing is dropped.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from intertwine.atoms.frames import Frame, read_frames
from intertwine.atoms.labels import read_labels
from intertwine.errors import DataError

__all__ = ["Structure", "read_isolated_atoms", "read_structures"]


@dataclass(frozen=True)
class Structure:
    """Atoms and labels as plain arrays: Å, eV, eV/Å, eV/Å³; None is a label that the file does not have."""

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray
    pbc: tuple[bool, bool, bool]
    energy: float | None
    forces: np.ndarray | None
    stress: np.ndarray | None
    where: str

    @classmethod
    def of(
        cls,
        frame: Frame,
        energy: float | None = None,
        forces: np.ndarray | None = None,
        stress: np.ndarray | None = None,
    ) -> "Structure":
        """Return the structure of a frame, with the labels that are given and no others."""
        atoms = frame.atoms
        pbc = (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2]))
        return cls(atoms.numbers, atoms.positions, np.array(atoms.cell), pbc, energy, forces, stress, frame.where)


def read_structures(
    path: str | Path,
    *,
    energy_key: str = "energy",
    forces_key: str = "forces",
    stress_key: str | None = None,
    require: tuple[str, ...] = ("energy", "forces"),
) -> list[Structure]:
    """Return all structures of a file with the labels of these names.

    A label outside ``require`` may be missing from a whole file, but not from a part of it, and not while
    the file has something else that looks like it. The force on a single atom in open space is zero, also
    where the file does not say so.

    Args:
        path: extended XYZ (``.xyz``, ``.extxyz``), or another format that ASE knows by its extension.
        energy_key: name of the total energy in eV.
        forces_key: name of the forces in eV/Å.
        stress_key: name of the stress in eV/Å³ (3 x 3, or 6 numbers in Voigt order), or None not to read it.
        require: labels (``energy``, ``forces``, ``stress``) that every structure must have.

    Raises:
        DataError: naming file, frame and line, if the file is damaged, or a label is missing or not a number.
    """
    frames = read_frames(path)
    keys = {"energy": energy_key, "forces": forces_key} | ({"stress": stress_key} if stress_key else {})
    labels: dict[str, list[Any]] = {"stress": [None] * len(frames)}
    labels |= {name: read_labels(frames, name, key, required=name in require) for name, key in keys.items()}
    return [
        Structure.of(frame, *found)
        for frame, *found in zip(frames, labels["energy"], labels["forces"], labels["stress"], strict=True)
    ]


def read_isolated_atoms(path: str | Path, energy_key: str = "energy") -> dict[int, float]:
    """Return the energy (eV) of an isolated atom by atomic number, from a file with one atom per frame.

    Raises:
        DataError: if a frame has several atoms, no energy, or an element that came before.
    """
    energies: dict[int, float] = {}
    structures = read_structures(path, energy_key=energy_key, require=("energy",))
    for structure in structures:
        number = int(structure.numbers[0])
        if len(structure.numbers) != 1 or number in energies:
            raise DataError(
                f"{structure.where}: a file of isolated atoms has one frame for each element",
                got=f"{len(structure.numbers)} atoms of {sorted({int(z) for z in structure.numbers})}",
                expected="one atom, of an element that has not come before",
                fix="take the frame out, or leave `isolated_atoms` empty to fit the energies",
            )
        energies[number] = float(cast("float", structure.energy))  # required above
    return dict(sorted(energies.items()))
