"""Which digit each image, or each set of points, of a user's own files is."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import DataError, NumericsError
from intertwine.files import write_text
from intertwine.systems.frame_averaging.data.digits import draw_points, read_idx
from intertwine.systems.frame_averaging.metrics.classes import probabilities
from intertwine.systems.frame_averaging.model.set_classifier import SetClassifier
from intertwine.systems.frame_averaging.settings.digits import DigitsTask
from intertwine.training.inference import find_run, load_model, prediction_paths
from intertwine.training.sampling import generator

__all__ = ["averaged_scores", "predict_files"]


def predict_files(
    run: Any, files: Sequence[str | Path], *, output: str | Path = ".", device: str = "cpu", batch_size: int = 500
) -> list[Path]:
    """Say of every set in every file which digit it is, and write ``<name>.predicted.csv`` for each file.

    A row has the number of the set, the digit, its probability, and the probabilities of all digits, from scores that
    are means over drawn elements of the frames. All files are read before anything is computed.

    Args:
        run: anything that `load_model` takes.
        files: images in the idx format (plain or ``.gz``), or ``.npz`` with an array ``points`` (sets, points, 2) of
            coordinates in [-1, 1].
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: sets per call of the network.

    Raises:
        DataError: if a file cannot be read, or sets have another number of points than the network takes.
        NumericsError: if a coordinate or a score is not a finite number.
    """
    paths = prediction_paths(files, output, ".csv")
    model: SetClassifier = load_model(run, device)
    found = find_run(run)
    task: DigitsTask = DigitsTask() if found is None else found.recipe().digits
    read = [_read(path, model, task) for path in paths]
    tables = []
    for path, points in zip(paths, read, strict=True):
        scores = averaged_scores(model, points, samples=task.draws[-1], batch_size=batch_size)
        if not bool(scores.isfinite().all()):
            raise NumericsError(f"{path}: a score is not a finite number", fix="look at the coordinates, in [-1, 1]")
        tables.append(_as_text(scores))
    return [write_text(written, text) for written, text in zip(paths.values(), tables, strict=True)]


@torch.no_grad()
def averaged_scores(
    model: SetClassifier, points: Float[Tensor, "sets points 2"], *, samples: int, seed: int = 0, batch_size: int = 500
) -> Float[Tensor, "sets classes"]:
    """Return scores of sets, means over ``samples`` drawn elements of their frames, on the CPU."""
    weight = next(model.parameters())
    rng = generator(seed, "digits", samples)
    parts = [model(some.to(weight), samples=samples, rng=rng).cpu() for some in points.split(batch_size)]
    return torch.cat(parts)


def _read(path: Path, model: SetClassifier, task: DigitsTask) -> Tensor:
    if path.suffix.lower() != ".npz":
        images = read_idx(path)
        if images.ndim != 3 or not len(images):
            raise DataError(f"{path} holds no images", got=tuple(images.shape), expected="(images, height, width)")
        return draw_points(images, model.points, task.data.threshold, generator(task.data.seed, "predict points"))
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            found = torch.from_numpy(np.asarray(archive["points"], np.float32))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} holds no points", got=str(error), expected="an array `points`") from error
    if found.ndim != 3 or found.shape[1:] != (model.points, model.dim) or not len(found):
        raise DataError(
            f"{path}: sets have other points than the network takes",
            got=tuple(found.shape),
            expected=f"(sets, {model.points}, {model.dim})",
        )
    return found


def _as_text(scores: Tensor) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", "predicted", "probability", *(f"p({digit})" for digit in range(scores.shape[1]))])
    for place, row in enumerate(probabilities(scores)):
        best = int(row.argmax())
        writer.writerow([place, best, f"{float(row[best]):.6g}", *(f"{value:.6g}" for value in row.tolist())])
    return text.getvalue()
