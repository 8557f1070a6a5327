"""The errors by which normals are compared; signs of normals count in none of them."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from intertwine.training.metrics import Mean

__all__ = [
    "NormalAngle",
    "NormalError",
    "NormalsWithin10",
    "alignment",
    "error_colours",
    "normal_errors",
    "normals_metrics",
]


def alignment(predicted: Float[Tensor, "*batch 3"], reference: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Return the cosines of the angles between unit normals."""
    return (predicted * reference).sum(-1)


def normal_errors(
    predicted: Float[Tensor, "*batch 3"], reference: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch"]:
    """Return ``1 - (n . m)^2``, the published error: 2/3 in the mean over random directions."""
    return 1 - alignment(predicted, reference).square()


def error_colours(errors: Float[np.ndarray, " points"]) -> UInt8[np.ndarray, "points 3"]:
    """Return colours from blue for no error over grey to red for errors of 1."""
    share = np.clip(errors, 0, 1)[:, None]
    low, middle, high = np.array([[47, 127, 193], [200, 200, 200], [200, 60, 50]])
    mixed = np.where(share < 0.5, low + 2 * share * (middle - low), middle + (2 * share - 1) * (high - middle))
    return mixed.round().astype(np.uint8)


def normals_metrics() -> MetricCollection:
    """Return the errors that a table shows, by name."""
    chosen: dict[str, Metric | MetricCollection] = {
        "normal_error": NormalError(),
        "normal_angle": NormalAngle(),
        "within_10_degrees": NormalsWithin10(),
    }
    # each metric has its own sums: groups would only save a little and share their state
    return MetricCollection(chosen, compute_groups=False)


class NormalError(Mean):
    """Mean over points of ``1 - (n . m)^2``; clouds have equally many points, so it is the mean over clouds too."""

    higher_is_better = False

    def values(self, predictions: Any, batch: Any, /) -> Tensor:
        """Return the error of each point."""
        return normal_errors(predictions.detach().double(), batch.normals.double())


class NormalAngle(Mean):
    """Mean angle between the lines of predicted and true normals."""

    unit = "deg"
    higher_is_better = False

    def values(self, predictions: Any, batch: Any, /) -> Tensor:
        """Return the angle at each point."""
        return _angles(predictions, batch)


class NormalsWithin10(Mean):
    """Share of points whose normal is off by less than 10 degrees."""

    unit = "%"
    factor = 100.0
    higher_is_better = True

    def values(self, predictions: Any, batch: Any, /) -> Tensor:
        """Return whether each point is near enough."""
        return (_angles(predictions, batch) < 10).double()


def _angles(predictions: Tensor, batch: Any) -> Tensor:
    """Return angles in degrees, without the cosine, which is flat where normals agree."""
    one, other = predictions.detach().double(), batch.normals.double()
    sine = torch.linalg.vector_norm(torch.linalg.cross(one, other), dim=-1)
    return torch.rad2deg(torch.atan2(sine, alignment(one, other).abs()))
