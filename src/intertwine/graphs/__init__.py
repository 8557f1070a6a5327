"""Graphs: of atoms with their neighbour lists, and undirected ones from files; sums over segments, batches.

Edges go from a source (``edge_index[0]``) to a destination (``edge_index[1]``) and are sorted by destination.
"""

from intertwine.graphs.archives import read_graph_archive, write_graph_archive
from intertwine.graphs.batch import AtomBatch, AtomGraph, collate
from intertwine.graphs.edge_lists import read_edge_list
from intertwine.graphs.edges import NeighbourList, edge_vectors
from intertwine.graphs.families import circular_skip_links, rook, shrikhande
from intertwine.graphs.files import GRAPH_ENDINGS, read_graphs
from intertwine.graphs.graph import Graph, GraphBatch, pad_graphs
from intertwine.graphs.graph6 import format_graph6, parse_graph6, read_graph6, write_graph6
from intertwine.graphs.graphml import read_graphml
from intertwine.graphs.neighbours import neighbour_list
from intertwine.graphs.pyg import graph_from_pyg, graph_to_pyg
from intertwine.graphs.reference import neighbour_list_reference
from intertwine.graphs.refinement import colour_refinement, refinement_classes
from intertwine.graphs.segments import segment_mean, segment_softmax, segment_sum
from intertwine.graphs.tensors import TensorBatch

__all__ = [
    "GRAPH_ENDINGS",
    "AtomBatch",
    "AtomGraph",
    "Graph",
    "GraphBatch",
    "NeighbourList",
    "TensorBatch",
    "circular_skip_links",
    "collate",
    "colour_refinement",
    "edge_vectors",
    "format_graph6",
    "graph_from_pyg",
    "graph_to_pyg",
    "neighbour_list",
    "neighbour_list_reference",
    "pad_graphs",
    "parse_graph6",
    "read_edge_list",
    "read_graph6",
    "read_graph_archive",
    "read_graphml",
    "read_graphs",
    "refinement_classes",
    "rook",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
    "shrikhande",
    "write_graph6",
    "write_graph_archive",
]
