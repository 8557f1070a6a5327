"""Frames of structure files: extended XYZ, checked line by line, and every other format that ASE reads.

Frames count from 0, as in ASE; lines from 1, as in editors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from intertwine.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Frame", "read_frames", "require_ase"]


@dataclass(frozen=True)
class Frame:
    """One frame of a file as ASE sees it, and where it stands.

    Args:
        atoms: the structure with all that the file says of it.
        path: the file.
        number: of the frame, from 0.
        line: of the frame's first line, from 1; None in formats without lines.
    """

    atoms: "Atoms"
    path: Path
    number: int
    line: int | None = None

    @property
    def where(self) -> str:
        """File, frame and line in words."""
        place = f"{self.path}, frame {self.number}"
        return place if self.line is None else f"{place} (line {self.line})"

    def where_atom(self, atom: int) -> str:
        """The place of one atom in words."""
        line = "" if self.line is None else f" (line {self.line + 2 + atom})"
        return f"{self.path}, frame {self.number}, atom {atom}{line}"


def read_frames(path: str | Path) -> list[Frame]:
    """Return all frames of a file, with finite positions and known elements.

    Raises:
        DataError: if the file is missing, empty, cut off or damaged; the message names frame and line.
        MissingExtraError: if ASE is not installed.
    """
    require_ase()
    path = Path(path)
    if not path.exists():
        raise DataError(f"there is no file {path}", got=path, expected="a file of structures")
    frames = list(_read_xyz(path) if path.suffix.lower() in (".xyz", ".extxyz") else _read_other(path))
    if not frames:
        raise DataError(f"{path} holds no structure", got="an empty file", expected="at least one frame")
    for frame in frames:
        bad = np.flatnonzero(~np.isfinite(frame.atoms.positions).all(-1))
        if bad.size:
            raise DataError(
                f"{frame.where_atom(bad[0])}: a position is not a finite number",
                got=frame.atoms.positions[bad[0]].tolist(),
                expected="three numbers in Å",
            )
        if not (len(frame.atoms) and frame.atoms.numbers.all()):
            raise DataError(f"{frame.where}: no atoms, or atoms of no element (X)", got=str(frame.atoms.symbols))
    return frames


def _read_other(path: Path) -> Iterator[Frame]:
    ase = require_ase()
    try:
        images = ase.io.read(path, ":")
    except Exception as error:  # ASE's readers raise whatever their format's parser does
        raise DataError(
            f"{path} cannot be read: {error or type(error).__name__}",
            got=path.suffix or path.name,
            expected="a format that ASE knows by its file name, such as .extxyz, .traj, .cif or POSCAR",
        ) from error
    for number, atoms in enumerate(images):
        yield Frame(atoms, path, number)


def _read_xyz(path: Path) -> Iterator[Frame]:
    ase = require_ase()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} is not a text file", got=str(error), expected="extended XYZ") from error
    for number, (start, count) in enumerate(_frame_starts(path, lines)):
        _check_rows(path, number, lines, start, count)
        text = "\n".join(lines[start : start + 2 + count]) + "\n"
        try:
            atoms = ase.io.read(StringIO(text), format="extxyz")
        except Exception as error:  # what it raises on a bad header is not of one kind
            raise _header_error(path, number, lines, start, str(error)) from error
        yield Frame(atoms, path, number, start + 1)


def _frame_starts(path: Path, lines: list[str]) -> Iterator[tuple[int, int]]:
    """Yield index of the first line and number of atoms of each frame."""
    while lines and not lines[-1].strip():
        lines.pop()
    start, number = 0, 0
    while start < len(lines):
        try:
            count = int(lines[start])
        except ValueError:
            count = 0
        if count < 1:
            raise DataError(
                f"{path}, frame {number} (line {start + 1}): a frame begins with its number of atoms",
                got=repr(lines[start][:80]),
                expected="a whole number, at least 1",
                fix="" if number == 0 else f"check the number of atoms of frame {number - 1}, and for blanks",
            )
        if start + 2 + count > len(lines):
            raise DataError(
                f"{path} is cut off in frame {number}, which begins in line {start + 1}",
                got=f"{max(len(lines) - start - 2, 0)} of {count} atoms; the file ends in line {len(lines)}",
                expected=f"{count} atoms",
                fix=f"whole frames before it: {number}; `head -n {start}` keeps them",
            )
        yield start, count
        start, number = start + 2 + count, number + 1


def _check_rows(path: Path, number: int, lines: list[str], start: int, count: int) -> None:
    """Check that each row has the columns that the header declares, of the declared types."""
    ase = require_ase()
    header = lines[start + 1]
    try:
        columns = _columns(header)
    except ValueError as error:
        raise _header_error(path, number, lines, start, str(error)) from error
    for index in range(start + 2, start + 2 + count):
        tokens = lines[index].split()
        place = f"{path}, frame {number}, atom {index - start - 2} (line {index + 1})"
        if len(tokens) != len(columns):
            raise DataError(
                f"{place}: the number of columns is wrong",
                got=f"{len(tokens)} columns: {lines[index].strip()[:80]!r}",
                expected=f"{len(columns)} columns: {' '.join(name for name, _ in columns)}",
                fix=f"check that the frame has {count} atoms, as line {start + 1} says",
            )
        for token, (name, kind) in zip(tokens, columns, strict=True):
            if name == "species":
                good = token.capitalize() != "X" and token.capitalize() in ase.data.atomic_numbers
            elif name == "Z":
                good = token.isdecimal() and 0 < int(token) < len(ase.data.chemical_symbols)
            else:
                good = _is(token, kind)
            if not good:
                words = {"R": "a number", "I": "a whole number", "L": "T or F"}
                wanted = "an element" if name in ("species", "Z") else words[kind]
                raise DataError(f"{place}: `{name}` is not {wanted}", got=token, expected=f"{wanted} in this column")


def _columns(header: str) -> list[tuple[str, str]]:
    """Return name and type of each column; ValueError where the header does not declare atoms."""
    from ase.io.extxyz import key_val_str_to_dict

    declared = str(key_val_str_to_dict(header).get("Properties", "species:S:1:pos:R:3"))
    parts = declared.split(":")
    if len(parts) % 3:
        raise ValueError("Properties has not three parts for each column")
    sizes = {name: (kind, int(size)) for name, kind, size in zip(*[iter(parts)] * 3, strict=True)}
    if not (sizes.get("species") == ("S", 1) or sizes.get("Z") == ("I", 1)) or sizes.get("pos") != ("R", 3):
        raise ValueError("Properties declares no elements (species:S:1 or Z:I:1) or no positions (pos:R:3)")
    if any(kind not in ("S", "R", "I", "L") for kind, _ in sizes.values()):
        raise ValueError("Properties has a type other than S, R, I, L")
    return [(name, kind) for name, (kind, size) in sizes.items() for _ in range(size)]


def _header_error(path: Path, number: int, lines: list[str], start: int, reason: str) -> DataError:
    return DataError(
        f"{path}, frame {number} (line {start + 2}): the header cannot be read: {reason}",
        got=lines[start + 1][:160],
        expected='key=value pairs such as Lattice="..." Properties=species:S:1:pos:R:3 energy=-1.0',
    )


def _is(token: str, kind: str) -> bool:
    if kind == "L":
        return token in ("T", "F", "True", "False")
    try:
        {"R": float, "I": int, "S": str}[kind](token)
    except ValueError:
        return False
    return True


def require_ase() -> ModuleType:
    """Import ASE with its reader, or say how to install it."""
    try:
        import ase.io
    except ImportError as error:
        raise MissingExtraError(
            "atomic structures need ASE", got="no module `ase`", fix='pip install "intertwine[atoms]"'
        ) from error
    return ase
