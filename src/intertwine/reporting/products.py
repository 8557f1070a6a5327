"""Pictures of a benchmark of products: time against degree, the same for each degree of freedom, and the roofline.

Rows are those of `intertwine.products.survey.bench_table`. Rows that differ in anything but product and degree
(setting, direction, batch, dtype, device, ...) are never drawn in one picture. Slopes are fitted to the medians.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from intertwine.errors import DataError
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Picture, Section, Table, write_page
from intertwine.reporting.picture_files import write_pictures
from intertwine.reporting.style import COLOURS, MUTED, graph_objects, styled

if TYPE_CHECKING:
    from intertwine.products.survey.bench_table import BenchRow

__all__ = ["bench_sections", "draw_bench", "fit_slope", "group_rows", "roofline", "time_against_degree"]

_GROUP = ("setting", "outputs", "direction", "backend", "channels", "batch", "dtype", "device", "threads")
_FIT_FROM = 3
"""Degrees below this one are left out of the fit where enough others are there: constant costs rule them."""

# Two ways to compute one map share a colour; the second is dashed.
_LOOK = {
    "clebsch_gordan_dense": (0, "circle", "solid"),
    "clebsch_gordan_sparse": (0, "circle-open", "dash"),
    "gaunt_grid": (1, "square", "solid"),
    "gaunt_grid_separable": (1, "square-open", "dash"),
    "gaunt_fourier": (6, "diamond", "solid"),
    "gaunt_fourier_fft": (6, "diamond-open", "dash"),
    "gaunt_dense": (7, "x-thin-open", "dot"),
    "gaunt_curl": (3, "triangle-up", "solid"),
    "gaunt_complete": (3, "triangle-up-open", "dash"),
    "matrix": (2, "pentagon", "solid"),
    "matrix_parity": (2, "pentagon-open", "dash"),
    "vector_spherical": (4, "star", "solid"),
    "low_rank": (5, "hexagon", "solid"),
}


def fit_slope(degrees: ArrayLike, times: ArrayLike) -> tuple[float, float] | None:
    """Return p and log a of ``time = a degree^p`` fitted on logarithmic axes, or None for fewer than two degrees.

    Degrees from 3 on are fitted where there are at least three of them, else all from 1 on.
    """
    x, y = np.asarray(degrees, float), np.asarray(times, float)
    kept = _fitted(x)
    if len(set(x[kept])) < 2:
        return None
    slope, offset = np.polyfit(np.log(x[kept]), np.log(y[kept]), 1)
    return float(slope), float(offset)


def _fitted(degrees: np.ndarray) -> np.ndarray:
    high = degrees >= _FIT_FROM
    return high if len(set(degrees[high])) >= 3 else degrees >= 1


def group_rows(rows: Iterable["BenchRow"]) -> dict[tuple, list["BenchRow"]]:
    """Return the rows that may stand in one picture, by what they share; each sorted by product and degree."""
    groups: dict[tuple, list[BenchRow]] = {}
    for row in rows:
        groups.setdefault(tuple(getattr(row, name) for name in _GROUP), []).append(row)
    return {key: sorted(group, key=lambda row: row.lmax) for key, group in groups.items()}


def time_against_degree(rows: Sequence["BenchRow"], *, per_freedom: bool = False) -> Any:
    """Return the plot of time against the largest degree, both logarithmic, with fitted powers in the legend.

    Bars span the percentiles 10 to 90; dotted lines are the fits. With ``per_freedom`` times are divided by the
    expressivity, which is what products that compute different things should be compared by.

    Args:
        rows: of one group; degree 0 has no place on a logarithmic axis and is left out.
        per_freedom: divide by the expressivity.
    """
    go = graph_objects()
    figure = go.Figure()
    for name, own in _by_product([row for row in rows if row.lmax >= 1]).items():
        x = np.array([row.lmax for row in own], float)
        share = np.array([row.expressivity if per_freedom else 1 for row in own], float)
        middle = np.array([row.time_s for row in own]) / share
        low = np.array([row.time_s if row.p10_s is None else row.p10_s for row in own]) / share
        high = np.array([row.time_s if row.p90_s is None else row.p90_s for row in own]) / share
        unit, scale = ("µs", 1e6) if per_freedom else ("ms", 1e3)
        fit = fit_slope(x, middle)
        colour, symbol, dash = _look(name)
        figure.add_scatter(
            x=x, y=scale * middle, name=name if fit is None else f"{name}  L<sup>{fit[0]:.1f}</sup>",
            mode="lines+markers", legendgroup=name, line={"width": 1.8, "color": colour, "dash": dash},
            marker={"size": 8, "symbol": symbol, "color": colour, "line": {"width": 1.4, "color": colour}},
            error_y={
                "type": "data", "array": scale * (high - middle), "arrayminus": scale * (middle - low),
                "width": 3, "thickness": 1,
            },
            customdata=[[row.expressivity, row.n_interactions] for row in own],
            hovertemplate=f"L = %{{x}}: %{{y:.3g}} {unit}<br>%{{customdata[0]}} degrees of freedom, "
            f"%{{customdata[1]}} couplings<extra>{name}</extra>",
        )  # fmt: skip
        if fit is not None:
            ends = x[_fitted(x)][[0, -1]]
            figure.add_scatter(
                x=ends, y=scale * np.exp(fit[1]) * ends ** fit[0], mode="lines", legendgroup=name, showlegend=False,
                line={"width": 1, "color": colour, "dash": "dot"}, opacity=0.6, hoverinfo="skip",
            )  # fmt: skip
    degrees = sorted({row.lmax for row in rows if row.lmax >= 1})
    title = "Time for each degree of freedom" if per_freedom else "Time of one call"
    styled(figure, title, height=440, legend=_LEGEND_RIGHT)
    figure.update_layout(margin={"t": 40})
    figure.update_xaxes(type="log", title_text="largest degree L", tickvals=degrees, ticktext=list(map(str, degrees)))
    _log_axis(figure.update_yaxes, "y", figure, "µs per degree of freedom" if per_freedom else "ms")
    return figure


def roofline(rows: Sequence["BenchRow"]) -> Any:
    """Return the plot of achieved rate against arithmetic intensity, below the roof that was measured on the machine.

    A product on the sloping part is bound by memory, one below the level part by arithmetic; what is far below either
    is bound by neither, for example by the overhead of many small operations. Bytes are those of our own count, with
    every intermediate written and read: caches can carry a product above the slope.

    Args:
        rows: of one group; operations are those of a forward product, so only forward rows have a place here.
    """
    go = graph_objects()
    figure = go.Figure()
    forward = [row for row in rows if row.direction == "forward" and row.bytes > 0]
    intensities = [row.flops / row.bytes for row in forward] or [1.0]
    peaks = [row.peak_flops_s for row in forward if row.peak_flops_s]
    widths = [row.bandwidth_bytes_s for row in forward if row.bandwidth_bytes_s]
    if peaks and widths:
        peak, width = float(np.median(peaks)), float(np.median(widths))
        ridge = peak / width
        x = np.array([min([*intensities, ridge]) / 2, ridge, max([*intensities, ridge]) * 2])
        label = f"{format_number(width / 1e9)} GB/s, {format_number(peak / 1e9)} GFLOP/s"
        figure.add_scatter(
            x=x, y=np.minimum(peak, width * x) / 1e9, mode="lines", name=label,
            line={"width": 2, "color": MUTED}, hoverinfo="skip",
        )  # fmt: skip
    for name, own in _by_product(forward).items():
        colour, symbol, dash = _look(name)
        figure.add_scatter(
            x=[row.flops / row.bytes for row in own], y=[_rate(row) / 1e9 for row in own], name=name,
            mode="lines+markers+text", text=[str(row.lmax) for row in own], textposition="top center",
            textfont={"size": 10, "color": colour}, line={"width": 1, "color": colour, "dash": dash},
            marker={"size": 8, "symbol": symbol, "color": colour, "line": {"width": 1.4, "color": colour}},
            hovertemplate="L = %{text}: %{y:.3g} GFLOP/s at %{x:.2g} operations a byte"
            f"<extra>{name}</extra>",
        )  # fmt: skip
    styled(figure, "Roofline (numbers are degrees)", height=440, legend=_LEGEND_RIGHT)
    figure.update_layout(margin={"t": 40})
    _log_axis(figure.update_xaxes, "x", figure, "arithmetic intensity / operations per byte")
    _log_axis(figure.update_yaxes, "y", figure, "GFLOP/s")
    return figure


def bench_sections(rows: Iterable["BenchRow"]) -> list[Section]:
    """Return a section of a page for each group of rows: a table and the pictures.

    Raises:
        DataError: if there are no rows.
    """
    sections = []
    for group in group_rows(rows).values():
        pictures = [Picture(figure, _CAPTIONS[name], wide=True) for name, figure in _figures(group).items()]
        sections.append(Section(_title(group[0]), _text(group), pictures, [_table(group)]))
    if not sections:
        raise DataError("there is nothing to draw", got="no rows", fix="`intertwine products bench` measures some")
    return sections


def draw_bench(path: str | os.PathLike[str], rows: Sequence["BenchRow"]) -> list[Path]:
    """Draw a benchmark into files and return their paths.

    ``.html`` is one page that stands alone. ``.svg``, ``.png`` and ``.pdf`` are one file a picture, named after what it
    shows, and need plotly's exporter.

    Args:
        path: of the page, or the common start of the pictures' names.
        rows: of a benchmark.

    Raises:
        DataError: if there are no rows, or the suffix is none of these.
        MissingExtraError: if plotly, or for a static picture its exporter kaleido, is not installed.
    """
    rows = list(rows)

    def page(path: Path) -> Path:
        machine = "; ".join(sorted({f"torch {row.torch}, {row.device}, {row.threads} threads" for row in rows}))
        title = "Equivariant products: time, freedom, roofline"
        return write_page(path, title, bench_sections(rows), subtitle=machine)

    def figures() -> dict[str, Any]:
        groups = list(group_rows(rows).values())
        return {
            f"{number}-{name}" if len(groups) > 1 else name: figure
            for number, group in enumerate(groups, start=1)
            for name, figure in _figures(group).items()
        }

    return write_pictures(path, page, figures)


def _figures(group: Sequence["BenchRow"]) -> dict[str, Any]:
    figures: dict[str, Callable[[], Any]] = {}
    if any(row.lmax >= 1 for row in group):
        figures["time"] = lambda: time_against_degree(group)
        figures["freedom"] = lambda: time_against_degree(group, per_freedom=True)
    if group[0].direction == "forward":
        figures["roofline"] = lambda: roofline(group)
    return {name: make() for name, make in figures.items()}


_CAPTIONS: Mapping[str, str] = {
    "time": "Median of one call; bars span the 10 and 90 percentiles, dotted lines the fitted powers in the legend.",
    "freedom": "The same divided by the number of independent equivariant maps that the product can express.",
    "roofline": "Grey: what this machine reached in a large matrix product and in adding large arrays. Bytes are "
    "counted as if every intermediate went to memory and back, so that what stays in the caches can lie above.",
}
_LEGEND_RIGHT = {"orientation": "v", "x": 1.01, "xanchor": "left", "y": 1, "yanchor": "top", "font": {"size": 12}}


def _by_product(rows: Iterable["BenchRow"]) -> dict[str, list["BenchRow"]]:
    found: dict[str, list[BenchRow]] = {}
    for row in rows:
        found.setdefault(row.product, []).append(row)
    order = list(_LOOK)
    return dict(sorted(found.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))


def _look(name: str) -> tuple[str, str, str]:
    colour, symbol, dash = _LOOK.get(name, (sum(name.encode()) % len(COLOURS), "cross", "dashdot"))
    return COLOURS[colour], symbol, dash


def _rate(row: "BenchRow") -> float:
    return row.flops * row.batch * row.channels / row.time_s


def _log_axis(update: Callable[..., Any], axis: str, figure: Any, title: str) -> None:
    """Make an axis logarithmic, with ticks at 1, 2, 5 over few decades and at powers of ten over many."""
    values = [float(value) for trace in figure.data for value in trace[axis] if value and value > 0]
    decades = np.log10(max(values) / min(values)) if values else 1.0
    update(type="log", tickformat="~g", title_text=title, dtick="D2" if decades <= 3 else 1)


def _title(row: "BenchRow") -> str:
    direction = {"forward": "forward", "backward": "forward and backward", "double_backward": "double backward"}
    return f"{row.setting}, {direction.get(row.direction, row.direction)}, {row.backend}"


def _text(group: Sequence["BenchRow"]) -> str:
    row = group[0]
    unsteady = sorted({f"{item.product} at L = {item.lmax}" for item in group if item.steady is False})
    text = (
        f"Batch {row.batch:,}, {row.channels} channel{'s' * (row.channels != 1)}, {row.dtype} on {row.device}"
        f"{'' if row.threads is None else f' with {row.threads} threads'}; outputs of "
        f"{'natural parity' if row.outputs == 'natural' else 'both parities'}."
    )
    return text + (f" Not steady after the warm-up: {', '.join(unsteady)}." if unsteady else "")


def _table(group: Sequence["BenchRow"]) -> Table:
    highest = max(row.lmax for row in group)
    lines = []
    for name, own in _by_product(group).items():
        fit = fit_slope([row.lmax for row in own if row.lmax], [row.time_s for row in own if row.lmax])
        last = next((row for row in own if row.lmax == highest), None)
        if last is None:
            lines.append([name, None if fit is None else round(fit[0], 1), *[None] * 6])
            continue
        lines.append(
            [
                name, None if fit is None else round(fit[0], 1), last.n_interactions, last.expressivity, last.flops,
                1e3 * last.time_s, 1e6 * last.time_s / max(last.expressivity, 1),
                _rate(last) / 1e9 if last.direction == "forward" else None,
            ]
        )  # fmt: skip
    columns = [
        "product", "power of L", "couplings", "freedom", "operations", "ms a call", "µs per freedom", "GFLOP/s",
    ]  # fmt: skip
    return Table(columns, lines, caption=f"At L = {highest}; operations are those of one sample forward.")
