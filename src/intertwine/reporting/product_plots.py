"""Pictures of what products do: functions on the sphere, which degrees couple, and sparsity of Fourier tables.

Arrays in, one plotly figure out. Colours of sign are orange and blue, which readers with any of the common colour
deficiencies tell apart; what is missing has a mark of its own besides its colour.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from intertwine.reporting.numbers import format_number
from intertwine.reporting.style import COLOURS, GRID, INK, MUTED, graph_objects, styled

__all__ = ["Degrees", "coupling_map", "fourier_sparsity", "functions_on_sphere"]

Degrees = tuple[int, int, int]
"""The degrees l1, l2, l3 of a coupling."""

_SIGNS = [[0, "#b35806"], [0.25, COLOURS[1]], [0.5, "#f4f4f2"], [0.75, COLOURS[0]], [1, "#1b4f86"]]
_MISSING = COLOURS[3]
_AXIS, _BOX = 1.3, 1.45
"""Length of the axes that stick out of the unit sphere, and half of the box around it."""
_PANELS = 3
"""Panels of the coupling map side by side."""


def functions_on_sphere(points: ArrayLike, functions: Mapping[str, ArrayLike], title: str = "") -> Any:
    """Return spheres side by side, coloured by the values of functions, each relative to its own largest.

    Args:
        points: unit vectors (x, y, z) on a mesh of the sphere, ``(rows, columns, 3)``; the axis y points up.
        functions: values at these points by name, ``(rows, columns)``; no unit.
        title: one line above.
    """
    go = graph_objects()
    figure = go.Figure()
    x, y, z = np.moveaxis(np.asarray(points, np.float32), -1, 0)
    count = len(functions)
    width = 1 / count
    for number, (name, values) in enumerate(functions.items()):
        values = np.asarray(values, float)
        largest = float(np.abs(values).max())
        scene = "scene" if number == 0 else f"scene{number + 1}"
        # plotly draws its third axis upwards: it gets y, the first two z and x, and the frame stays right-handed
        figure.add_surface(
            x=z, y=x, z=y, surfacecolor=(values / (largest or 1)).astype(np.float32), scene=scene, name=name,
            customdata=values.astype(np.float32), cmin=-1, cmax=1, colorscale=_SIGNS, showscale=number == 0,
            colorbar={
                "title": {"text": "value / largest", "side": "right"}, "thickness": 12, "len": 0.8, "x": 1.0,
                "outlinewidth": 0, "tickvals": [-1, -0.5, 0, 0.5, 1],
            },
            lighting={"ambient": 0.95, "diffuse": 0.12, "specular": 0.02, "roughness": 0.9},
            hovertemplate="x %{y:.2f}, y %{z:.2f}, z %{x:.2f}<br>value %{customdata:.3g}"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
        for axis, end in (("z", (_AXIS, 0, 0)), ("x", (0, _AXIS, 0)), ("y", (0, 0, _AXIS))):
            figure.add_scatter3d(
                x=[0, end[0]], y=[0, end[1]], z=[0, end[2]], mode="lines+text", text=["", axis],
                textposition="top center", scene=scene,
                line={"color": MUTED, "width": 3}, textfont={"size": 13, "color": INK}, hoverinfo="skip",
                showlegend=False,
            )  # fmt: skip
        hidden = {"visible": False, "range": [-_BOX, _BOX]}
        figure.update_layout({
            scene: {
                "domain": {"x": [number * width, (number + 1) * width - 0.01], "y": [0, 0.86]},
                "xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "cube",
                "camera": {"eye": {"x": 1.0, "y": 0.92, "z": 0.62}, "up": {"x": 0, "y": 0, "z": 1}},
                "bgcolor": "rgba(0,0,0,0)",
            }
        })  # fmt: skip
        _heading(figure, f"{name}<br>largest |value| {format_number(largest)}", (number + 0.5) * width - 0.005, 0.88)
    styled(figure, title, height=390)
    figure.update_layout(margin={"t": 40, "b": 10, "l": 10})
    return figure


def coupling_map(
    constants: Mapping[str, Mapping[Degrees, float]], allowed: Mapping[str, Sequence[Degrees]], title: str = ""
) -> Any:
    """Return a panel for each product: which degrees l1, l2 it couples to which l3, and with which strength.

    Colour is the size of the coupling constant relative to the largest of the product. A cross is a coupling that the
    group allows and the product cannot express; an empty place is one that no equivariant product has.

    Args:
        constants: by product, the sizes of the constants of the couplings that it has.
        allowed: by product, the couplings that its group allows.
        title: one line above.
    """
    from plotly.subplots import make_subplots

    triples = [triple for found in allowed.values() for triple in found]
    pairs = sorted({(a, b) for a, b, _ in triples})
    degrees = range(max(c for _, _, c in triples) + 1)
    columns = min(_PANELS, len(constants))
    lines = -(-len(constants) // columns)
    heights = 15 * len(pairs) + 24
    figure = make_subplots(
        lines, columns, shared_yaxes=True, horizontal_spacing=0.035,
        vertical_spacing=92 / (lines * heights + 92 * (lines - 1)) if lines > 1 else 0,
        subplot_titles=[
            f"{name}: {sum(t in own for t in allowed[name])} of {len(allowed[name])}" for name, own in constants.items()
        ],
    )  # fmt: skip
    for number, (name, own) in enumerate(constants.items()):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        largest = max(own.values(), default=1.0)
        sizes = np.full((len(pairs), len(degrees)), np.nan)
        for a, b, c in own:
            sizes[pairs.index((a, b)), c] = own[a, b, c]
        texts = [[f"{a}, {b} \N{RIGHTWARDS ARROW} {c}" for c in degrees] for a, b in pairs]
        figure.add_heatmap(
            x=list(degrees), y=list(range(len(pairs))), z=sizes / largest, name=name, zmin=0, zmax=1,
            colorscale=[[0, "rgba(47,127,193,0.25)"], [1, "rgba(47,127,193,1)"]], showscale=number == 0,
            xgap=1.5, ygap=1.5, hoverongaps=False, text=texts, customdata=sizes,
            hovertemplate="%{text}: constant %{customdata:.4g}<extra>%{fullData.name}</extra>",
            colorbar={
                "title": {"text": "|constant| / largest of the product", "side": "right"}, "thickness": 12,
                "outlinewidth": 0, "len": min(1.0, 300 / (lines * heights)), "y": 1, "yanchor": "top", "x": 1.01,
            },
            **place,
        )  # fmt: skip
        missing = [triple for triple in allowed[name] if triple not in own]
        figure.add_scatter(
            x=[c for _, _, c in missing], y=[pairs.index((a, b)) for a, b, _ in missing], mode="markers",
            marker={"symbol": "x-thin", "size": 7, "color": _MISSING, "line": {"width": 2, "color": _MISSING}},
            name="allowed, not expressed", legendgroup="missing", showlegend=False,
            text=[f"{a}, {b} \N{RIGHTWARDS ARROW} {c}" for a, b, c in missing],
            hovertemplate=f"%{{text}}: allowed, {name} cannot express it<extra></extra>", **place,
        )  # fmt: skip
    for row, (before, after) in enumerate(pairwise(pairs)):
        if before[0] != after[0]:
            figure.add_hline(y=row + 0.5, line={"color": GRID, "width": 1})
    figure.add_scatter(
        x=[None], y=[None], mode="markers", name="missing: allowed by the group, not expressed",
        legendgroup="missing", marker={"symbol": "x-thin", "size": 8, "line": {"width": 2, "color": _MISSING}},
    )  # fmt: skip
    styled(figure, title, height=lines * heights + 92 * (lines - 1) + 150)
    figure.update_layout(margin={"t": 92, "b": 58}, legend={"y": 1 + 34 / (lines * heights + 92 * (lines - 1))})
    figure.update_annotations(font={"size": 12.5, "color": INK})
    figure.update_xaxes(
        title_text="degree l3 of the output", tickvals=list(degrees), showgrid=False, range=[-0.5, len(degrees) - 0.5]
    )
    figure.update_yaxes(
        tickvals=list(range(len(pairs))), ticktext=[f"{a}, {b}" for a, b in pairs],
        range=[len(pairs) - 0.5, -0.5], showgrid=False, tickfont={"size": 10.5},
    )  # fmt: skip
    figure.update_yaxes(title_text="degrees l1, l2 of the inputs", col=1)
    return figure


def fourier_sparsity(tables: Mapping[str, ArrayLike], title: str = "") -> Any:
    """Return which entries of tables between harmonics and Fourier waves do not vanish, and how many these are.

    Args:
        tables: by name, complex ``((l, m), u, v)``, with u and v from minus to plus the bandwidth. Entries below 1e-12
            of the largest are rounding and count as zero.
        title: one line above.
    """
    from plotly.subplots import make_subplots

    arrays = {name: np.asarray(table) for name, table in tables.items()}
    filled = {name: np.abs(table) > 1e-12 * np.abs(table).max() for name, table in arrays.items()}
    headings = [
        f"{name}: {found.sum():,} of {found.size:,} entries ({100 * found.mean():.2g} %)"
        for name, found in filled.items()
    ]
    rows = [len(table) for table in arrays.values()]
    gap = 100
    heights = [max(12 * count, 120) for count in rows]
    whole = sum(heights) + gap * (len(rows) - 1)
    figure = make_subplots(
        len(arrays), 1, subplot_titles=headings, row_heights=heights,
        vertical_spacing=gap / whole if len(rows) > 1 else 0,
    )  # fmt: skip
    for number, (name, table) in enumerate(arrays.items(), start=1):
        _sparsity_panel(figure, name, table, filled[name], number)
    for label, colour in (("real", COLOURS[0]), ("imaginary", COLOURS[1])):
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=label, marker={"symbol": "square", "size": 10, "color": colour}
        )
    styled(figure, title, height=whole + 150)
    figure.update_layout(margin={"t": 92, "b": 58}, legend={"y": 1 + 34 / whole})
    figure.update_annotations(font={"size": 12.5, "color": INK})
    return figure


def _sparsity_panel(figure: Any, name: str, table: np.ndarray, filled: np.ndarray, number: int) -> None:
    dim, bandwidth = len(table), table.shape[1] // 2
    highest = round(dim**0.5) - 1
    orders = range(-highest, highest + 1)  # waves of higher order in phi meet no harmonic of these degrees
    kept = slice(bandwidth - highest, bandwidth + highest + 1)
    columns = table[:, :, kept].transpose(0, 2, 1).reshape(dim, -1)
    present = filled[:, :, kept].transpose(0, 2, 1).reshape(dim, -1)
    kind = np.where(present, np.where(np.abs(np.imag(columns)) > np.abs(np.real(columns)), 1.0, 0.0), np.nan)
    width = 2 * bandwidth + 1
    names = [(degree, m) for degree in range(highest + 1) for m in range(-degree, degree + 1)]
    waves = [(u, v) for v in orders for u in range(-bandwidth, bandwidth + 1)]
    texts = [
        [
            f"l = {degree}, m = {m}; u = {u}, v = {v}: {columns[row, column]:.4g}" if present[row, column] else ""
            for column, (u, v) in enumerate(waves)
        ]
        for row, (degree, m) in enumerate(names)
    ]
    place = {"row": number, "col": 1}
    figure.add_heatmap(
        x=list(range(len(waves))), y=list(range(dim)), z=kind, zmin=0, zmax=1, name=name, showscale=False,
        colorscale=[[0, COLOURS[0]], [0.5, COLOURS[0]], [0.5, COLOURS[1]], [1, COLOURS[1]]], xgap=0.6, ygap=0.6,
        hoverongaps=False, text=texts, hovertemplate="%{text}<extra></extra>", **place,
    )  # fmt: skip
    for place_v in range(1, len(orders)):
        figure.add_vline(x=place_v * width - 0.5, line={"color": GRID, "width": 1}, **place)
    for degree in range(1, highest + 1):
        figure.add_hline(y=degree * degree - 0.5, line={"color": GRID, "width": 1}, **place)
    figure.update_xaxes(
        title_text=f"order v of the wave in \N{GREEK SMALL LETTER PHI}; in each block frequency u in "
        f"\N{GREEK SMALL LETTER THETA} from \N{MINUS SIGN}{bandwidth} to {bandwidth}",
        tickvals=[(block + 0.5) * width - 0.5 for block in range(len(orders))],
        ticktext=[f"v = {v}".replace("-", "\N{MINUS SIGN}") for v in orders],
        showgrid=False, **place,
    )  # fmt: skip
    figure.update_yaxes(
        title_text="harmonic (l, m)",
        tickvals=[degree * degree + degree for degree in range(highest + 1)],
        ticktext=[f"l = {degree}" for degree in range(highest + 1)], autorange="reversed", showgrid=False, **place,
    )  # fmt: skip


def _heading(figure: Any, text: str, x: float, y: float) -> None:
    figure.add_annotation(
        text=text, x=x, y=y, xref="paper", yref="paper", xanchor="center", yanchor="bottom", showarrow=False,
        font={"size": 12.5, "color": INK},
    )  # fmt: skip
