"""How often a trained classifier is right, also about mirror images, and the check of its symmetry."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from intertwine.errors import DataError
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.tetris.data import PointData, PointGraph, collate_points
from intertwine.systems.tetris.metrics import ShapeAccuracy
from intertwine.systems.tetris.model import ClassTable, ShapeClassifier
from intertwine.systems.tetris.published import figure
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["check", "evaluate", "evaluate_graphs"]

_PICTURED = 16
"""Point sets of a test set whose coordinates are kept, for the pictures of the report."""


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return the accuracy on every test set of the run's recipe, also of the reflected sets, beside baselines.

    Baselines: ``largest class`` always names the class that is most frequent; ``blind to handedness`` is right about
    all but the rarer one of two mirror images.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe names no test set.
    """
    recipe = run.recipe()
    data = PointData(recipe)
    data.setup("test")

    def measure(model: ShapeClassifier, graphs: Sequence[PointGraph]) -> Measured:
        values, arrays = evaluate_graphs(model, graphs, recipe.training.evaluation_batch_size)
        counts = np.bincount(arrays["labels"], minlength=len(model.classes))
        baselines = {
            "largest class": {"accuracy": float(counts.max() / counts.sum())},
            "blind to handedness": {"accuracy": _blind(counts, model.table)},
        }
        return Measured({metric: (value, "") for metric, value in values.items()}, len(graphs), arrays, baselines)

    found = evaluate_sets(run, data.test_graphs, measure, device=device)
    the_shapes = recipe.data.train is None and not recipe.data.test
    if the_shapes and (published := figure(recipe.model.product, "accuracy")):
        return replace(found, paper={"The Price of Freedom": {"turned": {"accuracy": published.value}}})
    return found


@torch.no_grad()
def evaluate_graphs(
    model: ShapeClassifier, graphs: Sequence[PointGraph], batch_size: int
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return metrics by name, and as arrays the scores beside the classes and the first few sets themselves.

    ``mirror_accuracy`` is that of all sets reflected: a class with a mirror image is then that image, any other is
    what it was.
    """
    weight, mirror = model.embedding, torch.tensor(model.table.mirror)
    reflection = torch.diag(torch.tensor([1.0, 1.0, -1.0]))
    accuracy, mirrored = ShapeAccuracy(), ShapeAccuracy()
    entropy, parts = 0.0, []
    for start in range(0, len(graphs), batch_size):
        batch = collate_points(list(graphs[start : start + batch_size])).to(weight.device, weight.dtype)
        scores, reflected = (model(**b.inputs()).cpu() for b in (batch, batch.moved(reflection)))
        labels = _labels(batch.labels)
        accuracy.update(scores, labels)
        mirrored.update(reflected, mirror[labels])
        entropy += float(torch.nn.functional.cross_entropy(scores, labels, reduction="sum"))
        parts.append((scores, labels))
    values = {
        "accuracy": float(accuracy.compute()),
        "mirror_accuracy": float(mirrored.compute()),
        "cross_entropy": entropy / len(graphs),
    }
    scores, labels = (torch.cat(tensors).numpy() for tensors in zip(*parts, strict=True))
    shown = collate_points(list(graphs[:_PICTURED]))
    return values, {
        "scores": scores,
        "labels": labels,
        "classes": np.array(model.classes),
        "positions": shown.positions.numpy(),
        "edges": shown.edge_index.numpy(),
        "sizes": shown.num_points.numpy(),
    }


def check(run: Run, *, trials: int = 8, rng: torch.Generator, sets: int = 8) -> CheckReport:
    """Measure in float64 whether scores keep the law: invariant, and swapped between mirror images by reflections.

    Args:
        run: a finished run.
        trials: group elements drawn of each kind.
        rng: source of the elements.
        sets: point sets to check on, the first of the validation sets.
    """
    data = PointData(run.recipe())
    data.setup("fit")
    batch = collate_points(data.validation_graphs[:sets])
    return check_module(run.model(), batch.inputs(), name=run.name, trials=trials, rng=rng)


def _blind(counts: np.ndarray, table: ClassTable) -> float:
    """The accuracy of a perfect classifier that gives mirror images equal scores."""
    lost = sum(min(int(counts[a]), int(counts[b])) for a, b in table.chiral)
    return float(1 - lost / counts.sum())


def _labels(labels: Tensor | None) -> Tensor:
    if labels is None:
        raise DataError("evaluating needs the class of every point set", got="a batch without classes")
    return labels.cpu()
