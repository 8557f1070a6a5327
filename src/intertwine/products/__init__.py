"""Equivariant products of features: Clebsch-Gordan tensor products and symmetric contractions."""

from intertwine.products.channelwise import ChannelwiseTensorProduct
from intertwine.products.clebsch_gordan import (
    ElementwiseTensorProduct,
    FullyConnectedTensorProduct,
    TensorProduct,
)
from intertwine.products.paths import MODES, Path, Problem
from intertwine.products.symmetric_basis import count_coupling_trees, symmetric_basis
from intertwine.products.symmetric_contraction import SymmetricContraction

__all__ = [
    "MODES",
    "ChannelwiseTensorProduct",
    "ElementwiseTensorProduct",
    "FullyConnectedTensorProduct",
    "Path",
    "Problem",
    "SymmetricContraction",
    "TensorProduct",
    "count_coupling_trees",
    "symmetric_basis",
]
