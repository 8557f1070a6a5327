"""Figures of charged particles: where they were, will be and are predicted to be, and which encounters go wrong."""

from typing import Any

import numpy as np
from jaxtyping import Float

from intertwine.reporting.style import COLOURS, MUTED, graph_objects, styled

__all__ = ["closest_approach", "encounters", "error_along", "particles_in_space"]

_CHARGES = {1: ("#c8553d", "positive"), 0: ("#7f8c8d", "neutral"), -1: ("#2f7fc1", "negative")}


def particles_in_space(
    start: Float[np.ndarray, "particles 3"],
    reference: Float[np.ndarray, "particles 3"],
    predicted: Float[np.ndarray, "particles 3"],
    charges: Float[np.ndarray, " particles"],
    title: str = "",
) -> Any:
    """Return a figure of one sample that can be turned: lines lead from the start to the true later position.

    Args:
        start: positions at the start.
        reference: true later positions.
        predicted: predicted ones.
        charges: their signs decide the colours.
        title: one line above the figure.
    """
    go = graph_objects()
    figure = go.Figure()
    for sign, (colour, word) in _CHARGES.items():
        own = np.sign(charges) == sign
        if not own.any():
            continue
        lines = np.stack([start[own], reference[own], np.full_like(start[own], np.nan)], axis=1).reshape(-1, 3)
        figure.add_trace(_cloud(lines, mode="lines", line={"color": colour, "width": 4}, name=word))
        marker = {"size": 6, "color": colour}
        figure.add_trace(_cloud(reference[own], mode="markers", marker=marker, name=word, legendgroup=word))
    marker = {"size": 8, "symbol": "diamond-open", "color": COLOURS[1]}
    figure.add_trace(_cloud(predicted, mode="markers", marker=marker, name="predicted", showlegend=True))
    styled(figure, title, height=400)
    axis = {"showbackground": False, "gridcolor": "rgba(127,134,145,0.3)", "title": {"text": ""}}
    figure.update_layout(
        margin={"t": 60, "l": 0, "r": 0, "b": 0},
        scene={"aspectmode": "data", "xaxis": axis, "yaxis": axis, "zaxis": axis},
    )
    return figure


def _cloud(points: np.ndarray, **options: Any) -> Any:
    x, y, z = np.asarray(points, np.float32).T
    return graph_objects().Scatter3d(x=x, y=y, z=z, **{"showlegend": options.get("mode") == "lines", **options})


def encounters(distance: Float[np.ndarray, " samples"], error: Float[np.ndarray, " samples"]) -> Any:
    """Return the error of each sample against the smallest distance of two of its particles, both logarithmic.

    Args:
        distance: smallest distance between particles of different charge.
        error: mean squared error of the sample.
    """
    go = graph_objects()
    shown = np.linspace(0, len(error) - 1, min(len(error), 2000)).round().astype(int)
    marker = {"size": 5, "color": COLOURS[0], "opacity": 0.5, "line": {"width": 0}}
    figure = go.Figure()
    figure.add_scatter(
        x=distance[shown].astype(np.float32), y=error[shown].astype(np.float32), mode="markers", marker=marker,
        name="one simulation", hovertemplate="distance %{x:.2g}<br>error %{y:.2g}<extra></extra>",
    )  # fmt: skip
    figure.add_hline(y=float(error.mean()), line={"color": MUTED, "dash": "dash"}, annotation_text="mean")
    styled(figure, "Squared error of each simulation", height=400, showlegend=False)
    figure.update_layout(margin={"t": 44})
    figure.update_xaxes(type="log", title_text="smallest distance between opposite charges, at start or end")
    figure.update_yaxes(type="log", title_text="mean squared error")
    return figure


def error_along(
    motion: Float[np.ndarray, " steps"],
    error: Float[np.ndarray, " steps"],
    title: str,
    words: str,
    quantity: str = "mean squared error",
) -> Any:
    """Return the error on samples that are all moved alike, by how far they are moved.

    Args:
        motion: angle or length of each step.
        error: measured there.
        title: one line above the figure.
        words: what the motion is, with its unit.
        quantity: what the error is.
    """
    figure = graph_objects().Figure()
    line = {"color": COLOURS[0], "width": 3}
    figure.add_scatter(x=motion.astype(np.float32), y=error.astype(np.float32), mode="lines+markers", line=line)
    styled(figure, title, height=320, showlegend=False)
    figure.update_layout(margin={"t": 44})
    figure.update_xaxes(title_text=words)
    figure.update_yaxes(title_text=quantity, rangemode="tozero")
    return figure


def closest_approach(
    positions: Float[np.ndarray, "samples particles 3"], charges: Float[np.ndarray, "samples particles"]
) -> Float[np.ndarray, " samples"]:
    """Return the smallest distance between particles of opposite charge; infinite where there are none."""
    between = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    opposite = charges[:, :, None] * charges[:, None] < 0
    return np.where(opposite, between, np.inf).min((1, 2))
