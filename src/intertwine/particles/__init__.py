"""Charged particles: an exact simulator, readers of files, samples, batches, and predictions of where they will be.

Names load when they are first used, so that settings are read without torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "InitialStates": "simulation",
    "ParticleBatch": "batch",
    "ParticleDataSettings": "settings",
    "SampleSet": "batch",
    "Samples": "samples",
    "SimulationSettings": "settings",
    "affine_errors": "baselines",
    "check_particles": "batch",
    "complete_graph": "batch",
    "draw_states": "simulation",
    "fitted_affine": "baselines",
    "fitted_time": "baselines",
    "particle_symmetry": "batch",
    "position_errors": "baselines",
    "predict_samples": "predictions",
    "prediction_suffix": "predictions",
    "predictions_npz": "predictions",
    "predictions_table": "predictions",
    "read_samples": "files",
    "simulate": "simulation",
    "simulated_samples": "simulation",
    "straight_lines": "baselines",
    "test_sets": "splits",
    "training_sets": "splits",
    "write_predictions": "predictions",
}

__all__ = [
    "InitialStates",
    "ParticleBatch",
    "ParticleDataSettings",
    "SampleSet",
    "Samples",
    "SimulationSettings",
    "affine_errors",
    "check_particles",
    "complete_graph",
    "draw_states",
    "fitted_affine",
    "fitted_time",
    "particle_symmetry",
    "position_errors",
    "predict_samples",
    "prediction_suffix",
    "predictions_npz",
    "predictions_table",
    "read_samples",
    "simulate",
    "simulated_samples",
    "straight_lines",
    "test_sets",
    "training_sets",
    "write_predictions",
]

if TYPE_CHECKING:
    from intertwine.particles.baselines import (
        affine_errors,
        fitted_affine,
        fitted_time,
        position_errors,
        straight_lines,
    )
    from intertwine.particles.batch import ParticleBatch, SampleSet, check_particles, complete_graph, particle_symmetry
    from intertwine.particles.files import read_samples
    from intertwine.particles.predictions import (
        predict_samples,
        prediction_suffix,
        predictions_npz,
        predictions_table,
        write_predictions,
    )
    from intertwine.particles.samples import Samples
    from intertwine.particles.settings import ParticleDataSettings, SimulationSettings
    from intertwine.particles.simulation import InitialStates, draw_states, simulate, simulated_samples
    from intertwine.particles.splits import test_sets, training_sets


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'intertwine.particles' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"intertwine.particles.{_HOME[name]}"), name)
    globals()[name] = value
    return value
