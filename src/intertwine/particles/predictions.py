"""Predicted positions of samples, and the files in which a user gets them."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from intertwine.errors import NumericsError
from intertwine.files import write_bytes, write_text
from intertwine.particles.batch import SampleSet
from intertwine.particles.files import read_samples, read_table
from intertwine.particles.samples import Samples
from intertwine.particles.settings import ParticleDataSettings

__all__ = ["predict_samples", "prediction_suffix", "predictions_npz", "predictions_table", "write_predictions"]


def predict_samples(model: Any, samples: Samples, batch_size: int = 500) -> Float64[np.ndarray, "samples particles 3"]:
    """Return the positions that a network predicts, in float64.

    Args:
        model: a network whose ``forward`` takes what `ParticleBatch.inputs` returns and gives positions.
        samples: from where to predict.
        batch_size: samples per call of the network.

    Raises:
        NumericsError: if a predicted position is not a finite number.
    """
    parameter = next(model.parameters())
    parts = []
    for batch in SampleSet(samples).batches(batch_size):
        with torch.no_grad():
            parts.append(model(**batch.to(parameter.device, parameter.dtype).inputs()).double().cpu())
    positions = torch.cat(parts).reshape(samples.positions.shape).numpy()
    if not np.isfinite(positions).all():
        sample = int(np.argwhere(~np.isfinite(positions))[0][0])
        raise NumericsError(
            f"{samples.where}: the predicted positions of sample {sample} are not finite numbers",
            got=positions[sample].tolist(),
            fix="look for extreme positions or velocities, and try the model with `intertwine evaluate`",
        )
    return positions


def prediction_suffix(path: Path) -> str:
    """Return the ending of the file that predictions for a file are written to: a table gives a table."""
    return ".csv" if path.suffix.lower() == ".csv" else ".npz"


def write_predictions(
    model: Any, paths: Mapping[Path, Path], settings: ParticleDataSettings, batch_size: int = 500
) -> list[Path]:
    """Predict the later positions of all simulations of all files, and return the paths of what was written.

    All files are read before anything is computed, and everything is computed before anything is written.

    Args:
        model: see `predict_samples`.
        paths: what is read, and where its predictions go: to a table or to arrays, see `prediction_suffix`.
        settings: which frame of a trajectory to start from, and which frame is predicted.
        batch_size: samples per call of the network.

    Raises:
        DataError: if a file cannot be read.
        NumericsError: if a predicted position is not a finite number.
    """
    read = [read_samples(path, settings.start_frame, settings.end_frame, targets=False) for path in paths]
    predicted = [predict_samples(model, samples, batch_size) for samples in read]
    for (path, written), samples, positions in zip(paths.items(), read, predicted, strict=True):
        if written.suffix == ".csv":
            write_text(written, predictions_table(path, samples, positions))
        else:
            write_bytes(written, predictions_npz(samples, positions))
    return list(paths.values())


def predictions_table(path: Path, samples: Samples, positions: np.ndarray) -> str:
    """Return predictions for a table as the text of a table with its simulation and particle numbers.

    Columns are ``simulation, particle, x, y, z``, and ``x_reference`` and so on where later positions are known.

    Args:
        path: of the table that the samples were read from.
        samples: as read.
        positions: predicted (samples, particles, 3).
    """
    columns = read_table(path)
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


def predictions_npz(samples: Samples, positions: np.ndarray) -> bytes:
    """Return predictions as the content of an ``.npz`` file: ``positions``, ``start``, ``charges``, ``reference``.

    Args:
        samples: from where they start; their later positions are ``reference``, where they are known.
        positions: predicted (samples, particles, 3).
    """
    arrays = {"positions": positions, "start": samples.positions, "charges": samples.charges}
    if samples.targets is not None:
        arrays["reference"] = samples.targets
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
