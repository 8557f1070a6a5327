"""Atoms and files of atoms: frames that ASE reads, structures with their labels, and the graphs made of them.

ASE is imported when a file is read or written, and nowhere else.
"""

from intertwine.atoms.elements import species_of, symbols_of
from intertwine.atoms.frames import Frame, read_frames, require_ase
from intertwine.atoms.graphs import build_graph, make_graphs, naming
from intertwine.atoms.labels import entries, missing_label, read_labels
from intertwine.atoms.predictions import attach_results, extxyz_text
from intertwine.atoms.reference_energies import fit_atomic_energies
from intertwine.atoms.structures import Structure, read_isolated_atoms, read_structures

__all__ = [
    "Frame",
    "Structure",
    "attach_results",
    "build_graph",
    "entries",
    "extxyz_text",
    "fit_atomic_energies",
    "make_graphs",
    "missing_label",
    "naming",
    "read_frames",
    "read_isolated_atoms",
    "read_labels",
    "read_structures",
    "require_ase",
    "species_of",
    "symbols_of",
]
