"""Predictions that know nothing of forces, and the errors of predicted positions."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64

from intertwine.particles.samples import Samples

__all__ = ["affine_errors", "fitted_affine", "fitted_time", "position_errors", "straight_lines"]


def fitted_time(samples: Samples) -> float:
    """Return the time t that minimises ``|x + t v - target|``: the best straight line, the same for all particles.

    Without any velocity it is 0.
    """
    moved = samples.known_targets() - samples.positions
    size = float(np.square(samples.velocities).sum())
    return float((samples.velocities * moved).sum()) / size if size > 0 else 0.0


def position_errors(predicted: Float64[np.ndarray, "samples particles 3"], samples: Samples) -> dict[str, float]:
    """Return the errors of predicted positions: squared and absolute over coordinates, distances over particles.

    Raises:
        DataError: if the targets are not known.
    """
    error = predicted - samples.known_targets()
    return {
        "position_mse": float(np.square(error).mean()),
        "position_mae": float(np.abs(error).mean()),
        "mean_distance": float(np.linalg.norm(error, axis=-1).mean()),
    }


def straight_lines(samples: Samples, times: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the errors of predictions that know nothing of forces: no motion, and straight lines.

    Args:
        samples: with targets.
        times: for each straight line its name and the time over which the velocity is extrapolated.
    """
    lines = {"no motion": 0.0, **times}
    return {
        name: position_errors(samples.positions + time * samples.velocities, samples) for name, time in lines.items()
    }


def fitted_affine(samples: Samples) -> Float64[np.ndarray, "7 3"]:
    """Return the affine map from position and velocity of a particle to its target that fits samples best.

    Rows are the three coordinates of the position, those of the velocity, and a constant.
    """
    targets = samples.known_targets().reshape(-1, 3)
    return np.linalg.lstsq(_features(samples), targets, rcond=None)[0]


def affine_errors(samples: Samples, fitted: Float64[np.ndarray, "7 3"]) -> dict[str, float]:
    """Return the errors of a fitted affine map on samples with targets."""
    return position_errors((_features(samples) @ fitted).reshape(samples.positions.shape), samples)


def _features(samples: Samples) -> np.ndarray:
    ones = np.ones_like(samples.charges)[..., None]
    return np.concatenate([samples.positions, samples.velocities, ones], axis=-1).reshape(-1, 7)
