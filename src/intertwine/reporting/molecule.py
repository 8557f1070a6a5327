"""A molecule in three dimensions as a plotly figure: balls, bonds, force arrows, and a slider through time.

Positions in Å. Balls, half-bonds and arrows are meshes, one trace for each element, so that they keep their
proportions at any zoom. Vertices are stored as 16-bit integers, so that a trajectory stays small enough for
one file that works without a network; the hidden axes therefore count in a unit that depends on the size of
the molecule.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from intertwine.errors import ShapeError
from intertwine.reporting.elements import element
from intertwine.reporting.style import COLOURS, INK, graph_objects, styled

__all__ = ["find_bonds", "view_molecule"]

_BALL = 0.5
"""Radius of a ball in covalent radii."""
_STICK = 0.11
"""Radius of a bond in Å."""
_ARROW = 1.6
"""Length in Å of the longest force arrow."""
_SIDES = 8
_BUDGET = 220_000
"""Vertices of all frames together, about 1.8 MB of the page."""
_VERTICES = {1: 110, 2: 230}
"""Vertices of an atom with its half-bonds and its arrow, by the number of subdivisions of the ball."""
_LIGHT = {
    "ambient": 0.68,
    "diffuse": 0.55,
    "specular": 0.2,
    "roughness": 0.6,
    "fresnel": 0.05,
    "vertexnormalsepsilon": 0,
}

Mesh = tuple[np.ndarray, np.ndarray]
"""Vertices ``(V, 3)`` and the corners of the faces ``(F, 3)``."""


def find_bonds(numbers: ArrayLike, positions: ArrayLike, stretch: float = 1.2) -> np.ndarray:
    """Return the bonded pairs ``(M, 2)``: those nearer than ``stretch`` times the sum of their radii.

    The first index of a pair is the smaller one.

    Args:
        numbers: atomic numbers ``(N,)``.
        positions: ``(N, 3)`` in Å.
        stretch: of the covalent bond length; 1.2 allows for vibration and keeps non-bonded neighbours apart.
    """
    z, x = _atoms(numbers, positions)
    radii = np.array([element(int(number)).radius for number in z])
    distance = np.linalg.norm(x[:, None] - x[None], axis=-1)
    near = distance < stretch * (radii[:, None] + radii[None])
    return np.argwhere(np.triu(near, 1))


def view_molecule(
    numbers: ArrayLike,
    positions: ArrayLike,
    forces: ArrayLike | None = None,
    *,
    labels: Sequence[str] | None = None,
    max_frames: int = 40,
    title: str = "",
    height: int = 460,
) -> Any:
    """Return an interactive view of one structure, or of a trajectory with a slider and a play button.

    The structure is turned so that its long axis lies across the page; handedness is kept. Bonds are those of
    the first frame.

    Args:
        numbers: atomic numbers ``(N,)``.
        positions: ``(N, 3)``, or ``(T, N, 3)`` for a trajectory.
        forces: of the same shape, drawn as arrows; the longest is 1.6 Å long.
        labels: one text for each frame, shown beside the slider.
        max_frames: longer trajectories are thinned evenly to this number, those of large molecules to fewer;
            first and last frame stay.
        title: one line above the figure.
        height: in pixels.

    Raises:
        ShapeError: if the arrays do not belong to the same atoms and frames, or there is no atom.
    """
    go = graph_objects()
    frames = np.asarray(positions, float)
    frames = frames[None] if frames.ndim == 2 else frames
    z, _ = _atoms(numbers, frames[0] if len(frames) else frames)
    arrows = None if forces is None else np.asarray(forces, float).reshape(-1, len(z), 3)
    for name, given in (("forces", arrows), ("labels", labels)):
        if given is not None and len(given) != len(frames):
            raise ShapeError(
                f"view_molecule needs {name} for every frame",
                got=len(given),
                expected=f"{len(frames)} frames",
            )
    detail = 2 if len(z) <= 100 else 1
    kept = _thinned(len(frames), min(max_frames, max(2, _BUDGET // (_VERTICES[detail] * len(z)))))
    turn, centre = _orientation(frames[kept[0]])
    frames = (frames[kept] - centre) @ turn
    texts = [str(index) if labels is None else str(labels[index]) for index in kept]
    if arrows is not None:
        longest = float(np.linalg.norm(arrows, axis=-1).max())
        arrows = arrows[kept] @ turn * (_ARROW / longest if longest > 0 else 0.0)
    pairs = find_bonds(z, frames[0])
    ball = _sphere(detail)
    extent = frames if arrows is None else np.concatenate([frames, frames + arrows])
    low, high = extent.min((0, 1)) - 0.7, extent.max((0, 1)) + 0.7
    unit = float(np.abs([low, high]).max()) / np.iinfo(np.int16).max

    def traces(index: int) -> list[tuple[str, str, Mesh, list[str]]]:
        x = frames[index]
        found = [_element_mesh(int(number), z, x, pairs, ball) for number in np.unique(z)]
        if arrows is not None:
            found.append(("force", COLOURS[1], _arrows(x, arrows[index]), []))
        return found

    figure = go.Figure()
    for name, colour, (vertices, faces), texts_of_vertices in traces(0):
        figure.add_mesh3d(
            **_points(vertices, unit), **_corners(faces), name=name, color=colour, showlegend=True,
            text=texts_of_vertices, hoverinfo="text" if texts_of_vertices else "name", lighting=_LIGHT,
            lightposition={"x": 3e4, "y": -9e4, "z": 9e4},
        )  # fmt: skip
    _scene(figure, low / unit, high / unit, title, height)
    if len(kept) > 1:
        figure.frames = [
            go.Frame(
                name=str(index),
                data=[go.Mesh3d(**_points(vertices, unit)) for _, _, (vertices, _), _ in traces(index)],
                traces=list(range(len(figure.data))),
            )
            for index in range(len(kept))
        ]
        _controls(figure, texts)
    return figure


def _atoms(numbers: ArrayLike, positions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    z, x = np.asarray(numbers).reshape(-1), np.asarray(positions, float)
    if z.size == 0 or x.shape != (z.size, 3):
        raise ShapeError(
            "a molecule needs a position for each atom",
            got={"numbers": z.shape, "positions": x.shape},
            expected="(N,) and (N, 3), N at least 1",
        )
    return z, x


def _thinned(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def _orientation(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a rotation (long axis to x, short axis to y, towards the viewer) and the centre to subtract."""
    centre = positions.mean(0)
    axes = np.linalg.svd(positions - centre, full_matrices=True)[2]
    turn = axes[[0, 2, 1]].T
    turn[:, 1] *= np.sign(np.linalg.det(turn))
    return turn, centre


