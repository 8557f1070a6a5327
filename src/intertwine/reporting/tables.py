"""Tables of README, docs and cards, rendered from results files, so that no number in prose is typed.

A table stands between two comments, which stay in the file and say what is shown::

    <!-- table: potential metric=force_rmse case=dev_* columns="case=Test set, value=Ours, paper=MACE" -->
    | Test set | Ours | MACE |
    ...
    <!-- end -->

The name is that of the results file (``results/potential.json``). Options: ``columns`` (a list of columns,
each with an optional heading after ``=``), ``case``, ``metric`` and ``unit`` (shell patterns, several
separated by ``|``, that keep the matching rows), ``digits`` (significant ones, 3) and ``source=no`` (no line
of provenance below the table).
Columns: ``case``, ``metric``, ``value``, ``unit``, ``seeds``, ``baselines`` (one column each),
``baseline.NAME``, ``paper``, ``target``, ``met``. Markers inside fenced code blocks are text.

``python -m intertwine.reporting.tables FILES`` rewrites the tables; with ``--check`` it names the stale ones
and fails.
"""

import argparse
import difflib
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from intertwine.errors import ConfigError, DataError, IntertwineError
from intertwine.reporting.files import read_text, write_text
from intertwine.reporting.numbers import NOTHING, format_number
from intertwine.reporting.results import ResultFile, ResultRow

__all__ = [
    "StaleTable",
    "main",
    "render_table",
    "render_text",
    "stale_tables",
    "update_file",
]

_COLUMNS = {
    "case": "Case", "metric": "Metric", "value": "Value", "unit": "Unit", "seeds": "Seeds",
    "paper": "Paper", "target": "Target", "met": "Met",
}  # fmt: skip
_DEFAULT_COLUMNS = "case, metric, value, unit, baselines, paper, target, met"
_OPTIONS = ("columns", "case", "metric", "unit", "digits", "source")
_START = re.compile(r"^\s*<!--\s*table:\s*(?P<spec>.*?)\s*-->\s*$")
_END = re.compile(r"^\s*<!--\s*end\s*-->\s*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)")


@dataclass(frozen=True)
class StaleTable:
    """A table that does not say what its results file says.

    Args:
        file: the document.
        line: of the table's marker, counted from 1.
        name: of the results file.
        difference: the lines that differ, as a unified diff without its header.
    """

    file: Path
    line: int
    name: str
    difference: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: the table `{self.name}` is stale\n{self.difference}"


def render_table(results: ResultFile, options: Mapping[str, str] | None = None, name: str = "") -> list[str]:
    """Return the lines of one markdown table.

    Args:
        results: what the numbers are taken from.
        options: those of a marker, see the module's page.
        name: of the results file, for the line of provenance.

    Raises:
        ConfigError: if an option or a column does not exist, or if no row matches.
    """
    options = dict(options or {})
    if unknown := [option for option in options if option not in _OPTIONS]:
        raise ConfigError(f"table `{name}`: unknown option", got=", ".join(unknown), expected=", ".join(_OPTIONS))
    if not (digits := options.get("digits", "3")).isdecimal() or int(digits) < 1:
        raise ConfigError(f"table `{name}`: digits is a positive integer", got=digits, expected="for example 3")
    filters = {key: options[key].split("|") for key in ("case", "metric", "unit") if key in options}
    rows = [row for row in results.rows if all(_matches(getattr(row, key), ps) for key, ps in filters.items())]
    if not rows:
        raise ConfigError(
            f"table `{name}`: no row matches",
            got={key: options[key] for key in filters},
            expected=", ".join(dict.fromkeys(f"{row.case} {row.metric}" for row in results.rows)) or "any row at all",
        )
    columns = _columns(options.get("columns", _DEFAULT_COLUMNS), rows, name)
    alignments = ("---" if column in ("case", "metric", "unit", "met") else "---:" for column in columns)
    lines = [_line(columns.values()), _line(alignments)]
    lines += [_line(_cell(row, column, int(digits)) for column in columns) for row in rows]
    if options.get("source", "yes") != "no":
        lines += ["", _provenance(results, name)]
    return lines


