"""Graphs of atoms: neighbour lists, sums and softmax over segments, single graphs and batches of them.

Edges go from a source (``edge_index[0]``) to a destination (``edge_index[1]``) and are sorted by destination.
"""

from intertwine.graphs.batch import AtomBatch, AtomGraph, collate
from intertwine.graphs.edges import NeighbourList, edge_vectors
from intertwine.graphs.neighbours import neighbour_list
from intertwine.graphs.reference import neighbour_list_reference
from intertwine.graphs.segments import segment_mean, segment_softmax, segment_sum
from intertwine.graphs.tensors import TensorBatch

__all__ = [
    "AtomBatch",
    "AtomGraph",
    "NeighbourList",
    "TensorBatch",
    "collate",
    "edge_vectors",
    "neighbour_list",
    "neighbour_list_reference",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
]
