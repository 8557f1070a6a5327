"""The figures that several systems show, as plotly figures: arrays in, one figure out.

Units are the caller's: numbers are drawn as given and the text ``unit`` is printed beside them. Large inputs
are binned or thinned here, so that a page stays small whatever the size of the test set.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from intertwine.errors import ShapeError
from intertwine.reporting.elements import element
from intertwine.reporting.numbers import format_number
from intertwine.reporting.style import COLOURS, MUTED, graph_objects, styled

__all__ = [
    "Curve",
    "element_errors",
    "energy_drift",
    "error_by_case",
    "learning_curves",
    "linear_drift",
    "parity",
]

Curve = tuple[ArrayLike, ArrayLike]
"""The x and the y values of one line."""

_MAX_POINTS = 2500
_BINS = 120
_PAPER_SYMBOLS = (
    "x-thin",
    "cross-thin",
    "square-open",
    "triangle-up-open",
    "pentagon-open",
    "star-open",
    "circle-open",
)


def parity(reference: ArrayLike, predicted: ArrayLike, quantity: str, unit: str, max_points: int = _MAX_POINTS) -> Any:
    """Return the plot of predicted against reference values, with the line y = x and the errors as title.

    Up to ``max_points`` values are drawn one by one. More are counted in square bins, coloured by the
    logarithm of the count, so that a hundred thousand force components show both their bulk and their
    outliers.

    Args:
        reference: true values, any shape.
        predicted: of the same shape.
        quantity: what they are, for example ``"force component"``.
        unit: of both.
        max_points: from where on values are binned.

    Raises:
        ShapeError: if the shapes differ, or there is no value.
    """
    go = graph_objects()
    x, y = _pair(reference, predicted, "parity")
    error = y - x
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    pad = 0.04 * (high - low) or 1.0
    low, high = float(low - pad), float(high + pad)
    figure = go.Figure()
    if x.size <= max_points:
        marker = {"size": 6, "color": COLOURS[0], "opacity": 0.55, "line": {"width": 0}}
        figure.add_scatter(x=_short(x), y=_short(y), mode="markers", marker=marker, name=quantity)
    else:
        figure.add_trace(_density(x, y, low, high))
    ends = [low, high]
    figure.add_scatter(
        x=ends, y=ends, mode="lines", line={"color": MUTED, "width": 1, "dash": "dash"}, hoverinfo="skip"
    )
    rmse, mae = float(np.sqrt(np.mean(error**2))), float(np.mean(np.abs(error)))
    styled(figure, f"RMSE {format_number(rmse)}, MAE {format_number(mae)} {unit}", height=360, showlegend=False)
    figure.update_layout(margin={"t": 44})
    figure.update_xaxes(title_text=f"reference {quantity} / {unit}", range=ends)
    figure.update_yaxes(title_text=f"predicted {quantity} / {unit}", range=ends)
    return figure


def _density(x: np.ndarray, y: np.ndarray, low: float, high: float) -> Any:
    go = graph_objects()
    counts, edges, _ = np.histogram2d(x, y, bins=_BINS, range=[[low, high], [low, high]])
    centres = (edges[1:] + edges[:-1]) / 2
    with np.errstate(divide="ignore"):
        log_counts = np.where(counts > 0, np.log10(counts), np.nan)
    return go.Heatmap(
        x=_short(centres),
        y=_short(centres),
        z=log_counts.T.astype(np.float32),
        customdata=counts.T.astype(np.int32),
        hovertemplate="reference %{x:.3g}<br>predicted %{y:.3g}<br>%{customdata} values<extra></extra>",
        colorscale=[[0, "#86b8df"], [0.35, "#5b9fd3"], [0.7, "#2f7fc1"], [1, "#e08214"]],
        showscale=False,
        hoverongaps=False,
    )


def error_by_case(
    cases: Sequence[str],
    ours: Mapping[str, Sequence[float | None]],
    baselines: Mapping[str, Sequence[float | None]] | None = None,
    paper: Mapping[str, Sequence[float | None]] | None = None,
    quantity: str = "error",
    unit: str = "",
) -> Any:
    """Return errors against test sets, such as temperatures: our bars, with baselines and published figures.

    Where the largest number is more than twenty times the smallest, the axis is logarithmic and our numbers
    are dots as well, because the length of a bar means nothing there.

    Args:
        cases: the test sets, in order.
        ours: one series or more, each with a value for every case (None where there is none).
        baselines: the same for trivial or peer models, drawn as open diamonds in colour.
        paper: the same for published figures, in grey, each with its own sign.
        quantity: what is shown, for example ``"force RMSE"``.
        unit: of all numbers.

    Raises:
        ShapeError: if a series does not have one value for each case.
    """
    go = graph_objects()
    kinds = {"ours": ours, "baseline": baselines or {}, "paper": paper or {}}
    for kind, group in kinds.items():
        for name, values in group.items():
            if len(values) != len(cases):
                raise ShapeError(
                    f"error_by_case needs one value for each case in {kind} `{name}`",
                    got=f"{len(values)} values",
                    expected=f"{len(cases)}: {', '.join(cases)}",
                    fix="put None where there is no value",
                )
    numbers = [v for group in kinds.values() for values in group.values() for v in values if v is not None and v > 0]
    logarithmic = bool(numbers) and max(numbers) > 20 * min(numbers)
    hover = f"%{{y:.4g}} {unit}<extra>%{{fullData.name}}</extra>"
    figure = go.Figure()
    for index, (name, values) in enumerate(ours.items()):
        colour = COLOURS[index % len(COLOURS)]
        if logarithmic:
            figure.add_scatter(
                x=cases, y=values, name=name, mode="lines+markers", hovertemplate=hover,
                marker={"size": 12, "color": colour}, line={"width": 2, "color": colour},
            )  # fmt: skip
        else:
            figure.add_bar(x=cases, y=values, name=name, marker={"color": colour}, hovertemplate=hover)
    for index, (name, values) in enumerate((baselines or {}).items()):
        colour = COLOURS[(len(ours) + index) % len(COLOURS)]
        figure.add_trace(_beside(cases, values, name, "diamond-open", colour, "dot", hover))
    for index, (name, values) in enumerate((paper or {}).items()):
        symbol = _PAPER_SYMBOLS[index % len(_PAPER_SYMBOLS)]
        figure.add_trace(_beside(cases, values, f"{name} (paper)", symbol, MUTED, "dash", hover))
    styled(figure, f"{quantity[:1].upper()}{quantity[1:]}", barmode="group", bargap=0.45)
    legend = 20 * -(-len(figure.data) // 2)  # two names stand side by side on a narrow page
    figure.update_layout(margin={"t": 44 + legend}, height=340 + legend)
    figure.update_xaxes(type="category", showgrid=False)
    figure.update_yaxes(title_text=f"{quantity} / {unit}" if unit else quantity)
    _log_axis(figure, "yaxis") if logarithmic else figure.update_yaxes(rangemode="tozero")
    return figure


def _beside(
    cases: Sequence[str], values: Sequence[float | None], name: str, symbol: str, colour: str, dash: str, hover: str
) -> Any:
    """Return a series that stands back behind ours."""
    return graph_objects().Scatter(
        x=cases, y=values, name=name, mode="lines+markers", hovertemplate=hover,
        marker={"size": 9, "symbol": symbol, "color": colour, "line": {"width": 1.6, "color": colour}},
        line={"width": 1, "dash": dash, "color": colour},
    )  # fmt: skip


def learning_curves(panels: Mapping[str, Mapping[str, Curve]], x_title: str = "epoch") -> Any:
    """Return panels above each other that share the x axis, each with its curves on a logarithmic axis.

    Args:
        panels: title of the y axis, then name of the curve, then x and y; values that are missing (NaN) are
            left out, as metrics of training and validation are written in different steps.
        x_title: what x counts.
    """
    go = graph_objects()
    figure = go.Figure()
    names = list(panels)
    gap = 0.06
    share = (1 - gap * (len(names) - 1)) / max(len(names), 1)
    colours: dict[str, str] = {}
    layout: dict[str, Any] = {}
    for index, panel in enumerate(names):
        suffix = "" if index == 0 else str(index + 1)
        top = 1 - index * (share + gap)
        for name, (x, y) in panels[panel].items():
            x, y = np.asarray(x, float), np.asarray(y, float)
            kept = np.isfinite(x) & np.isfinite(y)
            first = name not in colours
            colour = colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
            thin = _thinning(int(kept.sum()))
            few = kept.sum() < 40
            figure.add_scatter(
                x=_short(x[kept][thin]), y=_short(y[kept][thin]), name=name, yaxis=f"y{suffix}",
                mode="lines+markers" if few else "lines", marker={"size": 5},
                line={"width": 2, "color": colour}, legendgroup=name, showlegend=first,
                hovertemplate="%{y:.4g}<extra>%{fullData.name}</extra>",
            )  # fmt: skip
        layout[f"yaxis{suffix}"] = {"title": {"text": panel}, "domain": [max(top - share, 0), top]}
    last = "y" if len(names) < 2 else f"y{len(names)}"
    styled(figure, height=90 + 210 * max(len(names), 1), hovermode="x", **layout)
    figure.update_layout(margin={"t": 40}, xaxis={"anchor": last, "title": {"text": x_title}})
    for key in layout:
        _log_axis(figure, key)
    return figure


def linear_drift(time: ArrayLike, energy: ArrayLike) -> tuple[float, float]:
    """Return slope and offset of the least-squares line through an energy against time."""
    t, e = _pair(time, energy, "linear_drift")
    centred = t - t.mean()
    variance = float(centred @ centred)
    slope = float(centred @ e) / variance if variance > 0 else 0.0
    return slope, float(e.mean() - slope * t.mean())


def energy_drift(time_ps: ArrayLike, total: ArrayLike, potential: ArrayLike, kinetic: ArrayLike, atoms: int) -> Any:
    """Return the energies of a run at constant energy: the total with its drift, and its two parts below.

    Everything is per atom and relative to the first frame, in meV. The slope of the fitted line is the drift.

    Args:
        time_ps: times in ps.
        total: total energy in eV.
        potential: potential energy in eV.
        kinetic: kinetic energy in eV.
        atoms: number of atoms.

    Raises:
        ShapeError: if the lengths differ, or there is no frame.
    """
    go = graph_objects()
    time, total_mev = _pair(time_ps, 1e3 * np.asarray(total, float) / atoms, "energy_drift")
    total_mev = total_mev - total_mev[0]
    slope, offset = linear_drift(time, total_mev)
    thin = _thinning(time.size)
    figure = go.Figure()
    for name, values, colour in (("potential", potential, COLOURS[1]), ("kinetic", kinetic, COLOURS[2])):
        _, part = _pair(time_ps, 1e3 * np.asarray(values, float) / atoms, "energy_drift")
        figure.add_scatter(
            x=_short(time[thin]), y=_short((part - part[0])[thin]), name=name, yaxis="y2", mode="lines",
            line={"width": 1.2, "color": colour},
        )  # fmt: skip
    figure.add_scatter(
        x=_short(time[thin]), y=_short(total_mev[thin]), name="total", mode="lines",
        line={"width": 1.4, "color": COLOURS[0]},
    )  # fmt: skip
    ends = np.array([time.min(), time.max()])
    figure.add_scatter(
        x=ends, y=slope * ends + offset, name=f"drift {slope:+.2g} meV/atom/ps", mode="lines",
        line={"width": 2, "color": COLOURS[3], "dash": "dash"},
    )  # fmt: skip
    styled(
        figure, height=520, hovermode="x",
        yaxis={"domain": [0.55, 1.0], "title": {"text": "total<br>meV per atom"}},
        yaxis2={"domain": [0.0, 0.47], "title": {"text": "parts<br>meV per atom"}},
    )  # fmt: skip
    figure.update_layout(margin={"t": 40, "l": 78}, xaxis={"anchor": "y2", "title": {"text": "time / ps"}})
    figure.update_traces(hovertemplate="%{y:.4g}<extra>%{fullData.name}</extra>")
    return figure


def element_errors(numbers: ArrayLike, errors: ArrayLike, unit: str, bins: int = 48) -> Any:
    """Return the distribution of errors for each element, each with its own RMSE in the legend.

    Args:
        numbers: atomic numbers ``(N,)``.
        errors: ``(N,)`` or ``(N, 3)``, predicted minus reference.
        unit: of the errors.
        bins: of the histogram, which spans the central 99.8 % of all errors.

    Raises:
        ShapeError: if there are no errors, or not as many as atoms.
    """
    go = graph_objects()
    z, e = np.asarray(numbers).reshape(-1), np.asarray(errors, float)
    if e.size == 0 or e.shape[0] != z.size:
        raise ShapeError(
            "element_errors needs the errors of each atom",
            got={"numbers": z.shape, "errors": e.shape},
            expected="(N,) and (N, 3)",
        )
    e = e.reshape(z.size, -1)
    reach = float(np.quantile(np.abs(e), 0.998)) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)
    centres = (edges[1:] + edges[:-1]) / 2
    figure = go.Figure()
    for index, number in enumerate(np.unique(z)):
        own = e[z == number].reshape(-1)
        density = np.histogram(own, edges)[0] / (own.size * (edges[1] - edges[0]))
        rmse = float(np.sqrt(np.mean(own**2)))
        figure.add_scatter(
            x=_short(centres), y=_short(np.where(density > 0, density, np.nan)), mode="lines",
            line={"shape": "hvh", "width": 2, "color": COLOURS[index % len(COLOURS)]},
            name=f"{element(int(number)).symbol}  {format_number(rmse)}",
            hovertemplate="%{x:.3g}: %{y:.3g}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    styled(figure, f"RMSE by element, {unit}", height=360)
    figure.update_layout(margin={"t": 84})
    figure.update_xaxes(title_text=f"error / {unit}")
    figure.update_yaxes(title_text=f"density / ({unit})⁻¹")
    _log_axis(figure, "yaxis")
    return figure


def _pair(x: ArrayLike, y: ArrayLike, caller: str) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.shape != b.shape or a.size == 0:
        raise ShapeError(f"{caller} needs two arrays of one shape with values", got={"x": a.shape, "y": b.shape})
    return a.reshape(-1), b.reshape(-1)


def _thinning(count: int) -> slice:
    return slice(None, None, max(1, -(-count // _MAX_POINTS)))


def _short(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def _log_axis(figure: Any, axis: str) -> None:
    figure.update_layout({axis: {"type": "log", "tickformat": "~g"}})
