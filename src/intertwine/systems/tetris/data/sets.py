"""One set of points as read from a file, and its graph for a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from intertwine.errors import DataError
from intertwine.graphs import neighbour_list
from intertwine.systems.tetris.data.batch import PointGraph

__all__ = ["PointSet", "make_graphs"]


@dataclass(frozen=True)
class PointSet:
    """Points with their types, and the class where it is known.

    Args:
        name: of the set in its file.
        points: coordinates, (points, 3).
        types: one name for each point.
        label: name of the class; None where the file does not say.
        where: file and place in words, for messages.
    """

    name: str
    points: np.ndarray
    types: tuple[str, ...]
    label: str | None
    where: str


def make_graphs(
    sets: Sequence[PointSet], point_types: Sequence[str], cutoff: float, classes: Sequence[str] | None = None
) -> list[PointGraph]:
    """Return the graph of each set, in float64, with edges between points nearer than ``cutoff``.

    Args:
        sets: the point sets.
        point_types: names of the types the model knows.
        cutoff: in the unit of the coordinates.
        classes: names of the classes; the graphs then have labels. None leaves labels out.

    Raises:
        DataError: if a set has a type or a class that the model does not know, two points at one place, or no two
            points within the cutoff.
    """
    known = {name: place for place, name in enumerate(point_types)}
    graphs = []
    for points in sets:
        foreign = sorted({kind for kind in points.types if kind not in known})
        if foreign:
            raise DataError(
                f"{points.where} has points of a type that the model does not know",
                got=", ".join(foreign),
                expected=", ".join(point_types),
                fix="train on files that have this type, or rename it",
            )
        positions = torch.from_numpy(points.points)
        try:
            edge_index = neighbour_list(positions, cutoff).edge_index
        except DataError as error:
            raise DataError(
                f"{points.where}: {error.message.replace('atoms', 'points')}",
                got=error.got,
                expected="points apart from each other",
                fix="remove the duplicate",
            ) from error
        if edge_index.shape[1] == 0:
            raise DataError(
                f"{points.where}: no two points are within the cutoff, so the set has no geometry to see",
                got={"smallest distance": f"{_smallest_distance(points.points):.4g}", "cutoff": cutoff},
                expected="at least one pair of points nearer than the cutoff",
                fix="raise model.cutoff (a trained model keeps its own), or rescale the coordinates",
            )
        label = None if classes is None else torch.tensor(_place(points, classes))
        types = torch.tensor([known[kind] for kind in points.types])
        graphs.append(PointGraph(positions, types, edge_index, label))
    return graphs


def _place(points: PointSet, classes: Sequence[str]) -> int:
    if points.label is None or points.label not in classes:
        known = points.label is not None
        raise DataError(
            f"{points.where} {'is of a class that the model does not know' if known else 'has no class'}",
            got=points.label,
            expected=", ".join(classes),
            fix="train on files that have this class, or name all classes in data.classes",
        )
    return list(classes).index(points.label)


def _smallest_distance(points: np.ndarray) -> float:
    if len(points) < 2:
        return float("inf")
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    return float(distances[np.triu_indices(len(points), 1)].min())
