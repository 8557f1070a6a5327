"""The errors of predicted positions on test sets and on turned copies of them, and the check of the symmetry."""

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from intertwine.groups import SO
from intertwine.particles import (
    Samples,
    SampleSet,
    affine_errors,
    fitted_affine,
    fitted_time,
    position_errors,
    predict_samples,
    straight_lines,
)
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.frame_averaging.data.particles import ParticleData, turned
from intertwine.systems.frame_averaging.published.particles import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["check", "evaluate", "forward_time"]

_ANGLES = np.linspace(0, 180, 13)
_SHIFTS = np.array([0.0, 0.5, 1, 2, 3, 4, 6, 8, 10])
_MOVED = 500
"""Samples of a test set on which the error is followed along a motion."""
_TIMED = 100
"""Samples in the batch whose forward pass is timed, as published."""


@dataclass(frozen=True)
class _TestSet:
    samples: Samples
    untouched: Samples | None = None
    rotations: np.ndarray | None = None


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return errors on every test set of the run's recipe and on a copy whose samples are turned at random.

    ``rotation_error`` of a turned set is the mean squared difference between its predictions and the turned predictions
    for the set itself: zero up to rounding for networks with the symmetry, whatever they have learned.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe has no test set.
    """
    recipe = run.recipe()
    data = ParticleData(recipe)
    data.setup("test")
    settings, train = recipe.particles.data, data.train_samples
    times = {
        "constant velocity": (settings.end_frame - settings.start_frame) * settings.frame_time,
        "fitted velocity": fitted_time(train),
    }
    affine = fitted_affine(train)
    size = recipe.training.evaluation_batch_size

    def measure(model: Any, found: _TestSet) -> Measured:
        _repeatable(model)
        samples = found.samples
        predicted = predict_samples(model, samples, size)
        values = {metric: (value, "") for metric, value in position_errors(predicted, samples).items()}
        arrays = samples.arrays() | {"predicted": predicted}
        if found.untouched is not None and found.rotations is not None:
            there = predict_samples(model, found.untouched, size) @ found.rotations.swapaxes(1, 2)
            values["rotation_error"] = (float(np.square(predicted - there).mean()), "")
        else:
            values["forward_time"] = (forward_time(model, samples), "s")
            arrays |= _along_motions(model, samples, size)
        return Measured(
            values, len(samples), arrays, straight_lines(samples, times) | {"affine": affine_errors(samples, affine)}
        )

    sets: dict[str, _TestSet] = {}
    for name, samples in data.test_samples.items():
        moved, rotations = turned(samples)
        sets |= {name: _TestSet(samples), f"{name}, turned": _TestSet(moved, samples, rotations.numpy())}
    found = evaluate_sets(run, sets, measure, device=device)
    return replace(found, paper=published(run.versions()["recipe"], tuple(data.test_samples)))


def forward_time(model: Any, samples: Samples, repeats: int = 7) -> float:
    """Return the seconds of a forward pass for a batch of 100 samples (or all, where there are fewer), the median."""
    parameter = next(model.parameters())
    (batch,) = SampleSet(samples.part(stop=min(_TIMED, len(samples)))).batches(_TIMED)
    inputs = batch.to(parameter.device, parameter.dtype).inputs()
    seconds = []
    with torch.no_grad():
        for _ in range(repeats + 1):
            began = time.perf_counter()
            model(**inputs).sum().item()
            seconds.append(time.perf_counter() - began)
    return float(np.median(seconds[1:]))


def check(run: Run, *, trials: int = 8, rng: torch.Generator, samples: int = 2) -> CheckReport:
    """Measure the symmetry that the run's network declares, in float64, on samples of its own data.

    A network whose elements of frames are drawn at random is checked with the average over all elements: single draws
    keep the symmetry in expectation only.

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
    model, name = run.model(), run.name
    if getattr(model, "mode", "all") == "stochastic":
        model.mode, name = "all", f"{name}, averaged over all elements"
    return check_module(model, batch.inputs(), name=name, trials=trials, rng=rng)


def _along_motions(model: Any, samples: Samples, size: int) -> dict[str, np.ndarray]:
    """Return the errors on samples that are all turned about one axis, or all moved along one line."""
    chosen = samples.part(stop=min(_MOVED, len(samples)))
    axis = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    axis = axis / axis.norm()
    angles = torch.deg2rad(torch.from_numpy(_ANGLES))
    rotations = SO(3).exp(angles.unsqueeze(-1) * axis).numpy()
    shifts = _SHIFTS[:, None] * axis.numpy()

    def error(moved: Samples) -> float:
        return position_errors(predict_samples(model, moved, size), moved)["position_mse"]

    return {
        "angles": _ANGLES,
        "error_by_angle": np.array([error(chosen.moved(rotation)) for rotation in rotations]),
        "shifts": _SHIFTS,
        "error_by_shift": np.array([error(chosen.moved(np.eye(3), shift)) for shift in shifts]),
    }


def _repeatable(model: Any) -> None:
    """Let a network that draws elements of frames draw the same for each set."""
    if hasattr(model, "draws"):
        model.draws = torch.Generator().manual_seed(0)
