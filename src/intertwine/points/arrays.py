"""Reading ``.npz`` files, with errors that name the file."""

import zipfile
from pathlib import Path

import numpy as np

from intertwine.errors import DataError

__all__ = ["load_arrays"]


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Return the arrays of a ``.npz`` file by name.

    Raises:
        DataError: if the file is missing, damaged, or holds objects instead of numbers and texts.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError("there is no such file", got=path, expected="a .npz file")
    try:
        with path.open("rb") as stream:
            stored = np.load(stream, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise ValueError("one array without a name")
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path.name} is damaged, or not a file of arrays", got=str(error), expected="arrays that numpy.savez wrote"
        ) from error
