"""Clouds of points and meshes: files, samples of surfaces, neighbours, farthest points."""

from intertwine.points.farthest import FarthestPoints, farthest_points
from intertwine.points.ragged import check_clouds, cloud_sizes, pad_clouds

__all__ = ["FarthestPoints", "check_clouds", "cloud_sizes", "farthest_points", "pad_clouds"]
