"""Articulated human bodies: one mesh in several shapes, its joints, motions of its parts, and how they pose it.

Lengths are in metres, y is up. A part j moves as x -> R_j (x - J_j) + q_j, where J_j is its joint at rest and R_j its
rotation from rest, of the whole body and not of its parent; q_0 is given, and every other joint stays in its parent:
q_j = R_p (J_j - J_p) + q_p. Skin follows the parts by weights (``smooth``), or the part of its largest weight
(``rigid``), which makes bodies exactly piecewise rigid.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.points.arrays import load_arrays

__all__ = ["Bodies", "Motion", "merged_sides", "read_bodies"]

_FILES = {
    "template.npz": ("faces", "part_weights", "part_names", "part_parent"),
    "subjects.npz": ("vertices", "joints", "names"),
    "motions.npz": ("sequences",),
}


@final
@dataclass(frozen=True)
class Motion:
    """A sequence of poses that any body can take.

    Args:
        rotations: of each part from its rest, in each frame.
        roots: where the joint of the first part is.
    """

    rotations: Float64[Tensor, "frames parts 3 3"]
    roots: Float64[Tensor, "frames 3"]

    def __len__(self) -> int:
        return len(self.roots)


@dataclass(frozen=True)
class Bodies:
    """Bodies that share a mesh and its parts, and motions.

    Args:
        vertices: at rest, of each body.
        faces: triangles.
        weights: how much each vertex follows each part; they add up to one.
        joints: at rest, of each body.
        parents: the part that each part is attached to, one with a lower number; -1 for the first.
        parts: their names.
        subjects: names of the bodies.
        motions: by name.
    """

    vertices: Float64[Tensor, "subjects vertices 3"]
    faces: Int64[Tensor, "faces 3"]
    weights: Float64[Tensor, "vertices parts"]
    joints: Float64[Tensor, "subjects parts 3"]
    parents: tuple[int, ...]
    parts: tuple[str, ...]
    subjects: tuple[str, ...]
    motions: dict[str, Motion]

    @cached_property
    def poses(self) -> Motion:
        """All motions one after another, in their order."""
        motions = self.motions.values()
        return Motion(torch.cat([m.rotations for m in motions]), torch.cat([m.roots for m in motions]))

    def transforms(
        self, subject: Int64[Tensor, " clouds"], pose: Int64[Tensor, " clouds"]
    ) -> tuple[Float64[Tensor, "clouds parts 3 3"], Float64[Tensor, "clouds parts 3"]]:
        """Return how the parts of bodies move in a pose: x -> R x + t.

        Args:
            subject: number of the body.
            pose: number of the frame in `poses`.
        """
        rotations, joints = self.poses.rotations[pose], self.joints[subject]
        placed = self.joint_positions(subject, pose)
        return rotations, placed - (rotations @ joints.unsqueeze(-1)).squeeze(-1)

    def joint_positions(
        self, subject: Int64[Tensor, " clouds"], pose: Int64[Tensor, " clouds"]
    ) -> Float64[Tensor, "clouds parts 3"]:
        """Return where the joints of bodies are in a pose; arguments are those of `transforms`."""
        rotations, joints = self.poses.rotations[pose], self.joints[subject]
        placed = [self.poses.roots[pose]]
        for part, parent in enumerate(self.parents[1:], start=1):
            bone = (joints[:, part] - joints[:, parent]).unsqueeze(-1)
            placed.append((rotations[:, parent] @ bone).squeeze(-1) + placed[parent])
        return torch.stack(placed, dim=1)

    def pose(
        self,
        subject: Int64[Tensor, " clouds"],
        pose: Int64[Tensor, " clouds"],
        kind: Literal["smooth", "rigid"] = "smooth",
    ) -> Float64[Tensor, "clouds vertices 3"]:
        """Return the vertices of bodies in a pose; the first two arguments are those of `transforms`."""
        rotations, shifts = self.transforms(subject, pose)
        weights = self.weights if kind == "smooth" else one_hot_largest(self.weights)
        return blend(rotations, shifts, weights.expand(len(subject), -1, -1), self.vertices[subject])

    def frame(self, sequence: str, frame: int) -> int:
        """Return the number in `poses` of a frame of a motion.

        Raises:
            DataError: if there is no such motion or frame.
        """
        first = 0
        for name, motion in self.motions.items():
            if name == sequence:
                if not 0 <= frame < len(motion):
                    raise DataError(f"motion {name} has no such frame", got=frame, expected=f"0 to {len(motion) - 1}")
                return first + frame
            first += len(motion)
        raise DataError("there is no such motion", got=sequence, expected=f"one of {', '.join(self.motions)}")


def blend(
    rotations: Float[Tensor, "clouds parts 3 3"],
    shifts: Float[Tensor, "clouds parts 3"],
    weights: Float[Tensor, "clouds points parts"],
    points: Float[Tensor, "clouds points 3"],
) -> Float[Tensor, "clouds points 3"]:
    """Return points moved by the weighted means of the maps x -> R x + t of their parts."""
    maps = torch.cat([rotations.flatten(2), shifts], dim=2)
    mixed = weights @ maps
    turned = (mixed[..., :9].unflatten(-1, (3, 3)) * points.unsqueeze(-2)).sum(-1)
    return turned + mixed[..., 9:]


def one_hot_largest(weights: Float[Tensor, "*points parts"]) -> Float[Tensor, "*points parts"]:
    """Return weights that are one for the largest, the first of equals, and zero for the others."""
    return torch.zeros_like(weights).scatter_(-1, weights.argmax(-1, keepdim=True), 1.0)


def merged_sides(parts: tuple[str, ...]) -> tuple[tuple[str, ...], Int64[Tensor, " parts"]]:
    """Return the names of parts without the side (``L_``, ``R_``), and for each part which of them it has.

    Example:
        >>> merged_sides(("pelvis", "L_hand", "R_hand"))
        (('pelvis', 'hand'), tensor([0, 1, 1]))
    """
    short = [name.removeprefix("L_").removeprefix("R_") for name in parts]
    names = tuple(dict.fromkeys(short))
    return names, torch.tensor([names.index(name) for name in short])


def read_bodies(folder: str | Path) -> Bodies:
    """Return the bodies and motions of a folder with ``template.npz``, ``subjects.npz`` and ``motions.npz``.

    Rotations are stored in single precision; they are made orthogonal to double precision here, so that rigid parts
    keep their distances exactly.

    Raises:
        DataError: if a file or an array is missing, arrays do not fit together, or a rotation is none.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError("there is no such folder of bodies", got=folder, expected=f"a folder with {', '.join(_FILES)}")
    found: dict[str, np.ndarray] = {}
    for name, needed in _FILES.items():
        arrays = load_arrays(folder / name)
        _need(folder / name, arrays, needed)
        found |= arrays
    names = tuple(str(name) for name in found["sequences"])
    _need(folder / "motions.npz", found, [f"{kind}_{name}" for name in names for kind in ("rot", "root")])
    _check_shapes(folder, found, names)
    motions = {
        name: Motion(
            _orthogonal(torch.from_numpy(found[f"rot_{name}"]).double(), f"{folder / 'motions.npz'}: rot_{name}"),
            torch.from_numpy(found[f"root_{name}"]).double(),
        )
        for name in names
    }
    weights = torch.from_numpy(found["part_weights"]).double()
    return Bodies(
        vertices=torch.from_numpy(found["vertices"]).double(),
        faces=torch.from_numpy(found["faces"].astype(np.int64)),
        weights=weights / weights.sum(-1, keepdim=True),
        joints=torch.from_numpy(found["joints"]).double(),
        parents=tuple(int(parent) for parent in found["part_parent"]),
        parts=tuple(str(name) for name in found["part_names"]),
        subjects=tuple(str(name) for name in found["names"]),
        motions=motions,
    )


