"""Data of atoms on surfaces: readers of OC20 and of ASE's files, surfaces made here, graphs, and the data module."""

from intertwine.systems.equiformer.data.atoms_files import read_atoms_file, structure_of
from intertwine.systems.equiformer.data.generated import make_surfaces
from intertwine.systems.equiformer.data.graphs import (
    SurfaceBatch,
    SurfaceGraph,
    collate_surfaces,
    make_graph,
    nearest,
)
from intertwine.systems.equiformer.data.lmdb_files import LmdbStructures
from intertwine.systems.equiformer.data.module import SurfaceData, make_data, read_structures
from intertwine.systems.equiformer.data.pickles import unpickle_graph
from intertwine.systems.equiformer.data.statistics import Statistics, measure
from intertwine.systems.equiformer.data.structures import Structure, checked_structure

__all__ = [
    "LmdbStructures",
    "Statistics",
    "Structure",
    "SurfaceBatch",
    "SurfaceData",
    "SurfaceGraph",
    "checked_structure",
    "collate_surfaces",
    "make_data",
    "make_graph",
    "make_surfaces",
    "measure",
    "nearest",
    "read_atoms_file",
    "read_structures",
    "structure_of",
    "unpickle_graph",
]
