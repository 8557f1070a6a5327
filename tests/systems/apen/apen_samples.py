"""Small data of every kind that APEN learns from, written as files."""

import json
from itertools import product

import numpy as np

SEQUENCES = {"walk": 4, "jump": 3, "sit": 5}
PARTS = ("torso", "L_hand", "R_hand")


def rotations(rng, *shape):
    """Uniform rotations, from the QR decomposition of normal numbers."""
    q, r = np.linalg.qr(rng.normal(size=(*shape, 3, 3)))
    q = q * np.sign(np.diagonal(r, axis1=-2, axis2=-1))[..., None, :]
    q[..., 0] *= np.linalg.det(q)[..., None]
    return q


def box(centre, half):
    """Corners of a box and its twelve triangles."""
    corners = np.array(list(product((-1.0, 1.0), repeat=3))) * half + centre
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    return corners, np.array([(a, b, c) for a, b, c, _ in quads] + [(a, c, d) for a, _, c, d in quads])


def body_arrays(seed=0):
    """Two bodies of three boxes, and three motions: the arrays of the three files."""
    rng = np.random.default_rng(seed)
    pieces = [box((0, 0, 0), (0.4, 0.6, 0.2)), box((1, 0, 0), (0.3, 0.2, 0.1)), box((-1, 0, 0), (0.3, 0.2, 0.1))]
    rest = np.concatenate([corners for corners, _ in pieces])
    faces = np.concatenate([triangles + 8 * place for place, (_, triangles) in enumerate(pieces)])
    weights = 0.8 * np.repeat(np.eye(3), 8, axis=0) + 0.2 * rng.dirichlet(np.ones(3), 24)
    joints = np.array([(0.0, 0, 0), (0.6, 0.1, 0), (-0.6, 0.1, 0)])
    return {
        "template": {
            "faces": faces.astype(np.uint16),
            "part_weights": weights.astype(np.float32),
            "part_names": np.array(PARTS),
            "part_parent": np.array([-1, 0, 0], np.int8),
        },
        "subjects": {
            "vertices": np.stack([rest, 0.7 * rest]).astype(np.float32),
            "joints": np.stack([joints, 0.7 * joints]).astype(np.float32),
            "names": np.array(["large", "small"]),
        },
        "motions": {
            "sequences": np.array(list(SEQUENCES)),
            **{f"rot_{name}": rotations(rng, frames, 3).astype(np.float32) for name, frames in SEQUENCES.items()},
            **{f"root_{name}": rng.normal(size=(frames, 3)).astype(np.float32) for name, frames in SEQUENCES.items()},
        },
    }


def write_bodies(folder, change=None):
    """Write a folder of bodies; ``change(arrays)`` may damage them first."""
    arrays = body_arrays()
    if change is not None:
        change(arrays)
    folder.mkdir(exist_ok=True)
    for name, held in arrays.items():
        np.savez(folder / f"{name}.npz", **held)
    return folder


def write_rooms(path, scenes=2, points=60, change=None):
    """Write rooms of two objects in three configurations, each object a small ball."""
    rng = np.random.default_rng(0)
    arrays = {"n_scenes": scenes, "n_configs": 3, "kind_names": np.array(["chair", "round_table", "bin"])}
    for scene in range(scenes):
        labels = np.stack([rng.permutation(np.arange(points) % 3) for _ in range(3)])
        poses = np.tile(np.eye(4), (3, 2, 1, 1))
        poses[..., :3, 3] = rng.normal(size=(3, 2, 3))
        centres = np.concatenate([np.zeros((3, 1, 3)), poses[..., :3, 3]], axis=1)
        cloud = np.take_along_axis(centres, labels[..., None], axis=1) + 0.1 * rng.normal(size=(3, points, 3))
        arrays |= {f"points_{scene}": cloud.astype(np.float32), f"labels_{scene}": labels.astype(np.uint8)}
        arrays |= {f"poses_{scene}": poses.astype(np.float32), f"kinds_{scene}": np.array([1, scene], np.int8)}
    if change is not None:
        change(arrays)
    np.savez(path, **arrays)
    return path


def write_multibody(folder, views=3, points=20, trans=None):
    """Write one item of a MultiBodySync folder and return its points, parts and poses by name."""
    rng = np.random.default_rng(0)
    own = rng.normal(size=(points, 3))
    parts = 1 + np.arange(points) % 2
    poses = {name: [rigid(rng) for _ in range(views)] for name in ("cam", 1, 2)}
    clouds = []
    for view in range(views):
        world = np.stack([poses[part][view] @ (*point, 1) for part, point in zip(parts, own, strict=True)])
        clouds.append((np.linalg.inv(poses["cam"][view]) @ world.T).T[:, :3])
    (folder / "data").mkdir(parents=True, exist_ok=True)
    stored = np.array(poses if trans is None else trans, dtype=object)
    np.savez(
        folder / "data" / "000007.npz",
        pc=np.stack(clouds).astype(np.float32),
        segm=np.tile(parts, (views, 1)),
        trans=stored,
    )
    (folder / "meta.json").write_text(json.dumps({"train": [7], "test": [7]}))
    return np.stack(clouds), parts, poses


def rigid(rng):
    """A random rotation with a random shift, as a homogeneous matrix."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotations(rng), rng.normal(size=3)
    return pose
