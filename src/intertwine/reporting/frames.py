"""The stability of frames as a page, or as numbers: gaps of eigenvalues, and what noise does to the axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.frames import Stability
from intertwine.reporting.files import write_json
from intertwine.reporting.page import Fact, Picture, Section, Table, write_page
from intertwine.reporting.style import graph_objects

__all__ = ["gap_histogram", "turning_by_gap", "write_stability"]

_SMALLEST = 1e-6


def write_stability(path: Path, names: Sequence[str], found: Stability, frame: str, tolerance: float) -> Path:
    """Write a report on clouds: a page where the name ends in ``.html``, numbers where it ends in ``.json``."""
    if path.suffix == ".json":
        return write_json(
            path, {"frame": frame, "tolerance": tolerance, "noise": found.noise, "clouds": _rows(names, found)}
        )
    broken = int((~found.valid).sum())
    switching = 100 * float(found.switching[:, -1].mean())
    facts = [
        Fact("clouds", str(len(found))),
        Fact("degenerate", str(broken), note=f"gap below {tolerance:g}", status="bad" if broken else "good"),
        Fact("axes change places", f"{switching:.1f}", "%", f"of draws with noise {found.noise[-1]:g}"),
    ]
    pictures = [
        Picture(gap_histogram(found.gap.numpy(), tolerance), "How far clouds are from where their axes are arbitrary."),
        Picture(turning_by_gap(found), "A small gap lets noise turn the axes: the angle goes as noise over gap."),
    ]
    rows = [
        [row["name"], row["points"], row["rank"], row["gap"], row["elements"], row["switching"][-1]]
        for row in sorted(_rows(names, found), key=lambda row: np.inf if row["gap"] is None else row["gap"])
    ]
    columns = ("cloud", "points", "rank", "gap", "elements", "switching")
    text = (
        "A frame is equivariant where the eigenvalues of the covariance differ. Where they meet, axes are arbitrary, "
        "and near that point they change places under little noise."
    )
    section = Section("Stability of frames", text, pictures, [Table(columns, rows, "Least stable first.")], facts)
    return write_page(path, frame, [section], subtitle=f"{len(found)} clouds")


def gap_histogram(gaps: np.ndarray, tolerance: float) -> Any:
    """Return the histogram of relative gaps of eigenvalues, on a logarithmic axis, with the tolerance as a line."""
    go = graph_objects()
    finite = np.log10(np.maximum(gaps[np.isfinite(gaps)], _SMALLEST))
    edges = np.linspace(np.log10(_SMALLEST), 0, 37)
    counts, _ = np.histogram(finite, edges)
    centres = 10 ** ((edges[1:] + edges[:-1]) / 2)
    widths = 10 ** edges[1:] - 10 ** edges[:-1]
    figure = go.Figure(go.Bar(x=centres, y=counts, width=widths, marker={"color": "#2f7fc1"}, name="clouds"))
    figure.add_vline(x=tolerance, line={"dash": "dash", "color": "#c0392b"}, annotation_text="tolerance")
    figure.update_xaxes(type="log", title="smallest gap of eigenvalues / largest eigenvalue", tickformat="~g")
    figure.update_yaxes(title="clouds")
    return figure


def turning_by_gap(found: Stability) -> Any:
    """Return the angle by which axes turn against the gap, for each size of noise, on logarithmic axes."""
    go = graph_objects()
    figure = go.Figure()
    gaps = np.maximum(found.gap.numpy(), _SMALLEST)
    known = np.isfinite(gaps)
    for place, share in enumerate(found.noise):
        angles = np.maximum(found.turn[:, place].numpy(), 1e-3)
        figure.add_scatter(
            x=gaps[known], y=angles[known], mode="markers", name=f"noise {share:g}", marker={"size": 6, "opacity": 0.7}
        )
    figure.update_xaxes(type="log", title="smallest gap / largest eigenvalue", tickformat="~g")
    figure.update_yaxes(type="log", title="median turn of the axes (degrees)", tickformat="~g")
    return figure


def _rows(names: Sequence[str], found: Stability) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "points": int(found.points[i]),
            "rank": int(found.rank[i]),
            "gap": float(found.gap[i]) if found.gap[i].isfinite() else None,
            "valid": bool(found.valid[i]),
            "elements": int(found.elements[i]),
            "turn_degrees": found.turn[i].tolist(),
            "switching": found.switching[i].tolist(),
        }
        for i, name in enumerate(names)
    ]
