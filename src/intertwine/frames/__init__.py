"""Frames: a few group elements that an input chooses, over which any network is averaged to have a symmetry."""

from intertwine.frames.average import FrameAverage
from intertwine.frames.canonical_labelling import Automorphisms, MinimalGraphFrame, automorphisms, canonical_labelling
from intertwine.frames.centroid import CentroidFrame
from intertwine.frames.decorator import frame_averaged
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.faenet import FAENetFraming, FAENetMode, faenet_framing
from intertwine.frames.finite import FiniteFrame, matrices_of
from intertwine.frames.frame import Frame, Frames, pad_segments
from intertwine.frames.graph_average import FrameAverageGraph
from intertwine.frames.graph_frame import FullGraphFrame, GraphFrame, SortingFrame, orbit_representatives
from intertwine.frames.graph_signatures import Signatures, cluster_rows, laplacian_signatures
from intertwine.frames.learned import LearnedFrame, identity_prior
from intertwine.frames.learned_finite import (
    LearnedFiniteFrame,
    OrbitScores,
    choose_element,
    identity_cross_entropy,
)
from intertwine.frames.lorentz import LorentzFrame
from intertwine.frames.minimal import MinimalFrame
from intertwine.frames.ordered_partition import OrderedPartition
from intertwine.frames.ordering import PointOrder, canonical_order
from intertwine.frames.pca import PCAFrame
from intertwine.frames.permutations import PermutationFrames
from intertwine.frames.perturb import SplitAxes, split_degenerate
from intertwine.frames.piecewise import Memberships, PiecewiseFrameAverage, move_parts, piecewise_error
from intertwine.frames.planar import PlanarFrame
from intertwine.frames.pyg import FrameTransform
from intertwine.frames.regulariser import average_with_variance, frame_variance
from intertwine.frames.set_average import FrameAverageSet
from intertwine.frames.set_frame import (
    DirectionsFrame,
    FullSetFrame,
    ListedFrame,
    RandomDirectionFrame,
    SetFrame,
    separated_directions,
)
from intertwine.frames.stability import Stability, measure_stability
from intertwine.frames.weighted import WeightedFrame

__all__ = [
    "Automorphisms",
    "CentroidFrame",
    "DirectionsFrame",
    "FAENetFraming",
    "FAENetMode",
    "FiniteFrame",
    "Frame",
    "FrameAverage",
    "FrameAverageGraph",
    "FrameAverageSet",
    "FrameTransform",
    "Frames",
    "FullGraphFrame",
    "FullSetFrame",
    "GraphFrame",
    "LearnedFiniteFrame",
    "LearnedFrame",
    "ListedFrame",
    "LorentzFrame",
    "Memberships",
    "MinimalFrame",
    "MinimalGraphFrame",
    "OrbitScores",
    "OrderedPartition",
    "PCAFrame",
    "PermutationFrames",
    "PiecewiseFrameAverage",
    "PlanarFrame",
    "PointOrder",
    "RandomDirectionFrame",
    "SetFrame",
    "Signatures",
    "SortingFrame",
    "SplitAxes",
    "Stability",
    "WeightedFrame",
    "automorphisms",
    "average_with_variance",
    "canonical_labelling",
    "canonical_order",
    "choose_element",
    "cluster_rows",
    "faenet_framing",
    "frame_averaged",
    "frame_variance",
    "identity_cross_entropy",
    "identity_prior",
    "laplacian_signatures",
    "matrices_of",
    "measure_stability",
    "move_parts",
    "orbit_representatives",
    "pad_segments",
    "piecewise_error",
    "separated_directions",
    "split_degenerate",
    "symmetric_eigh",
]
