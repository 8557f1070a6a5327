"""The table that a benchmark of products writes: one row a measurement, as CSV or JSON, with one schema.

The first thirteen columns are those of the published comparison. Times are of one whole call over the batch; operations
and bytes are of one forward product of one sample and channel, so that the rate of a forward row is
``flops * batch * channels / time_s``. (Columns: spec of the measure, 3.5.)
"""

import csv
import io
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from intertwine.errors import DataError

__all__ = ["COLUMNS", "BenchRow", "bench_format", "read_bench", "write_bench", "write_rows", "write_text"]


@dataclass(frozen=True)
class BenchRow:
    """One measurement.

    Args:
        lmax: largest degree of the inputs.
        setting: ``SISO``, ``SIMO`` or ``MIMO``.
        product: name in the registry.
        backend: ``eager`` or ``compiled``.
        channels, batch: leading axes of the inputs.
        dtype, device: ``float32``; ``cpu``, or the name of the GPU.
        time_s: median of one call, in seconds.
        flops, bytes: of one forward product of one sample and channel.
        expressivity: degrees of freedom of the product between the setting's irreps.
        n_interactions: couplings that it performs.
        direction: ``forward``, ``backward`` or ``double_backward``.
        outputs: ``natural`` or ``all`` parities in the output.
        p10_s, p90_s: percentiles.
        repetitions, warmup_calls: calls counted and thrown away.
        steady: whether the warm-up ended by itself.
        clock: what was read, ``perf_counter`` of Python.
        threads: of torch on the CPU.
        torch, commit: versions; the commit is empty where unknown.
        peak_flops_s, bandwidth_bytes_s: what this machine reached in a large matrix product and in a large addition.
    """

    lmax: int
    setting: str
    product: str
    backend: str
    channels: int
    batch: int
    dtype: str
    device: str
    time_s: float
    flops: int
    bytes: int
    expressivity: int
    n_interactions: int
    direction: str = "forward"
    outputs: str = "natural"
    p10_s: float | None = None
    p90_s: float | None = None
    repetitions: int | None = None
    warmup_calls: int | None = None
    steady: bool | None = None
    clock: str = ""
    threads: int | None = None
    torch: str = ""
    commit: str = ""
    peak_flops_s: float | None = None
    bandwidth_bytes_s: float | None = None


COLUMNS: tuple[str, ...] = tuple(item.name for item in fields(BenchRow))
"""The columns in order."""
_NEEDED = COLUMNS[:13]
_TYPES = get_type_hints(BenchRow)


def write_bench(path: str | os.PathLike[str], rows: Iterable[BenchRow]) -> Path:
    """Write the rows, as CSV or JSON by the suffix, whole or not at all; returns the path.

    Raises:
        DataError: if the suffix is neither ``.csv`` nor ``.json``.
    """
    return write_rows(path, [asdict(row) for row in rows], COLUMNS)


def write_rows(
    path: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> Path:
    """Write flat rows, as CSV or JSON by the suffix, whole or not at all; None is an empty cell. Returns the path.

    Args:
        path: ``.csv`` or ``.json``.
        rows: with the same keys.
        columns: heading of the CSV, by default the keys of the first row.

    Raises:
        DataError: if the suffix is neither.
    """
    path = Path(path)
    if bench_format(path) == ".json":
        return write_text(path, json.dumps(rows, indent=1, allow_nan=False) + "\n")
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]) if columns is None and rows else columns or (), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else value for name, value in row.items()} for row in rows)
    return write_text(path, text.getvalue())


def read_bench(path: str | os.PathLike[str]) -> list[BenchRow]:
    """Read rows from CSV or JSON; columns after the thirteenth may be missing, further ones are left aside.

    Raises:
        DataError: if the file is missing or damaged; all problems at once, by line.
    """
    path = Path(path)
    suffix = bench_format(path)
    try:
        text = path.read_text(encoding="utf-8")
        table = json.loads(text) if suffix == ".json" else list(csv.DictReader(io.StringIO(text)))
    except FileNotFoundError as error:
        raise DataError("there is no such file", got=str(path), fix="`intertwine products bench` writes one") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as {suffix[1:].upper()}", got=str(error)) from error
    if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
        raise DataError(f"{path} is not a table", expected="a list of rows")
    rows, problems = [], {}
    for number, raw in enumerate(table, start=2 if suffix == ".csv" else 1):
        row, wrong = _row(raw)
        problems |= {f"row {number}, {column}": text for column, text in wrong.items()}
        if row is not None:
            rows.append(row)
    if problems:
        raise DataError(
            f"{path} is not a benchmark of products: {len(problems)} problem{'s' * (len(problems) > 1)}",
            got=dict(list(problems.items())[:8]),
            expected=f"the columns {', '.join(_NEEDED)}",
            fix="write it with `intertwine products bench`",
        )
    return rows


def write_text(path: Path, text: str) -> Path:
    """Write a small file so that a reader sees the old one or the new one, never a part; makes the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def bench_format(path: Path) -> str:
    """Return the suffix that says how a table is stored.

    Raises:
        DataError: if it is neither ``.csv`` nor ``.json``.
    """
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".json"):
        raise DataError(
            "a table is a CSV or a JSON file",
            got=str(path),
            expected=".csv or .json",
            fix=f"name it {path.stem}.csv",
        )
    return suffix


def _row(raw: dict[str, Any]) -> tuple[BenchRow | None, dict[str, str]]:
    values, problems = {}, {}
    for column in COLUMNS:
        value = raw.get(column)
        if value is None or (value == "" and _TYPES[column] is not str):
            if column in _NEEDED:
                problems[column] = "is missing"
            continue
        try:
            values[column] = _value(value, _TYPES[column])
        except (TypeError, ValueError):
            problems[column] = f"{value!r} is not what this column holds"
    return (None if problems else BenchRow(**values)), problems


def _value(value: Any, kind: Any) -> Any:
    for option, convert in ((bool, _boolean), (int, int), (float, float)):
        if kind in (option, option | None):
            number = convert(value)
            if option is float and not 0 <= number < float("inf"):
                raise ValueError(value)
            return number
    return str(value)


def _boolean(value: Any) -> bool:
    if str(value) not in ("True", "False", "true", "false"):
        raise ValueError(value)
    return str(value).lower() == "true"
