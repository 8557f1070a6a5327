"""Pictures into files: one HTML page that stands alone, or one static file a picture."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from intertwine.errors import DataError, MissingExtraError

__all__ = ["write_pictures"]


def write_pictures(
    path: str | os.PathLike[str], page: Callable[[Path], Path], figures: Callable[[], Mapping[str, Any]]
) -> list[Path]:
    """Write a page or pictures, by the suffix, and return the paths.

    Args:
        path: ``.html`` of the page, or ``.svg``, ``.png`` or ``.pdf``: the common start of the pictures' names.
        page: writes the page.
        figures: makes the figures, by what is added to the name.

    Raises:
        DataError: if the suffix is none of these.
        MissingExtraError: if plotly, or for a static picture its exporter kaleido, is not installed.
    """
    path = Path(path)
    if path.suffix == ".html":
        return [page(path)]
    if path.suffix not in (".svg", ".png", ".pdf"):
        raise DataError("no such kind of picture", got=path.suffix or str(path), expected=".html, .svg, .png or .pdf")
    return [_export(figure, path.with_name(f"{path.stem}-{name}{path.suffix}")) for name, figure in figures().items()]


def _export(figure: Any, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    height = figure.layout.height or 0
    try:
        figure.write_image(path, width=900, height=max(480, height), scale=2)
    except (ValueError, ImportError, RuntimeError) as error:
        raise MissingExtraError(
            "a static picture needs plotly's exporter",
            got=str(error).strip().partition("\n")[0],
            expected="kaleido, which drives a browser",
            fix="write an .html page, which needs nothing more, or pip install kaleido",
        ) from error
    return path
