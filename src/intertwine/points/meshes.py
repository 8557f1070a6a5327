"""Triangle meshes: reading PLY, OBJ, STL and OFF, and many meshes in one ``.npz`` file.

The packed file holds ``vertices`` (V, 3) and ``faces`` (F, 3) of all meshes one after another, faces numbering the
vertices of their own mesh, ``v_offset`` and ``f_offset`` (meshes + 1), where each mesh begins, and ``names``.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from intertwine.errors import DataError, MissingExtraError
from intertwine.points.arrays import load_arrays
from intertwine.points.ply import parse_ply

__all__ = ["MESH_SUFFIXES", "Mesh", "has_faces", "pad_meshes", "read_mesh", "read_meshes"]

MESH_SUFFIXES = (".ply", ".obj", ".stl", ".off")
"""Endings of the files that `read_mesh` reads."""

_PACKED = ("vertices", "faces", "v_offset", "f_offset")


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface made of triangles, as an immutable value.

    Args:
        vertices: positions of the corners.
        faces: numbers of the three corners of each triangle, counter-clockwise seen from outside;
            stored as int64.
        name: says in errors which mesh it is.

    Raises:
        DataError: if there is no face, a face names a vertex that does not exist, or a coordinate is not finite.
    """

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Integer[np.ndarray, "faces 3"]
    name: str = "mesh"

    def __post_init__(self) -> None:
        vertices, faces = np.asarray(self.vertices, np.float64), np.asarray(self.faces)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise DataError(f"{self.name}: vertices have three coordinates", got=vertices.shape, expected="(n, 3)")
        if faces.ndim != 2 or faces.shape[1] != 3 or not len(faces):
            raise DataError(
                f"{self.name} has no triangles",
                got={"vertices": len(vertices), "faces": faces.shape},
                expected="faces (n, 3), at least one",
                fix="a file of points without faces is read by `read_cloud`",
            )
        if not np.issubdtype(faces.dtype, np.integer) or faces.min() < 0 or faces.max() >= len(vertices):
            raise DataError(
                f"{self.name}: a face names a vertex that does not exist",
                got=f"numbers from {faces.min()} to {faces.max()} ({faces.dtype})",
                expected=f"whole numbers from 0 to {len(vertices) - 1}",
            )
        if not np.isfinite(vertices).all():
            wrong = int(np.argwhere(~np.isfinite(vertices))[0][0])
            raise DataError(f"{self.name}: vertex {wrong} is not finite", got=vertices[wrong].tolist())
        object.__setattr__(self, "vertices", vertices)
        object.__setattr__(self, "faces", faces.astype(np.int64))


def read_mesh(path: str | Path) -> Mesh:
    """Return the mesh of a PLY, OBJ, STL or OFF file; polygons are cut into triangles, several objects become one.

    Raises:
        MissingExtraError: if trimesh is not installed.
        DataError: if the file is missing, damaged, of another format, or has no faces.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such file", got=path, expected=f"a mesh: {', '.join(MESH_SUFFIXES)}")
    if path.suffix.lower() not in MESH_SUFFIXES:
        raise DataError(f"{path.name} is not a mesh", got=path.suffix, expected=", ".join(MESH_SUFFIXES))
    trimesh = _require_trimesh()
    try:
        with warnings.catch_warnings():
            # numpy warns inside of it, for example of vertices without a face
            warnings.simplefilter("ignore")
            # the order of vertices is kept, because labels of vertices may lie in another file
            found = trimesh.load_mesh(path, process=False, maintain_order=True)
        vertices, faces = np.asarray(found.vertices), np.asarray(found.faces)
    except Exception as error:  # trimesh lets through whatever its parsers stumble over
        raise DataError(
            f"{path.name} is damaged, or not a {path.suffix[1:].upper()} file", got=f"{type(error).__name__}: {error}"
        ) from error
    return Mesh(vertices.reshape(-1, 3), faces.reshape(-1, 3), path.name)


def read_meshes(path: str | Path) -> list[Mesh]:
    """Return the meshes of a packed ``.npz`` file, in their order.

    Raises:
        DataError: if the file is missing, damaged, or its offsets do not fit; or for one of the meshes, see `Mesh`.
    """
    path = Path(path)
    arrays = load_arrays(path)
    missing = [name for name in _PACKED if name not in arrays]
    if missing:
        raise DataError(f"{path.name} lacks arrays", got=", ".join(arrays), expected=", ".join((*_PACKED, "names")))
    vertices, faces, v_offset, f_offset = (arrays[name] for name in _PACKED)
    count = len(v_offset) - 1
    names = arrays["names"] if "names" in arrays else np.array([f"mesh{i}" for i in range(count)])
    ends = {"v_offset": (v_offset, len(vertices)), "f_offset": (f_offset, len(faces))}
    fit = all(o.ndim == 1 and o[0] == 0 and o[-1] == n and (np.diff(o) >= 0).all() for o, n in ends.values())
    if count < 1 or not fit or len(f_offset) != count + 1 or len(names) != count:
        raise DataError(
            f"{path.name}: the offsets do not cut vertices and faces into meshes",
            got={name: array.shape for name, array in arrays.items()},
            expected="v_offset and f_offset (meshes + 1) from 0 to the number of vertices and faces; names (meshes)",
        )
    pieces = zip(np.split(vertices, v_offset[1:-1]), np.split(faces, f_offset[1:-1]), names, strict=True)
    return [Mesh(v, f, f"{path.name}[{index}] {name}") for index, (v, f, name) in enumerate(pieces)]


def has_faces(path: Path) -> bool:
    """Return whether a file holds a surface; PLY and OBJ files may hold points alone."""
    ending = path.suffix.lower()
    if ending not in MESH_SUFFIXES or not path.is_file():
        return False
    if ending == ".ply":
        return parse_ply(path.read_bytes(), path.name).faces > 0
    if ending == ".obj":
        return any(line.split()[:1] == ["f"] for line in path.read_text("utf-8", errors="replace").splitlines())
    return True


def pad_meshes(
    meshes: Sequence[Mesh], dtype: torch.dtype = torch.float32
) -> tuple[Float[Tensor, "batch vertices 3"], Int64[Tensor, "batch faces 3"]]:
    """Return meshes as one batch for `sample_surface`, filled up with vertices at zero and faces without area.

    Raises:
        DataError: if there is no mesh.
    """
    if not meshes:
        raise DataError("a batch needs at least one mesh", got="an empty list")
    most = max(len(mesh.vertices) for mesh in meshes), max(len(mesh.faces) for mesh in meshes)
    vertices = torch.zeros(len(meshes), most[0], 3, dtype=dtype)
    faces = torch.zeros(len(meshes), most[1], 3, dtype=torch.int64)
    for index, mesh in enumerate(meshes):
        vertices[index, : len(mesh.vertices)] = torch.from_numpy(mesh.vertices)
        faces[index, : len(mesh.faces)] = torch.from_numpy(mesh.faces)
    return vertices, faces


def _require_trimesh() -> ModuleType:
    try:
        import trimesh
    except ImportError as error:
        raise MissingExtraError(
            "reading meshes needs trimesh", got="trimesh is not installed", fix="pip install 'intertwine[points]'"
        ) from error
    return trimesh
