"""Reading text and tables of numbers, with errors that name the file."""

import csv
import os
from pathlib import Path

import numpy as np

from intertwine.errors import DataError

__all__ = ["read_columns", "read_text"]


def read_text(path: str | os.PathLike[str], fix: str | None = None) -> str:
    """Return the text of a file.

    Raises:
        DataError: if it is missing or is not UTF-8; ``fix`` says which command writes it.
    """
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError("there is no such file", got=str(path), fix=fix) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a text file", got=str(error), expected="UTF-8") from error


def read_columns(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the columns of a CSV file of numbers as float64; an empty cell is NaN.

    Raises:
        DataError: if the file is missing, a line is cut off, or a cell is not a number.
    """
    header, *lines = [line for line in csv.reader(read_text(path).splitlines()) if line] or [[]]
    try:
        cells = [[float(cell or "nan") for _, cell in zip(header, line, strict=True)] for line in lines]
    except ValueError as error:
        raise DataError(
            f"{path} is not a table of numbers",
            got=str(error),
            expected=f"{len(header)} numbers in each line: {', '.join(header)}",
        ) from error
    return dict(zip(header, np.array(cells, float).reshape(-1, len(header)).T, strict=True)) if header else {}