def _element_mesh(
    number: int, z: np.ndarray, x: np.ndarray, pairs: np.ndarray, ball: Mesh
) -> tuple[str, str, Mesh, list[str]]:
    """Return name, colour, mesh and a text for each vertex of the balls and half-bonds of one element."""
    kind = element(number)
    atoms = np.flatnonzero(z == number)
    parts = [(x[atom] + kind.radius * _BALL * ball[0], ball[1]) for atom in atoms]
    owners = list(atoms)
    for first, second in [*pairs, *pairs[:, ::-1]]:
        if z[first] == number:
            parts.append(_tube(x[first], (x[first] + x[second]) / 2, _STICK, _STICK))
            owners.append(first)
    texts = [f"{kind.symbol} {owner}" for owner, part in zip(owners, parts, strict=True) for _ in part[0]]
    return kind.symbol, kind.colour, _join(parts), texts


def _arrows(starts: np.ndarray, arrows: np.ndarray) -> Mesh:
    parts = []
    for start, arrow in zip(starts, arrows, strict=True):
        length = float(np.linalg.norm(arrow))
        neck = start + arrow * max(0.0, 1 - 0.28 / length) if length > 0 else start
        parts += [_tube(start, neck, 0.045, 0.045), _tube(neck, start + arrow, 0.13, 0.0)]
    return _join(parts)


