"""How often a classifier of sets of points is right, by the number of drawn elements, and the check of its law."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.frame_averaging.data.digits import DigitData, PointSets
from intertwine.systems.frame_averaging.metrics.classes import classes_of
from intertwine.systems.frame_averaging.model.set_classifier import RENAMED_POINTS, SetClassifier
from intertwine.systems.frame_averaging.predict.digits import averaged_scores
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["check", "evaluate"]


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return the accuracy on the test images, ``accuracy_1``, ``accuracy_5``, ... for means over so many elements.

    Args:
        run: a finished run.
        device: where to compute.
    """
    recipe = run.recipe()
    data = DigitData(recipe)
    data.setup("test")

    def measure(model: SetClassifier, sets: PointSets) -> Measured:
        labels = torch.zeros(0, dtype=torch.int64) if sets.labels is None else sets.labels
        values, named = {}, labels
        for samples in recipe.digits.draws:
            scores = averaged_scores(
                model, sets.points, samples=samples, batch_size=recipe.training.evaluation_batch_size
            )
            named = classes_of(scores)
            values[f"accuracy_{samples}"] = (float((named == labels).double().mean()), "")
            if model.settings.frame in ("none", "sort"):
                break  # nothing is drawn
        counts = np.bincount(labels.numpy(), minlength=10)
        baselines = {"largest class": {metric: float(counts.max() / counts.sum()) for metric in values}}
        return Measured(values, sets.num_graphs, {"labels": labels.numpy(), "named": named.numpy()}, baselines)

    return evaluate_sets(run, {"test": data.test}, measure, device=device)


def check(run: Run, *, trials: int = 8, rng: torch.Generator, sets: int = 8) -> CheckReport:
    """Measure in float64 how far scores change when points are renamed, and the plane is moved as the settings say.

    The same directions are drawn again. Where orders are drawn, and for a network that claims nothing, points are
    renamed only: each view of a set draws its own orders, so that the law of motions holds in distribution.

    Args:
        run: a finished run.
        trials: renamings to draw.
        rng: source of the renamings.
        sets: how many sets to check on, the first of the validation sets.
    """
    data = DigitData(run.recipe())
    data.setup("fit")
    model: SetClassifier = run.model()
    points = data.validation.points[:sets].double()
    drawn = model.settings.frame not in ("none", "sort")
    law = RENAMED_POINTS if drawn or model.symmetry is None else model.symmetry
    report = check_module(_Repeated(model), {"points": points}, symmetry=law, name=run.name, trials=trials, rng=rng)
    note = {
        "none": "This network has no frame of orders, and claims no symmetry under renaming of points.",
        "group": "Any order is drawn, whatever the points are: the law holds in distribution only.",
    }.get(model.settings.frame)
    return report if note is None else replace(report, notes=(*report.notes, note))


class _Repeated(nn.Module):
    """The network with the same draws in every call: directions do not depend on the order of the points."""

    def __init__(self, model: SetClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, points: Tensor) -> Tensor:
        return self.model(points, rng=torch.Generator().manual_seed(0))
