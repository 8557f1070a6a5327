"""Frames: a few group elements that an input chooses, over which any network is averaged to have a symmetry."""

from intertwine.frames.average import FrameAverage
from intertwine.frames.centroid import CentroidFrame
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.faenet import FAENetFraming, FAENetMode, faenet_framing
from intertwine.frames.finite import FiniteFrame, matrices_of
from intertwine.frames.frame import Frame, Frames, pad_segments
from intertwine.frames.lorentz import LorentzFrame
from intertwine.frames.minimal import MinimalFrame
from intertwine.frames.ordering import PointOrder, canonical_order
from intertwine.frames.pca import PCAFrame
from intertwine.frames.perturb import SplitAxes, split_degenerate
from intertwine.frames.piecewise import Memberships, PiecewiseFrameAverage, move_parts, piecewise_error
from intertwine.frames.planar import PlanarFrame
from intertwine.frames.pyg import FrameTransform
from intertwine.frames.regulariser import average_with_variance, frame_variance
from intertwine.frames.stability import Stability, measure_stability
from intertwine.frames.weighted import WeightedFrame

__all__ = [
    "CentroidFrame",
    "FAENetFraming",
    "FAENetMode",
    "FiniteFrame",
    "Frame",
    "FrameAverage",
    "FrameTransform",
    "Frames",
    "LorentzFrame",
    "Memberships",
    "MinimalFrame",
    "PCAFrame",
    "PiecewiseFrameAverage",
    "PlanarFrame",
    "PointOrder",
    "SplitAxes",
    "Stability",
    "WeightedFrame",
    "average_with_variance",
    "canonical_order",
    "faenet_framing",
    "frame_variance",
    "matrices_of",
    "measure_stability",
    "move_parts",
    "pad_segments",
    "piecewise_error",
    "split_degenerate",
    "symmetric_eigh",
]
