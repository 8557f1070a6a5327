"""The look of all figures: quiet, safe for colour-blind readers, legible on white and on black.

Backgrounds are transparent and lines are greys that both grounds carry, so one figure serves a notebook in
either theme, a printed page and the HTML report.
"""

from types import ModuleType
from typing import Any

from intertwine.errors import MissingExtraError

__all__ = ["COLOURS", "GRID", "INK", "MUTED", "graph_objects", "legend_above", "styled"]

COLOURS = ("#2f7fc1", "#e08214", "#1a9e77", "#c8553d", "#8c6bb1", "#56b4e9", "#b8860b", "#7f8c8d")
"""Eight colours in the order of use, told apart by readers with any of the common colour deficiencies."""
INK = "#6f7782"
"""Text and axes: 4.5:1 against white and against near-black."""
MUTED = "#9aa1ab"
"""Reference lines and fills that stand back."""
GRID = "rgba(127,134,145,0.22)"

_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def graph_objects() -> ModuleType:
    """Import and return ``plotly.graph_objects``.

    Raises:
        MissingExtraError: if plotly is not installed.
    """
    try:
        import plotly.graph_objects
    except ImportError as error:
        raise MissingExtraError(
            "figures need plotly", expected="plotly>=6", fix="pip install 'intertwine[train]'"
        ) from error
    return plotly.graph_objects


def styled(figure: Any, title: str = "", height: int = 380, **layout: Any) -> Any:
    """Give a plotly figure the common look; returns it.

    Args:
        figure: a ``plotly.graph_objects.Figure``, changed in place.
        title: one line above the figure.
        height: in pixels; the width follows the page.
        layout: further layout settings of plotly.
    """
    figure.update_layout(
        template="none",
        title={
            "text": title,
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 0.98,
            "yanchor": "top",
            "font": {"size": 13.5},
        },
        font={"family": _FONT, "size": 13, "color": INK},
        colorway=list(COLOURS),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        height=height,
        margin={"l": 64, "r": 14, "t": 66, "b": 52},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": MUTED, "activecolor": INK},
        hoverlabel={"font": {"family": _FONT, "size": 13}},
        **(legend_above() | layout),
    )
    axis = {
        "gridcolor": GRID,
        "linecolor": MUTED,
        "showline": True,
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": MUTED,
        "title": {"standoff": 8},
        "automargin": True,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def legend_above() -> dict[str, Any]:
    """Return the layout of a legend in one line between title and plot, where it hides no data."""
    return {"legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.01, "yanchor": "bottom"}}
