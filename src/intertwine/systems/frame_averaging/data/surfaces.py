"""Sets of meshes: packed files, folders of mesh files, and the published layout of ABC with its lists of names.

ABC (Koch et al., CVPR 2019) lies as ``<root>/<size>/train|test/512/<name>.obj``, and which of the files belong to a
split is said by JSON files that hold lists of names, at any depth: ``{"scans": {"all": ["0000101_...", ...]}}``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from intertwine.errors import DataError
from intertwine.points import MESH_SUFFIXES, Mesh, read_mesh, read_meshes
from intertwine.reporting.files import read_json
from intertwine.training.datasets import find_data

__all__ = ["Surfaces", "read_names", "read_surfaces", "split_families"]


@dataclass(frozen=True)
class Surfaces:
    """Meshes and the family that each belongs to: its name in a packed file, or its folder."""

    meshes: tuple[Mesh, ...]
    families: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.meshes)


def read_surfaces(place: str | Path, names: str | Path | None = None) -> Surfaces:
    """Return the meshes of a packed ``.npz`` file, of one mesh file, or of all mesh files below a folder.

    Args:
        place: path, or a name below the data folder.
        names: a JSON file of the names of the files to read, for folders; all are read where it is not given.

    Raises:
        DataError: if there is no mesh, a name has no file, or a file is damaged.
    """
    path = find_data(place)
    if path.is_dir():
        files = _files(path) if names is None else _named_files(path, find_data(names))
        if not files:
            raise DataError("there is no mesh in this folder", got=path, expected=f"files {', '.join(MESH_SUFFIXES)}")
        return Surfaces(
            tuple(read_mesh(file) for file in files), tuple(str(file.parent.relative_to(path)) for file in files)
        )
    if names is not None:
        raise DataError("names choose files of a folder", got=path, expected="a folder", fix="leave the names out")
    if path.suffix.lower() == ".npz":
        meshes = tuple(read_meshes(path))
        return Surfaces(meshes, tuple(mesh.name.partition("] ")[2] for mesh in meshes))
    return Surfaces((read_mesh(path),), ("",))


def split_families(surfaces: Surfaces, last: int) -> tuple[Surfaces, Surfaces]:
    """Return all meshes but the last few of each family, and those.

    Raises:
        DataError: if nothing is left to learn from.
    """
    places: dict[str, list[int]] = {}
    for index, family in enumerate(surfaces.families):
        places.setdefault(family, []).append(index)
    held = sorted(index for own in places.values() for index in own[-last:])
    kept = sorted(set(range(len(surfaces))) - set(held))
    if not kept:
        raise DataError(
            "no mesh is left to learn from",
            got=f"{len(surfaces)} meshes in {len(places)} families, of which the last {last} each are the test set",
            fix="name test meshes in data.test, or put meshes of one kind into one folder",
        )
    return _part(surfaces, kept), _part(surfaces, held)


def read_names(path: Path) -> list[str]:
    """Return all names of a JSON file, from lists at any depth, in their order.

    Raises:
        DataError: if it is damaged, or holds no name.
    """
    content = read_json(path)
    found = list(_strings(content))
    if not found:
        raise DataError(f"{path.name} holds no names", got=type(content).__name__, expected="lists of names of files")
    return found


def _part(surfaces: Surfaces, places: list[int]) -> Surfaces:
    return Surfaces(tuple(surfaces.meshes[i] for i in places), tuple(surfaces.families[i] for i in places))


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in MESH_SUFFIXES and file.is_file())


def _named_files(folder: Path, names: Path) -> list[Path]:
    wanted = read_names(names)
    files = [folder / (name if Path(name).suffix.lower() in MESH_SUFFIXES else f"{name}.obj") for name in wanted]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(files)} files that {names.name} names are not there",
            got=f"{folder}, without {', '.join(missing[:3])}{' ...' if len(missing) > 3 else ''}",
            expected="a file NAME.obj for each name",
        )
    return files


def _strings(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, list):
        for part in content:
            yield from _strings(part)
    elif isinstance(content, dict):
        for part in content.values():
            yield from _strings(part)
