"""Message passing on edges as one function: gather from the source, multiply, add up at the destination.

Networks call this function and never spell its three steps out. A product that does all three at once, keeping no
message of any edge in memory, has a method ``gather``, and that is used.
"""

from typing import Any, Protocol

from jaxtyping import Float, Int
from torch import Tensor

from intertwine.graphs import segment_sum
from intertwine.products import ChannelwiseTensorProduct

__all__ = ["EdgeProduct", "message_passing"]


class EdgeProduct(Protocol):
    """What an edge does to the features of its source: any equivariant product with weights a sample."""

    def __call__(self, x: Tensor, y: Any, weight: Tensor, /) -> Tensor:
        """Return one row an edge."""
        ...


def message_passing(
    product: EdgeProduct,
    features: Float[Tensor, "nodes dim_in"],
    attributes: Any,
    weights: Float[Tensor, "edges numel"],
    edge_index: Int[Tensor, "2 edges"],
) -> Float[Tensor, "nodes dim_out"]:
    """Return, for each destination, the sum over its edges of ``product(features[source], attributes, weights)``.

    Args:
        product: what an edge does to the features of its source.
        features: one row a node.
        attributes: what the product takes of each edge: harmonics (edges, dim_sh), vectors, or frames.
        weights: weights of the product, one row an edge.
        edge_index: row 0 the source, row 1 the destination of each edge.
    """
    if isinstance(product, ChannelwiseTensorProduct):
        return product.gather(features, attributes, weights, edge_index)
    source, destination = edge_index
    messages = product(features.index_select(0, source), attributes, weights)
    return segment_sum(messages, destination, features.shape[0])
