"""Small files: text and tables of numbers are read with errors that name the file, and written whole or not at all."""

import csv
import os
import uuid
from pathlib import Path

import numpy as np

from intertwine.errors import DataError

__all__ = ["read_columns", "read_text", "write_bytes", "write_text"]


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file whole or not at all, so that a reader never sees a part; makes the folder if needed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write text as UTF-8, atomically."""
    return write_bytes(path, text.encode())


def read_text(path: str | os.PathLike[str], fix: str | None = None) -> str:
    """Return the text of a file, without the mark that some programs begin UTF-8 with.

    Raises:
        DataError: if it is missing or is not UTF-8; ``fix`` says which command writes it.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
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
