"""Predicting later positions of the particles in a user's own files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from intertwine.errors import DataError, NumericsError
from intertwine.reporting.files import read_columns, write_bytes, write_text
from intertwine.systems.segnn.data import Samples, read_samples
from intertwine.systems.segnn.evaluate import predict_samples
from intertwine.systems.segnn.settings import DataSettings
from intertwine.training.pretrained import load_pretrained
from intertwine.training.run import Run, open_run

__all__ = ["load_model", "predict", "predict_files"]


def load_model(source: Any, device: str = "cpu", dtype: torch.dtype | None = None) -> Any:
    """Return a trained network for inference, with frozen weights, that nobody else holds.

    Args:
        source: a run or its folder, the folder of a saved model, or a network (of which a copy is made).
        device: where to put it.
        dtype: of its weights and of what is computed with them; as saved when not given.

    Raises:
        ConfigError: if the folder of a run has no model yet.
        CheckpointError: if there is no saved model, or it cannot be read.
    """
    if isinstance(source, torch.nn.Module):
        from copy import deepcopy

        model = deepcopy(source)
    elif isinstance(source, Run):
        model = source.model()
    elif (Path(source) / "recipe.yaml").exists():
        model = open_run(source).model()
    else:
        model = load_pretrained(Path(source).expanduser())
    return model.to(device=device, dtype=dtype).requires_grad_(False).eval()


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
    paths = [Path(file).expanduser() for file in files]
    names = [f"{path.stem}.predicted.{'csv' if path.suffix == '.csv' else 'npz'}" for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            "two of these files would be written to one place",
            got=", ".join(map(str, paths)),
            expected="files with different names",
            fix="predict them one at a time, into different folders",
        )
    model, settings = load_model(run, device), _data_settings(run)
    read = [read_samples(path, settings.start_frame, settings.end_frame, targets=False) for path in paths]
    predicted = [predict(model, samples, batch_size=batch_size) for samples in read]
    folder = Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for path, name, samples, positions in zip(paths, names, read, predicted, strict=True):
        if path.suffix == ".csv":
            write_text(folder / name, _table(path, samples, positions))
        else:
            write_bytes(folder / name, _arrays(samples, positions))
    return [folder / name for name in names]


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
    if isinstance(source, Run):
        return source.recipe().data
    if isinstance(source, str | Path) and (Path(source) / "recipe.yaml").exists():
        return open_run(source).recipe().data
    return DataSettings()


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
