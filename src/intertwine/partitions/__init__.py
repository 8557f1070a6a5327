"""Partitions of points into parts: initial ones, finer and coarser ones, and mixtures that predict them."""

from intertwine.partitions.components import Components
from intertwine.partitions.energy import divergence, mixture_energy
from intertwine.partitions.initial import (
    INITIAL,
    default_parts,
    drawn_parts,
    given,
    initial_partition,
    kmeans,
    knn_patches,
    singletons,
    uniform_random,
    voronoi_fps,
    whole,
)
from intertwine.partitions.mixture import Mixture, soft_em
from intertwine.partitions.nearest import nearest_centres
from intertwine.partitions.partition import Mixing, compact_ids, is_subpartition, majority, mixing, same_partition
from intertwine.partitions.random_partitions import (
    draw_blocks,
    draw_labels,
    mean_uncertainty,
    mixing_probability,
    mixing_share,
    stirling2,
    uncertainty,
)

__all__ = [
    "INITIAL",
    "Components",
    "Mixing",
    "Mixture",
    "compact_ids",
    "default_parts",
    "divergence",
    "draw_blocks",
    "draw_labels",
    "drawn_parts",
    "given",
    "initial_partition",
    "is_subpartition",
    "kmeans",
    "knn_patches",
    "majority",
    "mean_uncertainty",
    "mixing",
    "mixing_probability",
    "mixing_share",
    "mixture_energy",
    "nearest_centres",
    "same_partition",
    "singletons",
    "soft_em",
    "stirling2",
    "uncertainty",
    "uniform_random",
    "voronoi_fps",
    "whole",
]
