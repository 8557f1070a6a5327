"""A network of milliseconds, surfaces to try it on, and the fields of the published files."""

import numpy as np
import torch

from intertwine.systems.equiformer.data import Structure, checked_structure
from intertwine.systems.equiformer.settings import ModelSettings

SMALL = ModelSettings(
    layers=2,
    lmax=2,
    mmax=1,
    channels=4,
    heads=2,
    attention_hidden=4,
    attention_alpha=4,
    attention_value=3,
    feed_forward=5,
    cutoff=4.0,
    max_neighbours=8,
    elements=80,
    edge_channels=6,
    distance_basis=8,
    grid_degree=9,
)


def make_surface(seed=0, atoms=9, energy=True) -> Structure:
    """A sheared periodic slab of copper with oxygen on top; labels are random, a third of the atoms is fixed."""
    rng = np.random.default_rng(seed)
    cell = np.diag([5.2, 5.4, 12.0]) + 0.3 * rng.standard_normal((3, 3))
    grid = np.stack(np.meshgrid([0.1, 0.6], [0.1, 0.6], [0.1, 0.27, 0.44], indexing="ij"), -1).reshape(-1, 3)
    positions = grid[:atoms] @ cell + 0.15 * rng.standard_normal((atoms, 3))
    numbers = np.array([29] * (atoms - 1) + [8])
    return checked_structure(
        f"surface {seed}",
        numbers=numbers,
        positions=positions,
        cell=cell,
        pbc=(True, True, True),
        tags=[0] * (atoms - 3) + [1, 1, 2],
        fixed=np.arange(atoms) < atoms // 3,
        energy=rng.standard_normal() if energy else None,
        forces=rng.standard_normal((atoms, 3)) if energy else None,
    )


def graph_fields(structure: Structure) -> dict:
    """The fields of the published graphs, in their types."""
    count = len(structure.numbers)
    fields = {
        "pos": torch.tensor(structure.positions, dtype=torch.float32),
        "atomic_numbers": torch.tensor(structure.numbers, dtype=torch.float32),
        "cell": torch.tensor(structure.cell, dtype=torch.float32).unsqueeze(0),
        "natoms": count,
        "tags": torch.tensor(structure.tags, dtype=torch.float32),
        "fixed": torch.tensor(~structure.free, dtype=torch.float32),
        "edge_index": torch.zeros(2, 5, dtype=torch.int64),
        "sid": 17,
        "fid": 4,
    }
    if structure.energy is not None:
        fields |= {"y": structure.energy, "force": torch.tensor(structure.forces, dtype=torch.float32)}
    return fields
