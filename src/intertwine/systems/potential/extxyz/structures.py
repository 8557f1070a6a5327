"""Structures with their labels, under the names that the caller gives.

A label is found wherever ASE has put it; one that is asked for and not found is an error: nothing is dropped.
"""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.errors import DataError
from intertwine.systems.potential.extxyz.frames import Frame, read_frames

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Structure", "read_isolated_atoms", "read_structures"]

_ABOUT = {"energy": ("energy",), "forces": ("force", "grad"), "stress": ("stress",)}


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
    labels |= {name: _labels(frames, name, key, name in require) for name, key in keys.items()}
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
        energies[number] = float(structure.energy)  # type: ignore[arg-type]
    return dict(sorted(energies.items()))


def _is_zero_by_definition(atoms: "Atoms", name: str) -> bool:
    if atoms.pbc.any() or name == "energy":
        return False
    return name == "stress" or len(atoms) == 1


def _entries(atoms: "Atoms") -> dict[str, Any]:
    """Return all that a file says of a frame, by name; ASE keeps some of it as results of a calculation."""
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return {**atoms.info, **arrays, **(atoms.calc.results if atoms.calc is not None else {})}


def _labels(frames: list[Frame], name: str, key: str, required: bool) -> list[Any]:
    values = [_label(frame, name, key) for frame in frames]
    exempt = [_is_zero_by_definition(frame.atoms, name) for frame in frames]
    absent = [i for i, value in enumerate(values) if value is None and not exempt[i]]
    if not absent:
        zero = {"forces": (1, 3), "stress": (3, 3)}
        return [np.zeros(zero[name]) if value is None else value for value in values]
    first = frames[absent[0]]
    lookalike = _lookalikes(first.atoms, name, key)
    if not required and not lookalike and len(absent) == len(frames) - sum(exempt):
        return [None] * len(frames)
    raise DataError(
        f"{first.where}: there is no `{key}`",
        got={
            "frames without it": f"{len(absent)} of {len(frames)}",
            "names in the frame": ", ".join(_entries(first.atoms)) or "none",
        },
        expected=f"{name} under the name `{key}` in every frame",
        fix=f"set {name}_key to `{lookalike[0]}`" if lookalike else f"set {name}_key, or add the {name}",
    )


def _label(frame: Frame, name: str, key: str) -> Any:
    """Return a label in its own shape, or None if the frame does not have it."""
    value = _entries(frame.atoms).get(key)
    if value is None:
        return None
    array = _shaped(value, name, len(frame.atoms))
    if array is None:
        shapes = {
            "energy": "one number",
            "forces": "three numbers for each atom",
            "stress": "3 x 3 or 6 numbers",
        }
        raise DataError(
            f"{frame.where}: `{key}` does not have the form of {name}",
            got=str(value)[:160],
            expected=shapes[name],
            fix=f"set {name}_key to the name of the {name} in the file",
        )
    if not np.isfinite(array).all():
        atom = int(np.flatnonzero(~np.isfinite(array).all(-1))[0]) if name == "forces" else None
        raise DataError(
            f"{frame.where if atom is None else frame.where_atom(atom)}: `{key}` is not a finite number",
            got=str(array if atom is None else array[atom]),
            expected="finite numbers",
            fix="remove the frame, or repeat its calculation",
        )
    return float(array) if name == "energy" else array


def _shaped(value: Any, name: str, atoms: int) -> np.ndarray | None:
    if isinstance(value, bool) or np.asarray(value).dtype.kind not in "if":
        return None
    array = np.asarray(value, dtype=float)
    if name == "energy":
        return array if array.shape == () else None
    if name == "forces":
        return array if array.shape == (atoms, 3) else None
    if array.shape == (6,):
        xx, yy, zz, yz, xz, xy = array
        return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return array.reshape(3, 3) if array.size == 9 else None


def _lookalikes(atoms: "Atoms", name: str, key: str) -> list[str]:
    """Return names in the file of what could be the label, the nearest to ``key`` first."""
    fits = [k for k, v in _entries(atoms).items() if _shaped(v, name, len(atoms)) is not None]
    named = [k for k in fits if any(part in k.lower() for part in _ABOUT[name])]
    return sorted(named, key=lambda k: -difflib.SequenceMatcher(None, k.lower(), key.lower()).ratio())