def _sphere(subdivisions: int) -> Mesh:
    """Return a unit sphere: an icosahedron whose faces are split into four, ``subdivisions`` times."""
    golden = (1 + 5**0.5) / 2
    corners = [(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    vertices = np.array([np.roll(corner, shift) for corner in corners for shift in range(3)], float)
    apart = np.linalg.norm(vertices[:, None] - vertices[None], axis=-1)
    joined = np.isclose(apart, 2.0)
    faces = np.array(
        [(a, b, c) for a, b in np.argwhere(np.triu(joined)) for c in np.flatnonzero(joined[a] & joined[b]) if c > b]
    )
    # All faces turn the same way around, else the shading of neighbours cancels along their common edge.
    a, b, c = vertices[faces.T]
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    for _ in range(subdivisions):
        edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = inverse.reshape(-1, 3) + len(vertices)
        vertices = np.concatenate([vertices, vertices[unique].mean(1)])
        (a, b, c), (ab, bc, ca) = faces.T, middle.T
        faces = np.concatenate([np.stack(f, 1) for f in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
        vertices /= np.linalg.norm(vertices, axis=1, keepdims=True)
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True), faces


def _tube(start: np.ndarray, end: np.ndarray, radius: float, end_radius: float) -> Mesh:
    """Return an open tube between two points; with two radii it is a cone."""
    direction = end - start
    # Any vector that is not parallel will do for the first of the two normals.
    normal = np.cross(direction, np.eye(3)[np.argmin(np.abs(direction))])
    normal /= max(float(np.linalg.norm(normal)), 1e-12)
    second = np.cross(direction, normal) / max(float(np.linalg.norm(direction)), 1e-12)
    angle = 2 * np.pi * np.arange(_SIDES)[:, None] / _SIDES
    ring = np.cos(angle) * normal + np.sin(angle) * second
    side = np.arange(_SIDES)
    after = (side + 1) % _SIDES
    faces = [np.stack([side, after, side + _SIDES], 1), np.stack([after, after + _SIDES, side + _SIDES], 1)]
    return np.concatenate([start + radius * ring, end + end_radius * ring]), np.concatenate(faces)


def _join(parts: Sequence[Mesh]) -> Mesh:
    offsets = np.cumsum([0] + [len(vertices) for vertices, _ in parts])
    faces = [face + offset for (_, face), offset in zip(parts, offsets, strict=False)]
    return np.concatenate([vertices for vertices, _ in parts]), np.concatenate(faces)


def _points(vertices: np.ndarray, unit: float) -> dict[str, np.ndarray]:
    return dict(zip("xyz", np.round(vertices / unit).astype(np.int16).T.copy(), strict=True))


def _corners(faces: np.ndarray) -> dict[str, np.ndarray]:
    kind = np.uint16 if faces.max() < 2**16 else np.uint32
    return dict(zip("ijk", faces.astype(kind).T.copy(), strict=True))


def _scene(figure: Any, low: np.ndarray, high: np.ndarray, title: str, height: int) -> None:
    size = high - low
    axes = {f"{name}axis": {"visible": False, "range": [float(low[i]), float(high[i])]} for i, name in enumerate("xyz")}
    styled(figure, title, height, showlegend=True)
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 40 if title else 10, "b": 10},
        legend={"orientation": "v", "x": 0.01, "y": 0.99, "yanchor": "top", "itemsizing": "constant"},
        scene={
            **axes,
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", (size / size.max() * 1.9).tolist(), strict=True)),
            "camera": {
                "eye": {"x": 0.2, "y": -1.5, "z": 0.4},
                "center": {"x": 0, "y": 0, "z": 0.08},
                "projection": {"type": "perspective"},
            },
            "bgcolor": "rgba(0,0,0,0)",
            "dragmode": "turntable",
        },
    )


def _controls(figure: Any, texts: Sequence[str]) -> None:
    still = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {"fromcurrent": True, "frame": {"duration": 70, "redraw": True}, "transition": {"duration": 0}}
    quiet = {"bgcolor": "rgba(127,134,145,0.18)", "bordercolor": "rgba(0,0,0,0)"}
    figure.update_layout(
        margin={"b": 64},
        updatemenus=[
            {
                "type": "buttons", "direction": "left", "showactive": False, "x": 0.02, "y": -0.02,
                "xanchor": "left", "yanchor": "top", "pad": {"r": 8, "t": 4}, **quiet,
                "buttons": [
                    {"label": "play", "method": "animate", "args": [None, play]},
                    {"label": "pause", "method": "animate", "args": [[None], still]},
                ],
            }
        ],
        sliders=[
            {
                "x": 0.24, "len": 0.74, "y": -0.02, "pad": {"t": 0, "b": 0}, "ticklen": 0, "minorticklen": 0,
                "font": {"color": "rgba(0,0,0,0)"}, "tickcolor": "rgba(0,0,0,0)", **quiet,
                "currentvalue": {"xanchor": "right", "font": {"size": 13, "color": INK}},
                "steps": [
                    {"label": text, "method": "animate", "args": [[str(index)], still]}
                    for index, text in enumerate(texts)
                ],
            }
        ],
    )  # fmt: skip
