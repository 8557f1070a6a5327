"""How groups act: irreps of O(3) and SO(2), harmonics, Wigner matrices, couplings, and actions on data."""

from intertwine.representations.actions import (
    AlongAxis,
    Blocks,
    Cartesian,
    Invariant,
    IrrepsTensor,
    NodeIndices,
    Permuted,
    Point,
    Representation,
    Vector,
)
from intertwine.representations.coupling import wigner_3j
from intertwine.representations.images import Image
from intertwine.representations.irreps import Irrep, Irreps, MulIrrep
from intertwine.representations.layout import LAYOUTS, Layout, check_layout, convert_layout, join_blocks, split_blocks
from intertwine.representations.so2 import SO2Entry, SO2Irreps, SO2IrrepsTensor
from intertwine.representations.spherical_harmonics import SphericalHarmonics, spherical_harmonics
from intertwine.representations.tables import TableModule
from intertwine.representations.wigner import irreps_matrix, wigner_D, wigner_D_upto

CONVENTION_VERSION = 1
"""Version of docs/conventions.md; stored with every checkpoint."""

__all__ = [
    "CONVENTION_VERSION",
    "LAYOUTS",
    "AlongAxis",
    "Blocks",
    "Cartesian",
    "Image",
    "Invariant",
    "Irrep",
    "Irreps",
    "IrrepsTensor",
    "Layout",
    "MulIrrep",
    "NodeIndices",
    "Permuted",
    "Point",
    "Representation",
    "SO2Entry",
    "SO2Irreps",
    "SO2IrrepsTensor",
    "SphericalHarmonics",
    "TableModule",
    "Vector",
    "check_layout",
    "convert_layout",
    "irreps_matrix",
    "join_blocks",
    "spherical_harmonics",
    "split_blocks",
    "wigner_3j",
    "wigner_D",
    "wigner_D_upto",
]
