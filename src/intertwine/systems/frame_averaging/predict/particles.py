"""Predicting later positions of the particles in a user's own files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from intertwine.particles import ParticleDataSettings, prediction_suffix, write_predictions
from intertwine.training.inference import find_run, load_model, prediction_paths

__all__ = ["predict_files"]


def predict_files(
    run: Any,
    files: Sequence[str | Path],
    *,
    output: str | Path = ".",
    device: str = "cpu",
    batch_size: int = 500,
) -> list[Path]:
    """Predict the later positions of all simulations of all files, and write one file for each of them into a folder.

    A table ``NAME.csv`` gives ``NAME.predicted.csv`` with columns ``simulation, particle, x, y, z``, any other file
    ``NAME.predicted.npz`` with ``positions`` (samples, particles, 3) in the order of the file. Where the file knows the
    later positions, they stand beside the predicted ones: ``x_reference`` and so on, or ``reference``. The prediction
    starts from the frame of the trajectory that the recipe names; of a file with one, from that. All files are read
    before anything is computed. Frames drawn at random are drawn alike in each call.

    Args:
        run: anything that `load_model` takes.
        files: ``loc_*.npy`` of the published layout, ``.npz`` or ``.csv``; see `intertwine.particles.files`.
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: simulations per call of the network.

    Raises:
        DataError: if a file cannot be read, or two would be written to one place.
        NumericsError: if a prediction is not a finite number.
    """
    paths = prediction_paths(files, output, prediction_suffix)
    model, found = load_model(run, device), find_run(run)
    settings = ParticleDataSettings() if found is None else found.recipe().particles.data
    if hasattr(model, "draws"):
        model.draws = torch.Generator().manual_seed(0)
    return write_predictions(model, paths, settings, batch_size)
