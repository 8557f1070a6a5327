"""Message passing on edges as one function: gather from the source, multiply, add up at the destination.

Networks call this function and never spell its three steps out, so that a fused implementation, which keeps no message
of any edge in memory, can take its place without a change of callers.
"""

from jaxtyping import Float, Int
from torch import Tensor

from intertwine.graphs import segment_sum
from intertwine.products import ChannelwiseTensorProduct
from intertwine.representations.layout import join_blocks

__all__ = ["message_passing"]


def message_passing(
    product: ChannelwiseTensorProduct,
    features: Float[Tensor, "nodes dim_in"],
    harmonics: Float[Tensor, "edges dim_sh"],
    weights: Float[Tensor, "edges numel"],
    edge_index: Int[Tensor, "2 edges"],
) -> Float[Tensor, "nodes dim_out"]:
    """Return, for each destination, the sum over its edges of ``product(features[source], harmonics, weights)``.

    Args:
        product: what an edge does to the features of its source.
        features: one row a node.
        harmonics: spherical harmonics of each edge.
        weights: weights of the product, one row an edge.
        edge_index: row 0 the source, row 1 the destination of each edge.
    """
    source, destination = edge_index
    messages = product.blocks(features.index_select(0, source), harmonics, weights)
    sums = [segment_sum(block, destination, features.shape[0]) for block in messages]
    return join_blocks(sums, product.layout)
