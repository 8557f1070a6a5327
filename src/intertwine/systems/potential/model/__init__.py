"""The networks of the potential system: tensors in, tensors out, symmetry declared."""

from intertwine.systems.potential.model.mace import MACE
from intertwine.systems.potential.model.nequip import NequIP
from intertwine.systems.potential.model.potential import Potential

__all__ = ["MACE", "NequIP", "Potential"]
