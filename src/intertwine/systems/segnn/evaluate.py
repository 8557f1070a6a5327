"""The errors of a trained network on its test sets beside trivial predictions, and the check of its symmetry."""

from dataclasses import replace

import numpy as np
import torch

from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.segnn.data import ParticleBatch, ParticleData, Samples, SampleSet
from intertwine.systems.segnn.metrics import position_metrics
from intertwine.systems.segnn.model import SEGNN
from intertwine.systems.segnn.published import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["baselines", "check", "evaluate", "predict_samples"]


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
        values = {metric: (value, "") for metric, value in _errors(predicted, samples).items()}
        return Measured(values, len(samples), samples.arrays() | {"predicted": predicted}, baselines(samples, times))

    found = evaluate_sets(run, data.test_samples, measure, device=device)
    paper = published(run.versions()["recipe"], recipe.model.attribute_lmax, tuple(data.test_samples))
    return replace(found, paper=paper)


def predict_samples(model: SEGNN, samples: Samples, batch_size: int) -> np.ndarray:
    """Return the predicted positions of samples, (samples, particles, 3) in float64."""
    parameter = next(model.parameters())
    parts = []
    for batch in SampleSet(samples).batches(batch_size):
        with torch.no_grad():
            parts.append(model(**batch.to(parameter.device, parameter.dtype).inputs()).double().cpu())
    return torch.cat(parts).reshape(samples.positions.shape).numpy()


def baselines(samples: Samples, times: dict[str, float]) -> dict[str, dict[str, float]]:
    """Return the errors of predictions that know nothing of forces: no motion, and straight lines.

    Args:
        samples: with targets.
        times: for each straight line its name and the time over which the velocity is extrapolated.
    """
    lines = {"no motion": 0.0, **times}
    return {name: _errors(samples.positions + time * samples.velocities, samples) for name, time in lines.items()}


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


def _errors(predicted: np.ndarray, samples: Samples) -> dict[str, float]:
    """Return all metrics of predicted positions."""
    metrics = position_metrics()
    (batch,) = SampleSet(samples).batches(len(samples))
    _update(metrics, predicted, batch)
    return {name: float(value) for name, value in metrics.compute().items()}


def _update(metrics, predicted: np.ndarray, batch: ParticleBatch) -> None:
    metrics.update(torch.from_numpy(predicted).reshape(-1, 3), batch)
