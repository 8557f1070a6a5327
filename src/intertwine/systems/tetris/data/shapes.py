"""The eight shapes of four cubes by the centres of their cubes, neighbours at distance 1.

Two of them are mirror images of each other; all others have a plane of symmetry. The coordinates are those of the
example that e3nn made known, and that Xie et al. (The Price of Freedom, ICML 2025) take.
"""

from collections.abc import Mapping

import numpy as np

from intertwine.systems.tetris.data.sets import PointSet

__all__ = ["MIRROR_PAIR", "SHAPES", "shape_sets"]

Cubes = tuple[tuple[int, int, int], ...]

SHAPES: Mapping[str, Cubes] = {
    "chiral_1": ((0, 0, 0), (0, 0, 1), (1, 0, 0), (1, 1, 0)),
    "chiral_2": ((1, 1, 1), (1, 1, 2), (2, 1, 1), (2, 0, 1)),
    "square": ((0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 0)),
    "line": ((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3)),
    "corner": ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)),
    "L": ((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0)),
    "T": ((0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 1)),
    "zigzag": ((0, 0, 0), (1, 0, 0), (1, 1, 0), (2, 1, 0)),
}
"""Coordinates of the cubes by name of the shape."""
MIRROR_PAIR = ("chiral_1", "chiral_2")
"""The two shapes that only a reflection brings to coincide."""


def shape_sets() -> list[PointSet]:
    """Return the eight shapes as point sets, in the order of `SHAPES`."""
    return [
        PointSet(name, np.array(cubes, dtype=float), ("X",) * len(cubes), name, f"the shape {name}")
        for name, cubes in SHAPES.items()
    ]
