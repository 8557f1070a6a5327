"""Predicting later positions of the particles in a user's own files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import NumericsError
from intertwine.reporting.files import read_columns, write_bytes, write_text
from intertwine.systems.segnn.data import Samples, read_samples
from intertwine.systems.segnn.evaluate import predict_samples
from intertwine.systems.segnn.settings import DataSettings
from intertwine.training.inference import find_run, load_model, prediction_paths

__all__ = ["predict", "predict_files"]


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
        files: ``loc_*.npy`` of the published layout, ``.npz`` or ``.csv``; see `intertwine.systems.segnn.data.files`.
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
    predicted = [predict(model, samples, batch_size=batch_size) for samples in read]
    for (path, written), samples, positions in zip(paths.items(), read, predicted, strict=True):
        if written.suffix == ".csv":
            write_text(written, _table(path, samples, positions))
        else:
            write_bytes(written, _arrays(samples, positions))
    return list(paths.values())


def predict(model: Any, samples: Samples, *, batch_size: int = 500) -> np.ndarray:
    """Return the predicted positions of samples, (samples, particles, 3).

    Raises:
        NumericsError: if one is not a finite number.
    """
    positions = predict_samples(model, samples, batch_size)
    if not np.isfinite(positions).all():
        sample = int(np.argwhere(~np.isfinite(positions))[0][0])
        raise NumericsError(
            f"{samples.where}: the predicted positions of sample {sample} are not finite numbers",
            got=positions[sample].tolist(),
            fix="look for extreme positions or velocities, and try the model with `intertwine evaluate`",
        )
    return positions


def _data_settings(source: Any) -> DataSettings:
    """Return which frames a run predicts; a model without its run predicts those of the published data."""
    run = find_run(source)
    return DataSettings() if run is None else run.recipe().data


def _ending(path: Path) -> str:
    return ".csv" if path.suffix == ".csv" else ".npz"


def _table(path: Path, samples: Samples, positions: np.ndarray) -> str:
    """Return predictions as a table with the simulation and particle numbers of the file."""
    columns = read_columns(path)
    numbers = [np.unique(columns[name]) for name in ("simulation", "particle")]
    simulation, particle = np.meshgrid(*numbers, indexing="ij")
    parts = {"": positions} if samples.targets is None else {"": positions, "_reference": samples.targets}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["simulation", "particle", *(f"{axis}{ending}" for ending in parts for axis in "xyz")])
    values = np.concatenate([part.reshape(-1, 3) for part in parts.values()], axis=1)
    for one, other, row in zip(simulation.reshape(-1), particle.reshape(-1), values.tolist(), strict=True):
        writer.writerow([f"{one:.15g}", f"{other:.15g}", *map(repr, row)])
    return text.getvalue()


def _arrays(samples: Samples, positions: np.ndarray) -> bytes:
    arrays = {"positions": positions, "start": samples.positions, "charges": samples.charges}
    if samples.targets is not None:
        arrays["reference"] = samples.targets
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
