"""Clouds whose parts move on their own: posed bodies, scans of rooms, mechanisms, and your own files."""

from intertwine.systems.apen.data.batch import CloudSet, DrawnClouds, PartBatch, make_batch

__all__ = ["CloudSet", "DrawnClouds", "PartBatch", "make_batch"]