def _need(path: Path, arrays: dict[str, np.ndarray], needed: "tuple[str, ...] | list[str]") -> None:
    absent = [name for name in needed if name not in arrays]
    if absent:
        raise DataError(f"{path} lacks {', '.join(absent)}", got=", ".join(arrays), expected=", ".join(needed))


def _check_shapes(folder: Path, found: dict[str, np.ndarray], names: tuple[str, ...]) -> None:
    bodies, vertices, parts = len(found["names"]), found["part_weights"].shape[0], len(found["part_names"])
    shapes = {
        "vertices": (bodies, vertices, 3),
        "part_weights": (vertices, parts),
        "joints": (bodies, parts, 3),
        "part_parent": (parts,),
        "faces": (*found["faces"].shape[:1], 3),
    }
    for name in names:
        frames = len(found[f"root_{name}"])
        shapes |= {f"rot_{name}": (frames, parts, 3, 3), f"root_{name}": (frames, 3)}
    for name, shape in shapes.items():
        array = found[name]
        if array.shape != shape or 0 in shape or not np.isfinite(array).all():
            raise DataError(f"{folder}: {name} does not fit", got=array.shape, expected=f"{shape}, finite numbers")
    faces, parents = found["faces"], found["part_parent"]
    if int(faces.min()) < 0 or int(faces.max()) >= vertices:
        raise DataError(
            f"{folder}: a face has a corner that is no vertex", got=int(faces.max()), expected=f"0 to {vertices - 1}"
        )
    if (found["part_weights"] < 0).any() or not np.allclose(found["part_weights"].sum(1), 1, atol=1e-3):
        raise DataError(f"{folder}: the weights of a vertex do not add up to one", got="part_weights")
    if any(not -1 <= parent < part or (parent < 0) != (part == 0) for part, parent in enumerate(parents)):
        raise DataError(
            f"{folder}: parts do not form a tree",
            got=parents.tolist(),
            expected="-1 first, then for each part one with a lower number",
        )


def _orthogonal(rotations: Float64[Tensor, "*batch 3 3"], where: str) -> Float64[Tensor, "*batch 3 3"]:
    """Return the nearest orthogonal matrices, by Newton's iteration from where rounding left them."""
    product = rotations.mT @ rotations
    identity = torch.eye(3, dtype=rotations.dtype)
    if not torch.allclose(product, identity.expand_as(product), atol=1e-3) or bool((rotations.det() < 0).any()):
        raise DataError(f"{where} are no rotations", got="R^T R is not the identity, or a reflection")
    for _ in range(3):
        rotations = rotations @ (1.5 * identity - 0.5 * rotations.mT @ rotations)
    return rotations
