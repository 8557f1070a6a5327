"""Figures of clouds of points that can be turned: colours of classes, parts or errors, and arrows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from intertwine.reporting.style import graph_objects, styled

__all__ = ["cloud_arrows", "cloud_figure", "cloud_row"]

_AXIS = {"showbackground": False, "showticklabels": False, "gridcolor": "rgba(127,134,145,0.25)", "title": {"text": ""}}
_SHOWN = 4096


def cloud_figure(
    points: Float[np.ndarray, "points 3"],
    colours: Sequence[str] | Float[np.ndarray, " points"],
    title: str = "",
    *,
    unit: str = "",
    size: float = 3,
) -> Any:
    """Return a cloud in space.

    Args:
        points: at most 4,096 are drawn, evenly chosen.
        colours: a colour for each point, or a number, which a scale then colours.
        title: one line above.
        unit: of the numbers.
        size: of a point, in pixels.
    """
    figure = graph_objects().Figure(_cloud(points, colours, size, unit))
    return _in_space(figure, title)


def cloud_row(
    clouds: Sequence[tuple[str, Float[np.ndarray, "points 3"], Sequence[str]]], title: str = "", *, size: float = 2.5
) -> Any:
    """Return several clouds side by side, each with a line above it; they can be turned one by one.

    Args:
        clouds: text, points and a colour for each point.
        title: one line above all.
        size: of a point, in pixels.
    """
    go = graph_objects()
    figure = go.Figure()
    count = max(len(clouds), 1)
    for place, (text, points, colours) in enumerate(clouds):
        name = "scene" if place == 0 else f"scene{place + 1}"
        trace = _cloud(points, colours, size, "")
        trace.scene = name
        figure.add_trace(trace)
        domain = [place / count + 0.005, (place + 1) / count - 0.005]
        scene = {"aspectmode": "data", "xaxis": _AXIS, "yaxis": _AXIS, "zaxis": _AXIS, "domain": {"x": domain}}
        figure.update_layout({name: scene})
        figure.add_annotation(
            x=sum(domain) / 2, y=1.02, xref="paper", yref="paper", text=text, showarrow=False, font={"size": 12}
        )
    styled(figure, title, height=340, showlegend=False)
    figure.update_layout(margin={"t": 70, "l": 0, "r": 0, "b": 0})
    return figure


def cloud_arrows(
    points: Float[np.ndarray, "points 3"],
    ends: Float[np.ndarray, "points 3"],
    colours: Sequence[str],
    title: str = "",
    *,
    shown: int = 400,
) -> Any:
    """Return a cloud with a line from some of its points to other places, such as the centres they vote for.

    Args:
        points: the cloud.
        ends: where the line of each point leads.
        colours: of the points.
        title: one line above.
        shown: lines drawn, evenly chosen.
    """
    figure = graph_objects().Figure(_cloud(points, colours, 2.5, ""))
    chosen = _chosen(len(points), shown)
    gap = np.full_like(points[chosen], np.nan)
    x, y, z = np.stack([points[chosen], ends[chosen], gap], axis=1).reshape(-1, 3).astype(np.float32).T
    line = {"color": "rgba(90,100,115,0.5)", "width": 1.5}
    figure.add_trace(graph_objects().Scatter3d(x=x, y=y, z=z, mode="lines", line=line, hoverinfo="skip"))
    x, y, z = ends[chosen].astype(np.float32).T
    marker = {"size": 3, "symbol": "diamond", "color": [colours[i] for i in chosen]}
    figure.add_trace(graph_objects().Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, hoverinfo="skip"))
    return _in_space(figure, title)


def _cloud(points: np.ndarray, colours: Any, size: float, unit: str) -> Any:
    chosen = _chosen(len(points), _SHOWN)
    x, y, z = np.asarray(points, np.float32)[chosen].T
    marker: dict[str, Any] = {"size": size}
    if isinstance(colours, np.ndarray):
        marker |= {"color": colours[chosen].astype(np.float32), "colorscale": "Viridis", "showscale": True}
        marker["colorbar"] = {"title": {"text": unit}, "thickness": 12, "len": 0.7}
    else:
        marker["color"] = [colours[i] for i in chosen]
    return graph_objects().Scatter3d(x=x, y=y, z=z, mode="markers", marker=marker, hoverinfo="skip")


def _chosen(count: int, shown: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(count, shown)).round().astype(int) if count else np.zeros(0, int)


def _in_space(figure: Any, title: str) -> Any:
    styled(figure, title, height=400, showlegend=False)
    scene = {"aspectmode": "data", "xaxis": _AXIS, "yaxis": _AXIS, "zaxis": _AXIS}
    figure.update_layout(margin={"t": 50, "l": 0, "r": 0, "b": 0}, scene=scene)
    return figure
