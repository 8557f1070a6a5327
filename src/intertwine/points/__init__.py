"""Clouds of points and meshes: files, samples of surfaces, neighbours, farthest points, planes."""

from intertwine.points.clouds import (
    CLOUD_SUFFIXES,
    Cloud,
    cloud_bytes,
    read_cloud,
    read_clouds,
    write_cloud,
    write_clouds,
)
from intertwine.points.farthest import FarthestPoints, farthest_points
from intertwine.points.meshes import MESH_SUFFIXES, Mesh, has_faces, pad_meshes, read_mesh, read_meshes
from intertwine.points.neighbours import nearest_neighbours, ragged_neighbours
from intertwine.points.normalise import Normalised, normalise
from intertwine.points.plane import Plane, ransac_plane
from intertwine.points.ragged import check_clouds, cloud_sizes, pad_clouds
from intertwine.points.surface import SurfaceSample, place_on_faces, sample_surface, triangle_areas

__all__ = [
    "CLOUD_SUFFIXES",
    "MESH_SUFFIXES",
    "Cloud",
    "FarthestPoints",
    "Mesh",
    "Normalised",
    "Plane",
    "SurfaceSample",
    "check_clouds",
    "cloud_bytes",
    "cloud_sizes",
    "farthest_points",
    "has_faces",
    "nearest_neighbours",
    "normalise",
    "pad_clouds",
    "pad_meshes",
    "place_on_faces",
    "ragged_neighbours",
    "ransac_plane",
    "read_cloud",
    "read_clouds",
    "read_mesh",
    "read_meshes",
    "sample_surface",
    "triangle_areas",
    "write_cloud",
    "write_clouds",
]
