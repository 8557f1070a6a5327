"""Equivariant products of features: all of them, what each can couple, and what it costs."""

from intertwine.products.channelwise import ChannelwiseTensorProduct
from intertwine.products.clebsch_gordan import ElementwiseTensorProduct, FullyConnectedTensorProduct, TensorProduct
from intertwine.products.clebsch_gordan_products import ClebschGordanDense, ClebschGordanSparse
from intertwine.products.gaunt.convolution import GauntConvolution
from intertwine.products.gaunt.curl import GauntComplete, GauntCurl
from intertwine.products.gaunt.fourier import GauntFourier, GauntFourierFFT
from intertwine.products.gaunt.grid import GauntDense, GauntGrid
from intertwine.products.gaunt.layers import GauntTensorProduct
from intertwine.products.gaunt.many_body import GauntManyBody
from intertwine.products.gaunt.parity import ParityGauntTensorProduct, SelfMix
from intertwine.products.gaunt.separable import GauntGridSeparable
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.products.low_rank import LowRankProduct
from intertwine.products.matrix import MatrixProduct, ParityMatrixProduct
from intertwine.products.paths import MODES, Path, Problem
from intertwine.products.product import Interaction, Product
from intertwine.products.so2.convolution import SO2Convolution, SO2Linear
from intertwine.products.so2.edge_frames import EdgeFrame, EdgeFrames
from intertwine.products.so2.linear import SO2LinearConvolution
from intertwine.products.so2.paths import paths_from_so2, so2_from_paths
from intertwine.products.survey.auto import Choice, choose_product
from intertwine.products.survey.bench_table import BenchRow, read_bench, write_bench
from intertwine.products.survey.catalogue import PRODUCTS, ProductEntry
from intertwine.products.survey.expressivity import Expressivity, expressivity, layer_expressivity
from intertwine.products.survey.path_counts import count_paths
from intertwine.products.survey.registry import explain, list_products, make_product
from intertwine.products.survey.setting import Setting, make_setting
from intertwine.products.symmetric_basis import count_coupling_trees, symmetric_basis
from intertwine.products.symmetric_contraction import SymmetricContraction
from intertwine.products.vector_spherical import ScalarVectorProduct, VectorDotProduct, VectorSphericalProduct

__all__ = [
    "MODES",
    "PRODUCTS",
    "BenchRow",
    "ChannelwiseTensorProduct",
    "Choice",
    "ClebschGordanDense",
    "ClebschGordanSparse",
    "EdgeFrame",
    "EdgeFrames",
    "ElementwiseTensorProduct",
    "Expressivity",
    "FullyConnectedTensorProduct",
    "GauntComplete",
    "GauntConvolution",
    "GauntCurl",
    "GauntDense",
    "GauntFourier",
    "GauntFourierFFT",
    "GauntGrid",
    "GauntGridSeparable",
    "GauntManyBody",
    "GauntTensorProduct",
    "Interaction",
    "LowRankProduct",
    "MatrixProduct",
    "ParityGauntTensorProduct",
    "ParityMatrixProduct",
    "Path",
    "Problem",
    "Product",
    "ProductEntry",
    "SO2Convolution",
    "SO2Linear",
    "SO2LinearConvolution",
    "ScalarVectorProduct",
    "SelfMix",
    "Setting",
    "SphereGrid",
    "SymmetricContraction",
    "TensorProduct",
    "VectorDotProduct",
    "VectorSphericalProduct",
    "choose_product",
    "count_coupling_trees",
    "count_paths",
    "explain",
    "expressivity",
    "layer_expressivity",
    "list_products",
    "make_product",
    "make_setting",
    "paths_from_so2",
    "read_bench",
    "so2_from_paths",
    "symmetric_basis",
    "write_bench",
]
