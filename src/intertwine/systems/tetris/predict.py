"""Which shape each point set of a user's own files is."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from intertwine.errors import DataError, NumericsError
from intertwine.reporting.files import write_text
from intertwine.systems.tetris.data import PointSet, collate_points, make_graphs, read_point_sets
from intertwine.systems.tetris.model import ShapeClassifier
from intertwine.training.pretrained import load_pretrained
from intertwine.training.run import Run, open_run

__all__ = ["load_model", "predict", "predict_files"]


def load_model(source: Any, device: str = "cpu") -> ShapeClassifier:
    """Return a trained network for inference.

    Args:
        source: a run or its folder, the folder of a saved model, or a network, which is used as it is.
        device: where to put it.

    Raises:
        ConfigError: if the folder of a run has no model yet.
        CheckpointError: if there is no saved model, or it cannot be read.
    """
    if isinstance(source, ShapeClassifier):
        model: Any = source
    elif isinstance(source, Run):
        model = source.model()
    elif (Path(source) / "recipe.yaml").exists():
        model = open_run(source).model()
    else:
        model = load_pretrained(Path(source).expanduser())
    return model.to(device).eval()


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
    paths = [Path(file).expanduser() for file in files]
    names = [f"{path.stem or path.name}.predicted.csv" for path in paths]
    if len(set(names)) < len(names):
        raise DataError(
            "two of these files would be written to one place",
            got=", ".join(map(str, paths)),
            expected="files with different names",
            fix="predict them one at a time, into different folders",
        )
    model = load_model(run, device)
    read = [read_point_sets(path, label_key, labelled=False) for path in paths]
    tables = [_as_text(model, sets, predict(model, sets, batch_size=batch_size)) for sets in read]
    folder = Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return [write_text(folder / name, text) for name, text in zip(names, tables, strict=True)]


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
