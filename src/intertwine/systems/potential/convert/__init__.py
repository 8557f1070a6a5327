"""Potentials from models of other programs, and back: the same function, in this package's conventions."""

from intertwine.systems.potential.convert.mace import from_mace, to_mace

__all__ = ["from_mace", "to_mace"]
