"""The errors of normals on test sets and on turned copies of them, beside plane fits, and the check of the symmetry."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.frames import PCAFrame
from intertwine.frames.stability import measure_stability
from intertwine.groups import SO
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.frame_averaging.data.normals import MeshClouds, NormalsBatch, NormalsData, turned
from intertwine.systems.frame_averaging.evaluate.plane_fit import plane_fit_normals
from intertwine.systems.frame_averaging.metrics.normals import normal_errors, normals_metrics
from intertwine.systems.frame_averaging.published.normals import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.metrics import with_units
from intertwine.training.run import Run

__all__ = ["check", "evaluate", "predict_normals"]

_ANGLES = np.linspace(0, 180, 13)
_FOLLOWED = 20
"""Clouds of a test set on which the error is followed along a rotation."""
_CHECKED = 1e-10
"""Relative error in float64 up to which the symmetry counts as kept: axes turn by rounding over the gap of their
eigenvalues, which is small for some patches of any cloud. What breaks the symmetry is above 1e-3."""


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return errors on every test set of the run's recipe and on a copy whose clouds are turned at random.

    ``turned_ratio`` is the error of the turned copy over that of the set itself. Baselines are planes fitted to the 20
    nearest points, and random directions, whose error is 2/3 in the mean.

    Args:
        run: a finished run.
        device: where to compute.
    """
    recipe = run.recipe()
    data = NormalsData(recipe)
    data.setup("test")
    size = recipe.training.evaluation_batch_size
    errors: dict[str, float] = {}

    def measure(model: Any, found: tuple[str, NormalsBatch, bool]) -> Measured:
        name, batch, moved = found
        if hasattr(model, "draws"):
            model.draws = torch.Generator().manual_seed(0)
        predicted = predict_normals(model, batch.points, size)
        values = _values(predicted, batch)
        baselines = {"random directions": {"normal_error": 2 / 3}}
        k = min(20, batch.points.shape[1])
        baselines[f"plane fit, k = {k}"] = {
            metric: value for metric, (value, _) in _values(plane_fit_normals(batch.points, k), batch).items()
        }
        arrays = {"points": batch.points[:_FOLLOWED].numpy(), "predicted": predicted[:_FOLLOWED].numpy()}
        arrays |= {"normals": batch.normals[:_FOLLOWED].numpy()}
        arrays["error_of_cloud"] = normal_errors(predicted.double(), batch.normals.double()).mean(1).numpy()
        if moved:
            values["turned_ratio"] = (values["normal_error"][0] / errors[name], "")
        else:
            errors[name] = values["normal_error"][0]
            arrays |= _along_rotation(model, batch, size) | _gaps(batch.points)
        return Measured(values, len(batch.points), arrays, baselines)

    sets: dict[str, tuple[str, NormalsBatch, bool]] = {}
    for name, clouds in data.test_clouds.items():
        batch = _whole(clouds)
        rotations = SO(3).sample(len(clouds), rng=torch.Generator().manual_seed(0), dtype=torch.float64)
        sets |= {name: (name, batch, False), f"{name}, turned": (name, turned(batch, rotations), True)}
    found = evaluate_sets(run, sets, measure, device=device)
    name = run.versions()["recipe"]
    return replace(found, paper=published(name, tuple(data.test_clouds), recipe.normals.data.regime))


@torch.no_grad()
def predict_normals(
    model: Any, points: Float[Tensor, "clouds points 3"], batch_size: int
) -> Float[Tensor, "clouds points 3"]:
    """Return the normals of clouds, on the CPU, in the precision of the network."""
    parameter = next(model.parameters())
    parts = points.to(parameter.device, parameter.dtype).split(batch_size)
    return torch.cat([model(points=part).cpu() for part in parts])


def check(run: Run, *, trials: int = 8, rng: torch.Generator, clouds: int = 2) -> CheckReport:
    """Measure the symmetry that the run's network declares, in float64, on validation clouds of its own data.

    The clouds are those whose principal axes stand furthest apart: those of symmetric parts are arbitrary, and averages
    over their frames keep no symmetry. A network whose elements are drawn at random is checked with the average over
    all elements.

    Args:
        run: a finished run.
        trials: group elements drawn of each kind.
        rng: source of the elements.
        clouds: how many to check on.
    """
    data = NormalsData(run.recipe())
    data.setup("fit")
    batch = _whole(data.validation_clouds)
    gap = torch.from_numpy(_gaps(batch.points)["gap"])
    chosen = gap.argsort(descending=True, stable=True)[:clouds]
    model, name = run.model(), run.name
    if getattr(model, "mode", "all") == "stochastic":
        model.mode, name = "all", f"{name}, averaged over all elements"
    report = check_module(model, {"points": batch.points[chosen]}, name=name, trials=trials, rng=rng)
    note = f"Checked on the clouds with the largest gaps of {len(gap)}: {', '.join(f'{gap[i]:.2f}' for i in chosen)}."
    return replace(report, tolerance=_CHECKED, notes=(*report.notes, note))


def _values(predicted: Tensor, batch: NormalsBatch) -> dict[str, tuple[float, str]]:
    metrics = normals_metrics()
    metrics.update(predicted, batch)
    return with_units(metrics)


def _whole(clouds: MeshClouds) -> NormalsBatch:
    return clouds.__getitems__(range(len(clouds)))


def _along_rotation(model: Any, batch: NormalsBatch, size: int) -> dict[str, np.ndarray]:
    """Return the errors on clouds that are all turned about one axis."""
    chosen = NormalsBatch(batch.points[:_FOLLOWED], batch.normals[:_FOLLOWED])
    axis = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64), dim=0)
    errors = []
    for rotation in SO(3).exp(torch.deg2rad(torch.from_numpy(_ANGLES)).unsqueeze(-1) * axis):
        moved = turned(chosen, rotation.expand(len(chosen.points), 3, 3))
        errors.append(normal_errors(predict_normals(model, moved.points, size), moved.normals).mean().item())
    return {"angles": _ANGLES, "error_by_angle": np.array(errors)}


def _gaps(points: Tensor) -> dict[str, np.ndarray]:
    """Return how far principal axes are from being arbitrary, and how often 1 % of noise makes them change places."""
    frame = PCAFrame("E(3)", degenerate="ignore")
    found = measure_stability(points, frame=frame, noise=(0.01,), rng=torch.Generator().manual_seed(0))
    return {"gap": found.gap.numpy(), "switching": found.switching[:, 0].numpy()}
