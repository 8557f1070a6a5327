"""Potentials from models of other programs: the same function, in this package's conventions."""

from intertwine.systems.potential.convert.mace import from_mace

__all__ = ["from_mace"]
