"""Which shape each point set of a user's own files is."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from intertwine.errors import NumericsError
from intertwine.reporting.files import write_text
from intertwine.systems.tetris.data import PointSet, collate_points, make_graphs, read_point_sets
from intertwine.systems.tetris.model import ShapeClassifier
from intertwine.training.inference import load_model, prediction_paths

__all__ = ["predict", "predict_files"]


def predict_files(
    run: Any,
    files: Sequence[str | Path],
    *,
    output: str | Path = ".",
    device: str = "cpu",
    batch_size: int = 64,
    label_key: str = "shape",
) -> list[Path]:
    """Say of every point set in every file which shape it is, and write ``<name>.predicted.csv`` for each file.

    A row has the name of the set, the class that the file says (if it does), the predicted class, its probability, and
    the probabilities of all classes. All files are read before anything is computed.

    Args:
        run: anything that `load_model` takes.
        files: tables (``.csv``) or frames (``.xyz``, ``.extxyz``) of points.
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: point sets per call of the network.
        label_key: column or header key under which a file may say the class.

    Raises:
        DataError: if a file cannot be read, or has types of points that the model does not know.
        NumericsError: if a score is not a finite number.
    """
    paths = prediction_paths(files, output, ".csv")
    model = load_model(run, device)
    read = [read_point_sets(path, label_key, labelled=False) for path in paths]
    tables = [_as_text(model, sets, predict(model, sets, batch_size=batch_size)) for sets in read]
    return [write_text(written, text) for written, text in zip(paths.values(), tables, strict=True)]


@torch.no_grad()
def predict(model: ShapeClassifier, sets: Sequence[PointSet], *, batch_size: int = 64) -> torch.Tensor:
    """Return the scores (sets, classes) of point sets, on the CPU.

    Raises:
        DataError: if a set has types of points that the model does not know, or no two points within its cutoff.
        NumericsError: if a score is not a finite number.
    """
    graphs = make_graphs(sets, model.point_types, model.cutoff)
    weight = model.embedding
    scores = []
    for start in range(0, len(graphs), batch_size):
        batch = collate_points(graphs[start : start + batch_size]).to(weight.device, weight.dtype)
        scores.append(model(**batch.inputs()).cpu())
    found = torch.cat(scores)
    broken = (~found.isfinite()).any(-1).nonzero().flatten().tolist()
    if broken:
        raise NumericsError(
            f"{sets[broken[0]].where}: a score is not a finite number",
            got=found[broken[0]].tolist(),
            fix="look for coordinates in another unit, and try the model with `intertwine evaluate`",
        )
    return found


def _as_text(model: ShapeClassifier, sets: Sequence[PointSet], scores: torch.Tensor) -> str:
    known = any(points.label is not None for points in sets)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["set", *(["shape"] if known else []), "predicted", "probability", *model.classes])
    for points, row in zip(sets, scores.double().softmax(-1), strict=True):
        best = int(row.argmax())
        writer.writerow(
            [
                points.name,
                *([points.label or ""] if known else []),
                model.classes[best],
                f"{float(row[best]):.6g}",
                *(f"{value:.6g}" for value in row.tolist()),
            ]
        )
    return text.getvalue()