def _matches(text: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _columns(spec: str, rows: Sequence[ResultRow], name: str) -> dict[str, str]:
    baselines = dict.fromkeys(f"baseline.{baseline}" for row in rows for baseline in row.baselines)
    columns: dict[str, str] = {}
    for part in filter(None, map(str.strip, spec.split(","))):
        column, _, heading = map(str.strip, part.partition("="))
        if column == "baselines":
            columns |= {baseline: baseline.partition(".")[2] for baseline in baselines}
        elif column in _COLUMNS or column in baselines:
            columns[column] = heading or _COLUMNS.get(column) or column.partition(".")[2]
        else:
            raise ConfigError(
                f"table `{name}`: there is no column `{column}`",
                got=spec,
                expected=", ".join([*_COLUMNS, "baselines", *baselines]),
            )
    return columns


def _cell(row: ResultRow, column: str, digits: int) -> str:
    kind, _, baseline = column.partition(".")
    match kind:
        case "value":
            return format_number(row.value, digits, row.spread)
        case "baseline":
            return format_number(row.baselines.get(baseline), digits)
        case "paper":
            if row.paper is None:
                return NOTHING
            return format_number(row.paper.value, digits) + ("" if row.paper.verified else " (unverified)")
        case "target":
            return "" if row.target is None else f"{row.target.op} {format_number(row.target.value, digits)}"
        case "met":
            return {None: "", True: "yes", False: "**no**"}[row.meets_target]
        case "seeds":
            return ", ".join(map(str, row.seeds))
        case _:
            return getattr(row, column)


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _provenance(results: ResultFile, name: str) -> str:
    hardware = results.hardware
    machine = hardware.get("gpu") or f"{hardware.get('cpu') or 'unknown CPU'}, {hardware.get('cores')} cores"
    commit, plus, dirty = (results.commit or "unknown").partition("+")
    source = f"`results/{name}.json`: " if name else ""
    code = f"commit {commit[:10]}{plus}{dirty}"
    return f"<sub>{source}`{results.command}`, {code}, {results.date[:10]}, {machine}.</sub>"


@dataclass(frozen=True)
class _Marked:
    name: str
    options: dict[str, str]
    start: int
    end: int


def _marked(lines: Sequence[str], where: str) -> Iterator[_Marked]:
    """Yield the tables of a document; ``lines[start]`` and ``lines[end]`` are the two markers."""
    fence, opened = "", None
    for index, line in enumerate(lines):
        if opened is None and (match := _FENCE.match(line)):
            fence = "" if fence and match[1].startswith(fence) else fence or match[1]
        elif not fence and (match := _START.match(line)):
            if opened is not None:
                raise DataError(f"{where}:{opened[0] + 1}: this table has no `<!-- end -->`", got=lines[opened[0]])
            opened = (index, match["spec"])
        elif opened is not None and _END.match(line):
            try:
                name, *options = shlex.split(opened[1])
                parts = dict(option.split("=", 1) for option in options)
            except ValueError as error:
                raise DataError(
                    f"{where}:{opened[0] + 1}: this marker cannot be read",
                    got=lines[opened[0]],
                    expected='<!-- table: NAME option=value option="value with spaces" -->',
                ) from error
            yield _Marked(name, parts, opened[0], index)
            opened = None
    if opened is not None:
        raise DataError(f"{where}:{opened[0] + 1}: this table has no `<!-- end -->`", got=lines[opened[0]])


def render_text(text: str, results: str | Path = "results", where: str = "text") -> str:
    """Return a document with all its tables rendered again.

    Raises:
        DataError: if a results file is missing or damaged, or a marker cannot be read or is not closed.
        ConfigError: if a marker asks for what its results file does not have.
    """
    lines = text.splitlines()
    rendered, done = [], 0
    for table in _marked(lines, where):
        found = ResultFile.read(Path(results) / f"{table.name}.json")
        rendered += [
            *lines[done : table.start + 1],
            *render_table(found, table.options, table.name),
            lines[table.end],
        ]
        done = table.end + 1
    return "\n".join(rendered + lines[done:]) + ("\n" if text.endswith("\n") else "")


def update_file(file: str | Path, results: str | Path = "results") -> bool:
    """Render the tables of a document again; return whether it changed. An unchanged file is not touched."""
    old = read_text(file)
    new = render_text(old, results, str(file))
    if new != old:
        write_text(file, new)
    return new != old


def stale_tables(file: str | Path, results: str | Path = "results") -> list[StaleTable]:
    """Return the tables of a document that differ from their results files; empty is good."""
    text = read_text(file)
    old, new = text.splitlines(), render_text(text, results, str(file)).splitlines()
    stale = []
    for before, after in zip(_marked(old, str(file)), _marked(new, str(file)), strict=True):
        here, there = old[before.start + 1 : before.end], new[after.start + 1 : after.end]
        if here != there:
            difference = "\n".join(list(difflib.unified_diff(here, there, lineterm="", n=0))[2:])
            stale.append(StaleTable(Path(file), before.start + 1, before.name, difference))
    return stale


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``python -m intertwine.reporting.tables``; the exit status is 1 for a stale table, 2 for errors."""
    parser = argparse.ArgumentParser(
        prog="python -m intertwine.reporting.tables",
        description="Render the tables of documents from results files.",
    )
    parser.add_argument("files", nargs="+", type=Path, help="markdown files with tables")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a table is stale")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the results files")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            stale = [table for file in options.files for table in stale_tables(file, options.results)]
            sys.stderr.writelines(f"{table}\n" for table in stale)
            if stale:
                sys.stderr.write("render them again with `make docs-tables`\n")
            return int(bool(stale))
        changed = [file for file in options.files if update_file(file, options.results)]
        sys.stdout.writelines(f"rendered {file}\n" for file in changed)
    except IntertwineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
