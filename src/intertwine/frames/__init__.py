"""Frames: a few group elements that an input chooses, over which any network is averaged to have a symmetry."""

from intertwine.frames.average import FrameAverage
from intertwine.frames.centroid import CentroidFrame
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.frame import Frame, Frames, pad_segments
from intertwine.frames.lorentz import LorentzFrame
from intertwine.frames.minimal import MinimalFrame
from intertwine.frames.ordering import PointOrder, canonical_order
from intertwine.frames.pca import PCAFrame
from intertwine.frames.perturb import SplitAxes, split_degenerate
from intertwine.frames.piecewise import Memberships, PiecewiseFrameAverage, move_parts, piecewise_error
from intertwine.frames.stability import Stability, measure_stability
from intertwine.frames.weighted import WeightedFrame

__all__ = [
    "CentroidFrame",
    "Frame",
    "FrameAverage",
    "Frames",
    "LorentzFrame",
    "Memberships",
    "MinimalFrame",
    "PCAFrame",
    "PiecewiseFrameAverage",
    "PointOrder",
    "SplitAxes",
    "Stability",
    "WeightedFrame",
    "canonical_order",
    "measure_stability",
    "move_parts",
    "pad_segments",
    "piecewise_error",
    "split_degenerate",
    "symmetric_eigh",
]
