"""What acts: groups as immutable values whose elements are tensors in batches.

``intertwine.groups.group`` states the contract; ``intertwine.groups.rotations`` converts between notations of
rotations.
"""

from intertwine.groups.euclidean import SE, E, homogeneous
from intertwine.groups.group import Element, FiniteGroup, Group
from intertwine.groups.linear import SL, Affine, GLPlus
from intertwine.groups.orthogonal import SO, O
from intertwine.groups.parse import parse_group
from intertwine.groups.permutations import SymmetricGroup
from intertwine.groups.planar import CyclicGroup, DihedralGroup
from intertwine.groups.product import ProductGroup
from intertwine.groups.translations import T

__all__ = [
    "SE",
    "SL",
    "SO",
    "Affine",
    "CyclicGroup",
    "DihedralGroup",
    "E",
    "Element",
    "FiniteGroup",
    "GLPlus",
    "Group",
    "O",
    "ProductGroup",
    "SymmetricGroup",
    "T",
    "homogeneous",
    "parse_group",
]
