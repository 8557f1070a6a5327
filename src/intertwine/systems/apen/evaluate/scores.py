"""Scores of a trained network on its test sets, how it divides their clouds, and the check of its symmetry."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from intertwine.partitions import compact_ids, initial_partition
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.apen.data import ApenData, CloudSet, PartBatch, restore
from intertwine.systems.apen.metrics import cloud_metrics, instance_metrics, segmentation_metrics
from intertwine.systems.apen.model import APEN, Baseline, PartitionScores
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["apply_network", "check", "evaluate", "measure_set"]

_CELLS = (8, 16, 32, 64, 128, 256, 512)
_SHOWN_CLOUDS = 2


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return the scores on every test set of the run's recipe.

    The baseline ``largest class`` gives every point (or cloud) the class that most of the test set have.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe has no test set.
    """
    recipe = run.recipe()
    data = ApenData(recipe)
    data.setup("test")

    def measure(model: APEN | Baseline, clouds: CloudSet) -> Measured:
        return measure_set(model, clouds, recipe.training.evaluation_batch_size, data.class_names, device)

    return evaluate_sets(run, data.test_sets, measure, device=device)


@torch.no_grad()
def measure_set(
    model: APEN | Baseline, clouds: CloudSet, batch_size: int, class_names: tuple[str, ...], device: str = "cpu"
) -> Measured:
    """Return all scores of a network on clouds, and what the pictures of the report are drawn from.

    Args:
        model: in evaluation mode.
        clouds: with their classes.
        batch_size: clouds per call of the network.
        class_names: what the classes are called.
        device: where to compute.
    """
    segments = model.settings.task == "segment"
    scores, instance_scores = (segmentation_metrics() if segments else cloud_metrics()), instance_metrics()
    weight = next(model.parameters())
    tally = _Tally(model.settings.classes)
    partitions = PartitionScores(model.settings)
    arrays: dict[str, np.ndarray] = {}
    pieces: dict[str, float] = {}
    instances_known = False
    for batch in clouds.batches(batch_size):
        moved = batch.to(device, weight.dtype)
        found = apply_network(model, moved)
        complete, whole = restore(found, batch, segments=segments)
        scores.update(complete["logits"].cpu(), whole)
        tally.add(complete["logits"], whole, segments)
        if isinstance(model, APEN):
            partitions.add(found, batch)
        if isinstance(model, APEN) and model.divides and batch.instances is not None:
            instances_known = True
            instance_scores.update(complete["parts"][-1].cpu(), whole)
        if not arrays:
            arrays = _shown(complete, whole, segments)
            if isinstance(model, APEN) and moved.instances is not None:
                rng = torch.Generator().manual_seed(0)
                report = model.equivariance_report(
                    moved.positions, moved.graph_index, true_part=moved.instances, rng=rng
                )
                pieces = {"piece_error": report.error, "piece_vote_error": report.vote_error}
                if model.settings.partition != "oracle":
                    arrays |= _error_by_cells(model, moved)
    values = {name: (float(value), "") for name, value in scores.compute().items()}
    if instances_known:
        values |= {name: (float(value), "") for name, value in instance_scores.compute().items()}
    values |= {name: (value, "") for name, value in pieces.items()}
    layers = partitions.compute()
    values |= _layer_rows(layers)
    arrays |= tally.arrays(class_names) | {f"layers_{name}": np.array(found) for name, found in layers.items()}
    return Measured(values, len(clouds), arrays, {"largest class": tally.largest_class(segments)})


def apply_network(model: APEN | Baseline, batch: PartBatch) -> dict[str, Tensor]:
    """Return what a network finds, given the true parts where its settings ask for them."""
    if isinstance(model, APEN) and model.settings.partition == "oracle":
        return model(**batch.inputs(), true_part=batch.instances)
    return model(**batch.inputs())


