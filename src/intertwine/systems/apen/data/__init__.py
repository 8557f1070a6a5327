"""Clouds whose parts move on their own: posed bodies, scans of rooms, mechanisms, and your own files."""

from intertwine.systems.apen.data.batch import CloudSet, DrawnClouds, PartBatch, make_batch
from intertwine.systems.apen.data.floor import find_floor
from intertwine.systems.apen.data.human import Bodies, Motion, read_bodies
from intertwine.systems.apen.data.human_clouds import HumanClouds, split_bodies
from intertwine.systems.apen.data.left_out import leave_out, restore
from intertwine.systems.apen.data.mechanisms import Mechanism, chain
from intertwine.systems.apen.data.module import ApenData, make_data
from intertwine.systems.apen.data.motions import RandomMotions
from intertwine.systems.apen.data.rooms import Scene, read_scene
from intertwine.systems.apen.data.scans import Scan, ScanClouds, make_scan, one_shot

__all__ = [
    "ApenData",
    "Bodies",
    "CloudSet",
    "DrawnClouds",
    "HumanClouds",
    "Mechanism",
    "Motion",
    "PartBatch",
    "RandomMotions",
    "Scan",
    "ScanClouds",
    "Scene",
    "chain",
    "find_floor",
    "leave_out",
    "make_batch",
    "make_data",
    "make_scan",
    "one_shot",
    "read_bodies",
    "read_scene",
    "restore",
    "split_bodies",
]
