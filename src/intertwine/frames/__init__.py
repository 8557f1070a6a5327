"""Frames: a few group elements that an input chooses, over which any network is averaged to have a symmetry."""

from intertwine.frames.average import FrameAverage
from intertwine.frames.centroid import CentroidFrame
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.frame import Frame, Frames, pad_segments
from intertwine.frames.pca import PCAFrame
from intertwine.frames.stability import Stability, measure_stability

__all__ = [
    "CentroidFrame",
    "Frame",
    "FrameAverage",
    "Frames",
    "PCAFrame",
    "Stability",
    "measure_stability",
    "pad_segments",
    "symmetric_eigh",
]
