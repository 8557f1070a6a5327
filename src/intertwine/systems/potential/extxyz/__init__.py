"""Reading atomic structures and their labels from extended XYZ and the other formats of ASE."""

from intertwine.systems.potential.extxyz.frames import Frame, read_frames, require_ase
from intertwine.systems.potential.extxyz.graphs import make_graphs, species_of, symbols_of
from intertwine.systems.potential.extxyz.structures import Structure, read_isolated_atoms, read_structures

__all__ = [
    "Frame",
    "Structure",
    "make_graphs",
    "read_frames",
    "read_isolated_atoms",
    "read_structures",
    "require_ase",
    "species_of",
    "symbols_of",
]
