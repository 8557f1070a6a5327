"""Frames: a few group elements that an input chooses, over which any network is averaged to have a symmetry."""

from intertwine.frames.canonical_labelling import Automorphisms, MinimalGraphFrame, automorphisms, canonical_labelling
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.graph_average import FrameAverageGraph
from intertwine.frames.graph_frame import FullGraphFrame, GraphFrame, SortingFrame, orbit_representatives
from intertwine.frames.graph_signatures import Signatures, cluster_rows, laplacian_signatures
from intertwine.frames.ordered_partition import OrderedPartition
from intertwine.frames.permutations import PermutationFrames
from intertwine.frames.set_frame import (
    DirectionsFrame,
    FullSetFrame,
    ListedFrame,
    RandomDirectionFrame,
    SetFrame,
    separated_directions,
)

__all__ = [
    "Automorphisms",
    "DirectionsFrame",
    "Frame",
    "FrameAverageGraph",
    "Frames",
    "FullGraphFrame",
    "FullSetFrame",
    "GraphFrame",
    "ListedFrame",
    "MinimalGraphFrame",
    "OrderedPartition",
    "PermutationFrames",
    "RandomDirectionFrame",
    "SetFrame",
    "Signatures",
    "SortingFrame",
    "automorphisms",
    "canonical_labelling",
    "cluster_rows",
    "laplacian_signatures",
    "orbit_representatives",
    "separated_directions",
]
