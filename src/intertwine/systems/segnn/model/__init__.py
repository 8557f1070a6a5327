"""The steerable graph network: tensors in, tensors out, symmetry declared."""

from intertwine.systems.segnn.model.irreps import attribute_irreps, balanced_channels, hidden_irreps
from intertwine.systems.segnn.model.network import SEGNN
from intertwine.systems.segnn.model.products import GatedProduct, SteerableProduct

__all__ = ["SEGNN", "GatedProduct", "SteerableProduct", "attribute_irreps", "balanced_channels", "hidden_irreps"]
