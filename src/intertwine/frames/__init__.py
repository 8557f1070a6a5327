"""Frames: a few group elements that an input chooses, over which any network is averaged to have a symmetry."""

from intertwine.frames.frame import Frame, Frames

__all__ = ["Frame", "Frames"]
