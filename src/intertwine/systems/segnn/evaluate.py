"""The errors of a trained network on its test sets beside trivial predictions, and the check of its symmetry."""

from dataclasses import replace

import torch

from intertwine.particles import Samples, SampleSet, position_errors, predict_samples, straight_lines
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.segnn.data import ParticleData
from intertwine.systems.segnn.model import SEGNN
from intertwine.systems.segnn.published import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["check", "evaluate"]


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return errors on every test set of the run's recipe, beside trivial predictions and published errors.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe has no test set.
    """
    recipe = run.recipe()
    data = ParticleData(recipe)
    data.setup("test")
    settings = recipe.data
    times = {
        "constant velocity": (settings.end_frame - settings.start_frame) * settings.frame_time,
        "fitted velocity": data.fitted_time,
    }

    def measure(model: SEGNN, samples: Samples) -> Measured:
        predicted = predict_samples(model, samples, recipe.training.evaluation_batch_size)
        values = {metric: (value, "") for metric, value in position_errors(predicted, samples).items()}
        return Measured(
            values, len(samples), samples.arrays() | {"predicted": predicted}, straight_lines(samples, times)
        )

    found = evaluate_sets(run, data.test_samples, measure, device=device)
    paper = published(run.versions()["recipe"], recipe.model.attribute_lmax, tuple(data.test_samples))
    return replace(found, paper=paper)


def check(run: Run, *, trials: int = 8, rng: torch.Generator, samples: int = 2) -> CheckReport:
    """Measure the symmetry of the run's network under E(3) and permutations, in float64, on samples of its own data.

    Args:
        run: a finished run.
        trials: group elements drawn of each kind.
        rng: source of the elements.
        samples: how many to check on, the first of the validation set.
    """
    data = ParticleData(run.recipe())
    data.setup("fit")
    chosen = data.validation_samples.part(stop=min(samples, len(data.validation_samples)))
    (batch,) = SampleSet(chosen).batches(samples)
    return check_module(run.model(), batch.inputs(), name=run.name, trials=trials, rng=rng)
