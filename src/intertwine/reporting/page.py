"""One self-contained HTML page: key numbers, text, tables and interactive figures, with no network.

plotly.js is inlined once, styles and figures are part of the file, and the page's content security policy
forbids the browser to fetch anything at all. Every text that comes from a caller is escaped; backticks mark
code.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from intertwine.errors import MissingExtraError, ShapeError
from intertwine.reporting.files import read_text, write_text

__all__ = ["Fact", "Picture", "Section", "Table", "run_details", "write_page"]


@dataclass(frozen=True)
class Fact:
    """One key number, shown as a card at the top of the page.

    Args:
        label: what it is.
        value: as it is to be read, for example ``"55.3"``.
        unit: beside the value.
        note: a line below, for example the bound that it is compared with.
        status: ``good`` and ``bad`` give the card a mark; None where there is nothing to judge.
    """

    label: str
    value: str
    unit: str = ""
    note: str = ""
    status: Literal["good", "bad"] | None = None


@dataclass(frozen=True)
class Table:
    """A table of texts and numbers; columns that hold only numbers are set flush right.

    Args:
        columns: the headings; a newline breaks a line.
        rows: one text or number for each column; None is shown as a dash.
        caption: a sentence above the table.

    Raises:
        ShapeError: if a row has more or fewer cells than there are columns.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str | float | None]]
    caption: str = ""

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ShapeError(
                    f"row {index} of the table does not fit its columns",
                    got=f"{len(row)} cells",
                    expected=f"{len(self.columns)}: {', '.join(self.columns)}",
                )


@dataclass(frozen=True)
class Picture:
    """A figure with a caption.

    Args:
        figure: a ``plotly.graph_objects.Figure``.
        caption: a sentence below it.
        wide: whether it takes the whole width; others stand side by side where there is room.
    """

    figure: Any
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Args:
        title: of the section; its link in the table of contents.
        text: paragraphs, separated by blank lines.
        figures: pictures, or plotly figures without caption.
        tables: shown before the figures.
        facts: key numbers for the top of the page.
        columns: how many pictures stand side by side where there is room.
    """

    title: str
    text: str = ""
    figures: Sequence[Any] = ()
    tables: Sequence[Table] = ()
    facts: Sequence[Fact] = ()
    columns: int = 2

    @property
    def anchor(self) -> str:
        """The name of the section in links."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-") or "section"

    @property
    def pictures(self) -> list[Picture]:
        """All figures as pictures."""
        return [figure if isinstance(figure, Picture) else Picture(figure) for figure in self.figures]


def write_page(
    path: str | os.PathLike[str],
    title: str,
    sections: Iterable[Section],
    facts: Iterable[Fact] = (),
    *,
    subtitle: str = "",
    details: Mapping[str, str] | None = None,
) -> Path:
    """Write the page and return its path.

    Args:
        path: of the HTML file, written atomically.
        title: of the page.
        sections: in order.
        facts: key numbers, shown before those of the sections.
        subtitle: a line below the title.
        details: texts that are folded away at the end by their heading, such as the recipe.

    Raises:
        MissingExtraError: if jinja2 or plotly is not installed.
    """
    try:
        import jinja2
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise MissingExtraError(
            "the HTML page needs jinja2 and plotly",
            expected="jinja2>=3.1, plotly>=6",
            fix="pip install 'intertwine[train]'",
        ) from error
    sections = list(sections)
    folder = files("intertwine.reporting")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"prose": _prose, "inline": _inline, "cell": _cell, "numeric": _is_numeric}
    pictures = any(section.figures for section in sections)
    text = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8")).render(
        title=title,
        subtitle=subtitle,
        facts=[*facts, *(fact for section in sections for fact in section.facts)],
        sections=list(zip(_anchors(sections), sections, strict=True)),
        details=details or {},
        style=_markup(folder.joinpath("page.css").read_text(encoding="utf-8")),
        plotly=_markup(get_plotlyjs()) if pictures else None,
        figure_json=_figure_json,
    )
    return write_text(path, text)


def run_details(run: str | os.PathLike[str]) -> dict[str, str]:
    """Return recipe and versions of a run folder, as far as they exist, for the folded part of its page."""
    names = {"Recipe": "recipe.yaml", "Versions": "versions.json"}
    return {label: read_text(Path(run) / name) for label, name in names.items() if (Path(run) / name).is_file()}


def _anchors(sections: Sequence[Section]) -> list[str]:
    taken: dict[str, int] = {}
    names = []
    for section in sections:
        taken[section.anchor] = taken.get(section.anchor, 0) + 1
        names.append(section.anchor + (f"-{taken[section.anchor]}" if taken[section.anchor] > 1 else ""))
    return names


def _markup(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


def _inline(text: str) -> Any:
    """Escape a text, then show what stands between backticks as code."""
    from markupsafe import escape

    return _markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _prose(text: str) -> Any:
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    return _markup("\n".join(f"<p>{_inline(' '.join(part.split()))}</p>" for part in paragraphs))


def _cell(value: str | float | None) -> Any:
    if value is None:
        return "\N{EN DASH}"
    return _inline(value) if isinstance(value, str) else f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_numeric(table: Table, column: int) -> bool:
    cells = [row[column] for row in table.rows if row[column] is not None]
    return bool(cells) and not any(isinstance(cell, str) and not _NUMBER.match(cell) for cell in cells)


_NUMBER = re.compile(r"^(\N{EN DASH}|[<>=\s]*[-+\N{MINUS SIGN}]?\d[\d.,e+-]*(\s*±\s*[\d.e-]+)?\s*%?)$")


def _figure_json(figure: Any) -> Any:
    """Return a figure as JSON that may stand inside a script element, whatever texts it holds."""
    content = json.loads(figure.to_json())
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False)
    return _markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))
