"""The report of a classifier of point patterns: accuracy, the sets themselves, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from intertwine.reporting.accuracy import not_measured
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section, Table
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section
from intertwine.reporting.style import COLOURS, MUTED, graph_objects, styled

__all__ = ["sections"]

_METRICS = {
    "accuracy": "accuracy",
    "mirror_accuracy": "accuracy of\nthe reflected sets",
    "cross_entropy": "cross entropy",
}
_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "accuracy": {"validation": "validation_accuracy"},
}
_SYMMETRY = (
    "Point sets are moved by random elements of the group. Scores must not change under rotations, translations "
    "and renaming of points; a reflection must swap the scores of mirror images. A few machine epsilons are "
    "rounding."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    highest = ("validation_accuracy", "validation accuracy")
    return [
        _accuracy(folder),
        symmetry_section(folder, _SYMMETRY),
        training_section(folder, _PANELS, by="step", highest=highest),
    ]


def _accuracy(folder: Path) -> Section:
    if (missing := not_measured(folder)) is not None:
        return missing
    evaluation = Evaluation.read(folder)
    rows: list[list[str | float | None]] = []
    for name in evaluation.sets:
        found = {metric: row for metric in _METRICS if (row := evaluation.row(name, metric))}
        frames = next((row.frames for row in found.values()), None)
        rows.append([f"{name}, this run", frames, *(_value(found[m].value if m in found else None) for m in _METRICS)])
        for other, sets in evaluation.others.items():
            if values := sets.get(name):
                rows.append([other, None, *(_value(values.get(m)) for m in _METRICS)])
    facts = [
        Fact(f"Accuracy, {name}", _value(row.value) or "", "", f"of {row.frames} point sets")
        for name in evaluation.sets
        if (row := evaluation.row(name, "accuracy"))
    ]
    text = (
        "The part of the point sets whose class has the highest score; of equal scores the first counts. A reflected "
        "set of a class with a mirror image is to be called that image. A model that is blind to handedness gives both "
        "equal scores, and is right about one of them only."
    )
    pictures = [picture for name in evaluation.sets for picture in _pictures(evaluation, name)]
    return Section("Accuracy", text, pictures, [Table(["test set", "sets", *_METRICS.values()], rows)], facts)


def _value(value: float | None) -> str | None:
    return None if value is None else format_number(value)


def _pictures(evaluation: Evaluation, name: str) -> list[Picture]:
    needed = ("scores", "labels", "classes", "positions", "edges", "sizes")
    arrays = {key: evaluation.array(name, key) for key in needed}
    if any(array is None for array in arrays.values()):
        return []
    scores, labels, classes, positions, edges, sizes = (np.asarray(arrays[key]) for key in needed)
    predicted = scores.argmax(-1)
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    shown = [
        (points, str(classes[label]), str(classes[guess]))
        for points, label, guess in zip(
            np.split(positions, np.cumsum(sizes)[:-1]), labels[: len(sizes)], predicted[: len(sizes)], strict=True
        )
    ]
    return [
        Picture(_confusion(counts, classes), f"{name}: how often a class (row) is given the name of another (column)."),
        Picture(_sets(shown, edges), f"{name}: the first {len(shown)} sets; wrong names are orange.", wide=True),
    ]


def _confusion(counts: np.ndarray, classes: np.ndarray) -> Any:
    names = [str(name) for name in classes]
    figure = graph_objects().Figure()
    figure.add_heatmap(
        x=names, y=names, z=counts, text=counts, texttemplate="%{text}", showscale=False,
        colorscale=[[0, "rgba(127,134,145,0.08)"], [1, COLOURS[0]]],
        hovertemplate="%{y} called %{x}: %{z}<extra></extra>",
    )  # fmt: skip
    styled(figure, height=420)
    figure.update_xaxes(title_text="predicted")
    figure.update_yaxes(title_text="true", autorange="reversed")
    return figure


def _sets(shown: list[tuple[np.ndarray, str, str]], edges: np.ndarray) -> Any:
    """All sets in one scene, side by side in rows of eight, with lines between neighbours and the predicted names."""
    figure = graph_objects().Figure()
    spacing = 1.4 * max(np.ptp(points, axis=0).max() for points, _, _ in shown) + 1e-9
    start = 0
    for place, (points, label, guess) in enumerate(shown):
        centred = points - points.mean(0) + spacing * np.array([place % 8, -1.3 * (place // 8), 0])
        mine = edges[:, (edges[0] >= start) & (edges[0] < start + len(points)) & (edges[0] < edges[1])] - start
        gap = np.full((1, 3), np.nan)
        lines = np.concatenate([np.concatenate([centred[[a, b]], gap]) for a, b in mine.T] or [gap])
        colour = COLOURS[0] if label == guess else COLOURS[1]
        words = label if label == guess else f"{label}, called {guess}"
        figure.add_scatter3d(
            x=lines[:, 0],
            y=lines[:, 1],
            z=lines[:, 2],
            mode="lines",
            line={"color": MUTED, "width": 4},
            hoverinfo="skip",
        )
        figure.add_scatter3d(
            x=centred[:, 0], y=centred[:, 1], z=centred[:, 2], mode="markers", name=words,
            marker={"size": 5, "color": colour}, hovertemplate=f"{words}<extra></extra>",
        )  # fmt: skip
        low = centred.mean(0) - [0, spacing / 1.8, 0]
        figure.add_scatter3d(
            x=low[:1], y=low[1:2], z=low[2:], mode="text", text=[guess], textfont={"color": colour}, hoverinfo="skip"
        )
        start += len(points)
    hidden = {"visible": False}
    styled(figure, height=360, showlegend=False)
    figure.update_layout(
        margin={"l": 0, "r": 0, "t": 10, "b": 0},
        scene={"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "data"},
        scene_camera={
            "eye": {"x": 0, "y": 0, "z": 1.35},
            "up": {"x": 0, "y": 1, "z": 0},
            "projection": {"type": "orthographic"},
        },
    )
    return figure
