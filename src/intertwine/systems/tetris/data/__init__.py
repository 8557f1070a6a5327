"""Data of the tetris system: the eight exact shapes, point sets from files, batches of both."""

from intertwine.systems.tetris.data.batch import PointBatch, PointGraph, collate_points
from intertwine.systems.tetris.data.files import read_point_sets
from intertwine.systems.tetris.data.module import PointData, make_data
from intertwine.systems.tetris.data.sets import PointSet, make_graphs
from intertwine.systems.tetris.data.shapes import MIRROR_PAIR, SHAPES, shape_sets

__all__ = [
    "MIRROR_PAIR",
    "SHAPES",
    "PointBatch",
    "PointData",
    "PointGraph",
    "PointSet",
    "collate_points",
    "make_data",
    "make_graphs",
    "read_point_sets",
    "shape_sets",
]
