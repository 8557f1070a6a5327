"""Predicting later positions of the particles in a user's own files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from intertwine.particles import (
    ParticleDataSettings,
    predict_samples,
    predictions_npz,
    predictions_table,
    read_samples,
)
from intertwine.reporting.files import write_bytes, write_text
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
    starts from the frame that the recipe names; of a file with one frame, from that. All files are read before
    anything is computed.

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
    paths = prediction_paths(files, output, _ending)
    model, settings = load_model(run, device), _data_settings(run)
    read = [read_samples(path, settings.start_frame, settings.end_frame, targets=False) for path in paths]
    predicted = [predict_samples(model, samples, batch_size) for samples in read]
    for (path, written), samples, positions in zip(paths.items(), read, predicted, strict=True):
        if written.suffix == ".csv":
            write_text(written, predictions_table(path, samples, positions))
        else:
            write_bytes(written, predictions_npz(samples, positions))
    return list(paths.values())


def _data_settings(source: Any) -> ParticleDataSettings:
    """Return which frames a run predicts; a model without its run predicts those of the published data."""
    run = find_run(source)
    return ParticleDataSettings() if run is None else run.recipe().data


def _ending(path: Path) -> str:
    return ".csv" if path.suffix.lower() == ".csv" else ".npz"
