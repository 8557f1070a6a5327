"""Labels of frames: found under the name that the caller gives, wherever ASE has put them.

A label may be missing from a whole file, but not from a part of it, and one that is there has the form of its kind.
"""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.atoms.frames import Frame
from intertwine.errors import DataError

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["entries", "missing_label", "read_labels"]

_ABOUT = {"energy": ("energy",), "forces": ("force", "grad"), "stress": ("stress",)}


def entries(atoms: "Atoms") -> dict[str, Any]:
    """Return all that a file says of a frame, by name; ASE keeps some of it as results of a calculation."""
    arrays = {k: v for k, v in atoms.arrays.items() if k not in ("numbers", "positions")}
    return {**atoms.info, **arrays, **(atoms.calc.results if atoms.calc is not None else {})}


def read_labels(frames: Sequence[Frame], name: str, key: str, *, required: bool) -> list[Any]:
    """Return a label of all frames in its own shape; all are None if no frame has it.

    What is zero by definition need not be said: the force on a single atom in open space, and the stress there.

    Args:
        frames: of one file.
        name: what the label is: ``energy``, ``forces`` or ``stress``.
        key: its name in the file.
        required: whether every frame must have it. One that is not required may be missing, but not while the first
            frame without it has something else that looks like it.

    Raises:
        DataError: naming file, frame and line, if it is missing or has another form.
    """
    values = [_label(frame, name, key) for frame in frames]
    exempt = [_is_zero_by_definition(frame.atoms, name) for frame in frames]
    absent = [i for i, value in enumerate(values) if value is None and not exempt[i]]
    if not absent:
        zero = {"forces": (1, 3), "stress": (3, 3)}
        return [np.zeros(zero[name]) if value is None else value for value in values]
    lookalike = _lookalikes(frames[absent[0]].atoms, name, key)
    if not required and not lookalike and len(absent) == len(frames) - sum(exempt):
        return [None] * len(frames)
    raise missing_label([frames[i] for i in absent], len(frames), name, key, lookalike)


def missing_label(
    absent: Sequence[Frame], frames: int, name: str, key: str, lookalikes: Sequence[str] = ()
) -> DataError:
    """Return the error that says which frames lack a label, what there is instead, and what to set.

    Args:
        absent: the frames without it.
        frames: how many the file has.
        name: what the label is.
        key: the name under which it was looked for.
        lookalikes: names of what could be meant, the nearest first.
    """
    first = absent[0]
    return DataError(
        f"{first.where}: there is no `{key}`",
        got={
            "frames without it": f"{len(absent)} of {frames}",
            "names in the frame": ", ".join(entries(first.atoms)) or "none",
        },
        expected=f"{name} under the name `{key}` in every frame",
        fix=f"set {name}_key to `{lookalikes[0]}`" if lookalikes else f"set {name}_key, or add the {name}",
    )


def _is_zero_by_definition(atoms: "Atoms", name: str) -> bool:
    if atoms.pbc.any() or name == "energy":
        return False
    return name == "stress" or len(atoms) == 1


def _label(frame: Frame, name: str, key: str) -> Any:
    """Return a label in its own shape, or None if the frame does not have it."""
    value = entries(frame.atoms).get(key)
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
    fits = [k for k, v in entries(atoms).items() if _shaped(v, name, len(atoms)) is not None]
    named = [k for k in fits if any(part in k.lower() for part in _ABOUT[name])]
    return sorted(named, key=lambda k: -difflib.SequenceMatcher(None, k.lower(), key.lower()).ratio())
