"""Sections on predicted particles: errors beside trivial predictions and published ones, and simulations in space."""

from pathlib import Path

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.accuracy import comparison, metric_facts, model_tables, not_measured
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Picture, Section
from intertwine.reporting.particles import closest_approach, encounters, particles_in_space

__all__ = ["particle_accuracy"]

_METRICS = {
    "position_mse": "mean squared error",
    "position_mae": "mean absolute error",
    "mean_distance": "mean distance",
}
_QUANTITIES = ("positions", "targets", "predicted", "charges")


def particle_accuracy(folder: Path) -> list[Section]:
    """Return the sections on the errors of a run, from ``evaluation.json`` and ``evaluation.npz``."""
    if (missing := not_measured(folder)) is not None:
        return [missing]
    evaluation = Evaluation.read(folder)
    text = (
        "Errors of the predicted positions: squared and absolute ones are means over all coordinates, distances means "
        "over particles. `No motion` predicts the start; `constant velocity` and `fitted velocity` are straight lines "
        "over the true time, and over the time that fits the training data best."
    )
    if "affine" in evaluation.baselines:
        text += " `Affine` is the best affine map from a particle's position and velocity to its later position."
    if evaluation.paper:
        text += "\n\nPublished figures are those of networks trained to the end on 3000 simulations."
    facts = metric_facts(evaluation, "position_mse", "Mean squared error")
    tables = model_tables(evaluation, _METRICS, "simulations")
    figures = [comparison(evaluation, "position_mse", _METRICS["position_mse"])] if facts else []
    found = [Section("Accuracy", text, figures, tables, facts)]
    pictures = [picture for name in evaluation.sets for picture in _detail(evaluation, name)]
    if pictures:
        text = (
            "Lines lead from the start of each particle to its true later position; diamonds are predictions. The "
            "simulations are those of median and of largest error. Close encounters are hard: there the smallest "
            "difference at the start decides where a particle ends."
        )
        found.append(Section("Predictions in detail", text, pictures))
    return found


def _detail(evaluation: Evaluation, name: str) -> list[Picture]:
    found = {quantity: evaluation.array(name, quantity) for quantity in _QUANTITIES}
    arrays = {quantity: array for quantity, array in found.items() if array is not None}
    if len(arrays) < len(_QUANTITIES):
        return []
    start, target, predicted, charges = (arrays[quantity] for quantity in _QUANTITIES)
    if not start.shape == target.shape == predicted.shape or charges.shape != start.shape[:2]:
        shapes = {quantity: array.shape for quantity, array in arrays.items()}
        raise DataError(f"the arrays of the test set `{name}` do not fit together", got=shapes)
    error = np.square(predicted - target).mean((1, 2))
    order = np.argsort(error)
    pictures = [
        Picture(
            particles_in_space(
                start[i],
                target[i],
                predicted[i],
                charges[i],
                f"{name}, simulation {i}: error {format_number(error[i])}",
            ),
            f"The simulation of {word} error. Drag to turn, scroll to zoom.",
        )
        for word, i in (("median", order[len(order) // 2]), ("largest", order[-1]))
    ]
    parity = plots.parity(target, predicted, "coordinate", "length unit")
    pictures.append(Picture(parity, f"{name}: {target.size} coordinates of later positions."))
    nearest = np.minimum(closest_approach(start, charges), closest_approach(target, charges))
    if np.isfinite(nearest).any():
        met = np.isfinite(nearest)
        pictures.append(Picture(encounters(nearest[met], error[met]), f"{name}: errors by closest approach."))
    return pictures
