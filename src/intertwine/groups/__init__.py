"""What acts: groups as immutable values whose elements are tensors in batches.

``intertwine.groups.group`` states the contract; ``intertwine.groups.rotations`` converts between notations of
rotations.
"""

from intertwine.groups.embedded import Embedded
from intertwine.groups.euclidean import SE, E, homogeneous
from intertwine.groups.group import Element, FiniteGroup, Group
from intertwine.groups.linear import GL, SL, Affine, GLPlus
from intertwine.groups.lorentz import Lorentz, ProperLorentz, minkowski_metric
from intertwine.groups.orthogonal import SO, O
from intertwine.groups.parse import parse_group
from intertwine.groups.permutations import SymmetricGroup
from intertwine.groups.planar import CyclicGroup, DihedralGroup
from intertwine.groups.product import ProductGroup
from intertwine.groups.translations import T
from intertwine.groups.unitary import SU, U, complex_to_real, real_to_complex

__all__ = [
    "GL",
    "SE",
    "SL",
    "SO",
    "SU",
    "Affine",
    "CyclicGroup",
    "DihedralGroup",
    "E",
    "Element",
    "Embedded",
    "FiniteGroup",
    "GLPlus",
    "Group",
    "Lorentz",
    "O",
    "ProductGroup",
    "ProperLorentz",
    "SymmetricGroup",
    "T",
    "U",
    "complex_to_real",
    "homogeneous",
    "minkowski_metric",
    "parse_group",
    "real_to_complex",
]
