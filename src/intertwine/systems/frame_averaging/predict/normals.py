"""Normals at the points of a user's own files: clouds, or points drawn from meshes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intertwine.errors import DataError, IntertwineError, NumericsError
from intertwine.points import (
    Cloud,
    has_faces,
    normalise,
    pad_meshes,
    read_clouds,
    read_mesh,
    sample_surface,
    write_clouds,
)
from intertwine.systems.frame_averaging.evaluate.normals import predict_normals
from intertwine.systems.frame_averaging.metrics.normals import error_colours, normal_errors
from intertwine.systems.frame_averaging.settings.normals import NormalsDataSettings
from intertwine.training.inference import find_run, load_model, prediction_paths

__all__ = ["predict_cloud", "predict_files", "read_points"]


@dataclass(frozen=True)
class _Given:
    """A cloud and, where they are known, the true normals at its points."""

    cloud: Cloud
    reference: np.ndarray | None


def predict_files(
    run: Any,
    files: Sequence[str | Path],
    *,
    output: str | Path = ".",
    device: str = "cpu",
    batch_size: int = 16,
) -> list[Path]:
    """Predict the normals of all files, and write one file for each of them into a folder.

    A file with faces gives points drawn from its surface, as many as the recipe has; any other its own points, with
    labels and colours. ``NAME.npz`` gives ``NAME.predicted.npz``, of as many clouds as it has; any other file gives
    ``NAME.predicted.ply``. Where true normals are known and points have no colour, colours show the error, from blue
    (none) to red. All files are read before anything is computed. Signs of normals are arbitrary.

    Args:
        run: anything that `load_model` takes.
        files: meshes (PLY, OBJ, STL, OFF) or clouds (PLY, OBJ, NPZ, CSV, XYZ).
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: clouds per call of the network.

    Raises:
        DataError: if a file cannot be read, has too few points, or two would be written to one place.
        NumericsError: if a normal is not a finite number.
    """
    paths = prediction_paths(files, output, lambda path: ".npz" if path.suffix.lower() == ".npz" else ".ply")
    model, found = load_model(run, device), find_run(run)
    settings = NormalsDataSettings() if found is None else found.recipe().normals.data
    if hasattr(model, "draws"):
        model.draws = torch.Generator().manual_seed(0)
    given = [read_points(path, settings.points) for path in paths]
    found = [[predict_cloud(model, one, settings, batch_size=batch_size) for one in clouds] for clouds in given]
    return [write_clouds(path, clouds) for path, clouds in zip(paths.values(), found, strict=True)]


def read_points(path: str | Path, points: int) -> list[_Given]:
    """Return the clouds of a file, or points drawn from its surface, and true normals where they are known."""
    path = Path(path)
    if not has_faces(path):
        clouds = read_clouds(path)
        normals = [_unit(cloud.normals) for cloud in clouds]
        known = all(one is not None for one in normals)  # of all clouds of a file, or of none
        return [_Given(cloud, one if known else None) for cloud, one in zip(clouds, normals, strict=True)]
    vertices, faces = pad_meshes([read_mesh(path)], torch.float64)
    try:
        drawn = sample_surface(vertices, faces, points, torch.Generator().manual_seed(0))
    except DataError as error:
        raise DataError(f"{path.name}: {error.message}", got=error.got, expected=error.expected) from error
    return [_Given(Cloud(drawn.points[0].numpy(), name=path.name), drawn.normals[0].numpy())]


def predict_cloud(model: Any, given: _Given, settings: NormalsDataSettings, *, batch_size: int = 16) -> Cloud:
    """Return a cloud with predicted normals.

    Networks know clouds of the size that they were trained on. A larger one is cut at random into parts of about that
    size, each spread over the whole.

    Args:
        model: takes ``points``.
        given: the cloud, and true normals where they are known.
        settings: number of points and size that the network was trained on.
        batch_size: parts per call of the network.

    Raises:
        DataError: if the cloud has too few points, or no size.
        NumericsError: if a normal is not a finite number.
    """
    cloud = given.cloud
    parts = max(round(len(cloud) / settings.points), 1)
    order = torch.randperm(len(cloud), generator=torch.Generator().manual_seed(0))
    normals = torch.zeros(len(cloud), 3, dtype=torch.float64)
    try:
        points = normalise(torch.from_numpy(cloud.points).unsqueeze(0), settings.size).points[0]
        by_size: dict[int, list[torch.Tensor]] = {}
        for chosen in order.tensor_split(parts):
            by_size.setdefault(len(chosen), []).append(chosen.sort().values)
        for alike in by_size.values():
            index = torch.stack(alike)
            normals[index] = predict_normals(model, points[index], batch_size).double()
    except NumericsError:
        raise
    except IntertwineError as error:
        raise DataError(
            f"{cloud.name}: {error.message}", got=error.got, expected=error.expected, fix=error.fix
        ) from error
    if not normals.isfinite().all():
        wrong = int((~normals.isfinite()).any(1).nonzero()[0])
        raise NumericsError(
            f"{cloud.name}: the predicted normal of point {wrong} is not finite", got=normals[wrong].tolist()
        )
    colours = cloud.colours
    if colours is None and given.reference is not None:
        colours = error_colours(normal_errors(normals, torch.from_numpy(given.reference)).numpy())
    return Cloud(cloud.points, normals.numpy(), cloud.labels, colours, cloud.name)


def _unit(normals: np.ndarray | None) -> np.ndarray | None:
    """Return normals of length one, or None where one has no direction."""
    if normals is None:
        return None
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / lengths if (lengths > 0).all() else None