def check(run: Run, *, trials: int = 8, rng: torch.Generator, clouds: int = 2) -> CheckReport:
    """Measure in float64 whether logits, votes and certainties keep the law under motions of whole clouds.

    Args:
        run: a finished run.
        trials: group elements drawn of each kind.
        rng: source of the elements.
        clouds: to check on, the first of the validation set.
    """
    data = ApenData(run.recipe())
    data.setup("fit")
    batch = next(data.validation_clouds.batches(clouds))
    inputs: dict[str, Any] = batch.inputs()
    model = run.model()
    if isinstance(model, APEN) and model.settings.partition == "oracle":
        inputs["true_part"] = batch.instances
    return check_module(model, inputs, name=run.name, trials=trials, rng=rng)


def _layer_rows(layers: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, str]]:
    """Return a number for each partition, ``layer0`` being the one before the first layer, and for each layer."""
    count = len(layers.get("parts", ()))
    found: dict[str, tuple[float, str]] = {}
    for place in range(count):
        for name, values in layers.items():
            here = place - (count - len(values))
            if here >= 0:
                found[f"layer{place}/{name}"] = (values[here], "")
    return found


def _error_by_cells(model: APEN, batch: PartBatch) -> dict[str, np.ndarray]:
    """Return the error of the law of pieces of the first clouds, and the share of points in mixed cells, by cells."""
    rows = batch.graph_index < _SHOWN_CLOUDS
    positions, index = batch.positions[rows], batch.graph_index[rows]
    true = None if batch.instances is None else batch.instances[rows]
    smallest = int(torch.bincount(index).min()) if len(index) else 0
    cells = [count for count in _CELLS if count <= smallest]
    if true is None or not cells:
        return {}
    found = []
    for count in cells:
        first = compact_ids(initial_partition("voronoi_fps", positions, index, count), index)
        rng = torch.Generator().manual_seed(0)
        found.append(model.equivariance_report(positions, index, true_part=true, first_part=first, trials=1, rng=rng))
    return {
        "cells": np.array(cells),
        "cells_error": np.array([report.error for report in found]),
        "cells_mixed_points": np.array([report.mixed_points[0] for report in found]),
    }


class _Tally:
    """Points, or clouds, of each true and each given class, over a test set."""

    def __init__(self, classes: int) -> None:
        self.confusion = np.zeros((classes, classes), np.int64)

    def add(self, logits: Tensor, batch: PartBatch, segments: bool) -> None:
        truth = batch.labels if segments else batch.subjects
        if truth is not None:
            place = truth.cpu().numpy() * len(self.confusion) + logits.argmax(-1).cpu().numpy()
            self.confusion += np.bincount(place, minlength=self.confusion.size).reshape(self.confusion.shape)

    def arrays(self, class_names: tuple[str, ...]) -> dict[str, np.ndarray]:
        hit = np.diag(self.confusion)
        union = self.confusion.sum(0) + self.confusion.sum(1) - hit
        return {"class_iou": hit / np.maximum(union, 1), "classes": np.array(class_names), "confusion": self.confusion}

    def largest_class(self, segments: bool) -> dict[str, float]:
        counts = self.confusion.sum(1)
        share = float(counts.max() / max(counts.sum(), 1))
        if not segments:
            return {"cloud_accuracy": share}
        return {"accuracy": share, "pooled_miou": share / int((counts > 0).sum())}


def _shown(found: Mapping[str, Tensor], batch: PartBatch, segments: bool) -> dict[str, np.ndarray]:
    """Return the first cloud of a batch."""
    first = (batch.graph_index == 0).cpu()
    arrays = {"positions": batch.positions[first].float().cpu().numpy()}
    if segments:
        arrays["predicted"] = found["logits"].argmax(-1).cpu()[first].numpy()
        if batch.labels is not None:
            arrays["labels"] = batch.labels.cpu()[first].numpy()
    elif batch.labels is not None:
        arrays["predicted"] = arrays["labels"] = batch.labels.cpu()[first].numpy()
    if "parts" in found:
        arrays["parts"] = found["parts"].cpu()[:, first].numpy()
        arrays["votes"] = found["votes"].float().cpu()[:, first].numpy()
    return arrays
