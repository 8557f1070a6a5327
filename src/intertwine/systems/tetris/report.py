"""The report of a classifier of point patterns: accuracy, the sets themselves, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from intertwine.errors import DataError
from intertwine.reporting import plots
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.files import read_columns, read_json
from intertwine.reporting.numbers import format_duration, format_number
from intertwine.reporting.page import Fact, Picture, Section, Table, run_details, write_page
from intertwine.reporting.style import COLOURS, MUTED, graph_objects, styled

__all__ = ["report", "sections"]

_METRICS = {
    "accuracy": "accuracy",
    "mirror_accuracy": "accuracy of\nthe reflected sets",
    "cross_entropy": "cross entropy",
}


def report(run: Any) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Args:
        run: the folder, or a run that has it as ``folder``.
    """
    folder = _folder(run)
    return write_page(
        folder / "report.html",
        f"Point patterns {folder.resolve().name}",
        sections(folder),
        subtitle="Accuracy and symmetry of one trained model, as measured by `intertwine`.",
        details=run_details(folder),
    )


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = _folder(run)
    return [_accuracy(folder), _symmetry(folder), _training(folder)]


def _folder(run: Any) -> Path:
    return Path(run if isinstance(run, str | os.PathLike) else run.folder)


def _accuracy(folder: Path) -> Section:
    title = "Accuracy"
    if not (folder / "evaluation.json").is_file():
        return Section(title, f"Not measured yet: `intertwine evaluate {folder}` does it.")
    evaluation = Evaluation.read(folder)
    rows: list[list[str | float | None]] = []
    for name in evaluation.sets:
        found = {metric: row for metric in _METRICS if (row := evaluation.row(name, metric))}
        frames = next((row.frames for row in found.values()), None)
        rows.append([f"{name}, this run", frames, *(_value(found[m].value if m in found else None) for m in _METRICS)])
        for kind, figures in (("baseline", evaluation.baselines), ("paper", evaluation.paper)):
            for other, sets in figures.items():
                values = sets.get(name, {})
                if values:
                    rows.append([f"{other} ({kind})", None, *(_value(values.get(m)) for m in _METRICS)])
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
    return Section(title, text, pictures, [Table(["test set", "sets", *_METRICS.values()], rows)], facts)


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


def _symmetry(folder: Path) -> Section:
    title = "Symmetry"
    path = folder / "check.json"
    if not path.is_file():
        return Section(title, f"Not checked yet: `intertwine check {folder}` does it.")
    found = read_json(path, f"`intertwine check {folder}` writes it")
    try:
        measured = found["equivariance"]
        entries = [
            [e["output"], e["part"], format_number(e["relative"]), format_number(e["epsilons"]), e["verdict"]]
            for e in measured["rows"]
        ]
        worst = measured["worst"]
        fact = Fact(
            "Largest symmetry error",
            format_number(worst["relative"]),
            "",
            f"under {worst['part']}, {measured['dtype']}",
            "good" if found["passed"] else "bad",
        )
    except (KeyError, TypeError) as error:
        fix = f"write it again with `intertwine check {folder}`"
        raise DataError(f"{path} does not hold a check", got=repr(error), fix=fix) from error
    text = (
        "Point sets are moved by random elements of the group. Scores must not change under rotations, translations "
        "and renaming of points; a reflection must swap the scores of mirror images. A few machine epsilons are "
        "rounding."
    )
    columns = ["output", "under", "relative error", "in epsilons", "verdict"]
    return Section(title, text, tables=[Table(columns, entries)], facts=[fact])


def _training(folder: Path) -> Section:
    title = "Training"
    path = folder / "metrics.csv"
    columns = read_columns(path) if path.is_file() else {}
    if "step" not in columns or not columns["step"].size:
        return Section(title, "No training history yet: `intertwine train` writes it.")
    steps = columns["step"]
    wanted = {
        "loss": {"training": "train_loss", "validation": "validation_loss"},
        "accuracy": {"validation": "validation_accuracy"},
    }
    panels = {
        panel: {label: (steps, columns[name]) for label, name in curves.items() if name in columns}
        for panel, curves in wanted.items()
    }
    panels = {panel: curves for panel, curves in panels.items() if curves}
    text = f"{int(np.nanmax(steps))} steps"
    seconds = columns.get("seconds", np.array([]))
    if np.isfinite(seconds).any():
        text += f" in {format_duration(float(np.nanmax(seconds)))}"
    accuracy = columns.get("validation_accuracy")
    if accuracy is not None and np.isfinite(accuracy).any():
        best = float(np.nanmax(accuracy))
        text += f"; the highest validation accuracy, {format_number(best)}, was reached at step "
        text += f"{int(steps[np.nanargmax(accuracy)])}"
    return Section(title, text + ".", [Picture(plots.learning_curves(panels, "step"), wide=True)])
