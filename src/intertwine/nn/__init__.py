"""Layers that more than one system uses; each declares its symmetry."""

from intertwine.nn.activation import NormalizedActivation
from intertwine.nn.edge_conv import EdgeConv
from intertwine.nn.egnn import EGNNLayer
from intertwine.nn.gate import Gate, NormActivation
from intertwine.nn.linear import Linear, TypedLinear
from intertwine.nn.message_passing import message_passing
from intertwine.nn.norm import IrrepsNorm
from intertwine.nn.pair_messages import PairMessages, PairNetwork
from intertwine.nn.perceptron import affine_map, perceptron
from intertwine.nn.pointnet import PointNet
from intertwine.nn.radial import BesselBasis, CosineCutoff, GaussianBasis, PolynomialCutoff, RadialNetwork
from intertwine.nn.radial_field import RadialFieldLayer
from intertwine.nn.vector_blocks import VNInvariants, vector_block
from intertwine.nn.vector_deepsets import VectorDeepSets, VectorFeatures
from intertwine.nn.vector_neurons import VNBatchNorm, VNLeakyReLU, VNLinear, VNMaxPool, VNMeanPool

__all__ = [
    "BesselBasis",
    "CosineCutoff",
    "EGNNLayer",
    "EdgeConv",
    "Gate",
    "GaussianBasis",
    "IrrepsNorm",
    "Linear",
    "NormActivation",
    "NormalizedActivation",
    "PairMessages",
    "PairNetwork",
    "PointNet",
    "PolynomialCutoff",
    "RadialFieldLayer",
    "RadialNetwork",
    "TypedLinear",
    "VNBatchNorm",
    "VNInvariants",
    "VNLeakyReLU",
    "VNLinear",
    "VNMaxPool",
    "VNMeanPool",
    "VectorDeepSets",
    "VectorFeatures",
    "affine_map",
    "message_passing",
    "perceptron",
    "vector_block",
]
