"""The classes and the parts of a user's own clouds, written as labelled clouds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from intertwine.errors import ConfigError, NumericsError, ShapeError
from intertwine.points import Cloud, read_clouds, write_clouds
from intertwine.reporting.colours import class_colours
from intertwine.reporting.files import write_json
from intertwine.systems.apen.data import find_floor, leave_out, make_batch, restore
from intertwine.systems.apen.model import APEN, Baseline
from intertwine.systems.apen.settings import DataSettings
from intertwine.training.inference import find_run, load_model, prediction_paths
from intertwine.training.sampling import generator

__all__ = ["Labelled", "label_cloud", "predict_files"]


@final
@dataclass(frozen=True)
class Labelled:
    """What a network says of a cloud.

    Args:
        labels: class of each point; the class of the cloud at each where clouds are classified.
        probability: of that class; 1 for points that the network did not see.
        parts: the last partition, if the network divides clouds.
        seen: points that the network saw; others are floor, of class 0.
    """

    labels: Int64[np.ndarray, " points"]
    probability: Float[np.ndarray, " points"]
    parts: Int64[np.ndarray, " points"] | None
    seen: Bool[np.ndarray, " points"]


def predict_files(
    run: Any,
    files: Sequence[str | Path],
    *,
    output: str | Path = ".",
    device: str = "cpu",
    write: Literal["classes", "parts"] = "classes",
) -> list[Path]:
    """Write ``NAME.predicted.ply`` (``.npz`` for an ``.npz``) for each cloud, with a label and a colour at each point.

    Where the network divides clouds, ``NAME.predicted.json`` beside it says how many parts there are and how sure they
    are. A ``.npz`` of many clouds gives one of as many. All files are read before anything is computed, and all
    is computed before anything is written. Coordinates are
    in the unit of the training data. Where the recipe of a run leaves out the floor, it is left out here too, and its
    points have class 0; the folder of a saved model knows no recipe, and leaves nothing out.

    Args:
        run: anything that `load_model` takes.
        files: clouds: .ply, .obj, .npz, .csv, .xyz.
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        write: what the labels are: ``classes``, or ``parts`` (of the last partition).

    Raises:
        DataError: if a file cannot be read, or two would be written to one place.
        ConfigError: if parts are asked of a network that finds none.
        ShapeError: if a cloud has fewer points than the network looks for neighbours (``model.neighbours``).
        NumericsError: if a score is not a finite number.
    """
    paths = prediction_paths(files, output, lambda path: ".npz" if path.suffix.lower() == ".npz" else ".ply")
    model = load_model(run, device)
    if write == "parts" and not (isinstance(model, APEN) and model.divides):
        raise ConfigError(
            "this network does not divide clouds into parts",
            got="write = parts",
            expected="classes",
            fix="train a recipe of apen with model.network apen and model.partition predicted",
        )
    run_known = find_run(run)
    data = None if run_known is None else run_known.recipe().data
    read = [read_clouds(path) for path in paths]
    computed = []
    for clouds, path in zip(read, paths.values(), strict=True):
        floors = [_floor(cloud, data) for cloud in clouds]
        found = [label_cloud(model, cloud, floor) for cloud, floor in zip(clouds, floors, strict=True)]
        labels = [one.labels if write == "classes" or one.parts is None else one.parts for one in found]
        coloured = [
            replace(cloud, labels=own, colours=class_colours(own)) for cloud, own in zip(clouds, labels, strict=True)
        ]
        about = [_about(one, floor) for one, floor in zip(found, floors, strict=True)]
        computed.append((path, coloured, about))
    written: list[Path] = []
    for path, coloured, about in computed:
        written.append(write_clouds(path, coloured))
        written.append(write_json(path.with_suffix(".json"), about[0] if len(about) == 1 else {"clouds": about}))
    return written


@torch.no_grad()
def label_cloud(model: APEN | Baseline, cloud: Cloud, floor: Bool[torch.Tensor, " points"] | None = None) -> Labelled:
    """Return the class of each point of a cloud, and its parts.

    Args:
        model: in evaluation mode.
        cloud: to be labelled.
        floor: points that the network does not see; they have class 0 and a part of their own.

    Raises:
        ShapeError: if the cloud has fewer points than the network looks for neighbours (``model.neighbours``).
        NumericsError: if a score is not a finite number.
    """
    weight = next(model.parameters())
    batch = make_batch(torch.from_numpy(cloud.points), torch.zeros(len(cloud), dtype=torch.int64), 1)
    batch = batch if floor is None else leave_out(batch, floor)
    try:
        found = model(batch.positions.to(weight))
    except ShapeError as error:
        raise ShapeError(
            f"{cloud.name}: {error.message}",
            got=error.got,
            expected=error.expected,
            fix="predict a cloud of more points; or train with a smaller model.neighbours",
        ) from error
    found, _ = restore(found, batch, segments=model.settings.task == "segment")
    scores = found["logits"].double().softmax(-1).cpu()
    if not scores.isfinite().all():
        raise NumericsError(
            f"{cloud.name}: a score is not a finite number",
            got="NaN or infinity",
            fix="look for coordinates in another unit than the training data's",
        )
    best = scores.max(-1)
    labels, probability = best.indices.numpy(), best.values.numpy()
    if model.settings.task == "classify":
        labels, probability = np.repeat(labels, len(cloud)), np.repeat(probability, len(cloud))
    seen = np.ones(len(cloud), bool) if batch.kept is None else batch.kept.numpy()
    parts = found["parts"][-1].cpu().numpy() if "parts" in found else None
    return Labelled(labels, np.where(seen, probability, 1.0), parts, seen)


def _floor(cloud: Cloud, data: DataSettings | None) -> Bool[torch.Tensor, " points"] | None:
    if data is None or not data.remove_floor:
        return None
    return find_floor(cloud.name, torch.from_numpy(cloud.points), data, generator(data.seed, "floor", cloud.name))


def _about(found: Labelled, floor: Bool[torch.Tensor, " points"] | None) -> dict[str, Any]:
    counts = {str(label): int(n) for label, n in zip(*np.unique(found.labels, return_counts=True), strict=True)}
    about: dict[str, Any] = {"points": len(found.labels), "points_by_class": counts}
    about["mean_probability"] = float(found.probability[found.seen].mean())
    if floor is not None:
        about["floor_points"] = int(floor.sum())
    return about if found.parts is None else about | {"parts": int(found.parts.max()) + 1}
