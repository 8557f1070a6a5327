"""Applying what was trained: the network of a run for inference, and where its predictions are written."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from intertwine.errors import DataError
from intertwine.training.pretrained import load_pretrained
from intertwine.training.run import Run, open_run

__all__ = ["find_run", "load_model", "prediction_paths"]


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
        model = deepcopy(source)
    elif (run := find_run(source)) is not None:
        model = run.model()
    else:
        model = load_pretrained(Path(source).expanduser())
    return model.to(device=device, dtype=dtype).requires_grad_(False).eval()


def find_run(source: Any) -> Run | None:
    """Return the run that something is or is the folder of; None for a network and for the folder of a saved model."""
    if isinstance(source, Run):
        return source
    is_path = isinstance(source, str | Path)
    return open_run(source) if is_path and (Path(source).expanduser() / "recipe.yaml").exists() else None


def prediction_paths(
    files: Sequence[str | Path], folder: str | Path, ending: str | Callable[[Path], str]
) -> dict[Path, Path]:
    """Return for each file to predict where its predictions go, ``<folder>/<name>.predicted<ending>``.

    Args:
        files: what to predict, in order.
        folder: where to write.
        ending: of the written files, with its dot, or what gives it for a file.

    Raises:
        DataError: if two files would be written to one place.
    """
    paths = [Path(file).expanduser() for file in files]
    endings = [ending if isinstance(ending, str) else ending(path) for path in paths]
    names = [f"{path.stem or path.name}.predicted{end}" for path, end in zip(paths, endings, strict=True)]
    if len(set(names)) < len(names):
        raise DataError(
            "two of these files would be written to one place",
            got=", ".join(map(str, paths)),
            expected="files with different names",
            fix="predict them one at a time, into different folders",
        )
    return {path: Path(folder).expanduser() / name for path, name in zip(paths, names, strict=True)}
