"""Reading and writing the small files of a report: atomically, and with errors that name the file."""

import json
import os
from pathlib import Path
from typing import Any

from intertwine.errors import DataError
from intertwine.files import read_columns, read_text, write_bytes, write_text

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
