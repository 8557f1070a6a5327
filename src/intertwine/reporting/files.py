"""Reading and writing the small files of a report: atomically, and with errors that name the file."""

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.files import write_bytes, write_text

__all__ = ["read_columns", "read_json", "read_text", "write_bytes", "write_json", "write_text"]


def write_json(path: str | os.PathLike[str], value: Any) -> Path:
    """Write JSON that any reader accepts (NaN and infinity are refused), atomically.

    Raises:
        DataError: if the value holds something that JSON cannot express.
    """
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{Path(path).name} cannot be written as JSON",
            got=str(error),
            expected="texts, finite numbers, lists and mappings",
            fix="write null for a value that does not exist",
        ) from error
    return write_text(path, text + "\n")


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


def read_json(path: str | os.PathLike[str], fix: str | None = None) -> Any:
    """Return the value that a JSON file holds.

    Raises:
        DataError: if the file is missing, or is not JSON.
    """
    try:
        return json.loads(read_text(path, fix))
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} is not JSON",
            got=f"line {error.lineno}, column {error.colno}: {error.msg}",
            fix=fix or "write it again with the command that made it",
        ) from error


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
