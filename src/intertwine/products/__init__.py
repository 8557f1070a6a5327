"""Equivariant products of features: all of them, what each can couple, and what it costs."""

from intertwine.products.channelwise import ChannelwiseTensorProduct
from intertwine.products.clebsch_gordan import (
    ElementwiseTensorProduct,
    FullyConnectedTensorProduct,
    TensorProduct,
)
from intertwine.products.edge_frames import EdgeFrame, EdgeFrames
from intertwine.products.gaunt_convolution import GauntConvolution
from intertwine.products.gaunt_many_body import GauntManyBody
from intertwine.products.paths import MODES, Path, Problem
from intertwine.products.product import Interaction, Product
from intertwine.products.so2 import SO2Convolution, SO2Linear
from intertwine.products.symmetric_basis import count_coupling_trees, symmetric_basis
from intertwine.products.symmetric_contraction import SymmetricContraction

__all__ = [
    "MODES",
    "ChannelwiseTensorProduct",
    "EdgeFrame",
    "EdgeFrames",
    "ElementwiseTensorProduct",
    "FullyConnectedTensorProduct",
    "GauntConvolution",
    "GauntManyBody",
    "Interaction",
    "Path",
    "Problem",
    "Product",
    "SO2Convolution",
    "SO2Linear",
    "SymmetricContraction",
    "TensorProduct",
    "count_coupling_trees",
    "symmetric_basis",
]
