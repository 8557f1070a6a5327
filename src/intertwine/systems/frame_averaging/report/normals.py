"""The report of the normals task: errors, clouds coloured by error, turned clouds, frames, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from intertwine.frames import PCAFrame
from intertwine.reporting.accuracy import comparison, metric_facts, model_tables, not_measured
from intertwine.reporting.clouds import cloud_arrows, cloud_figure, cloud_row
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.frames import gap_histogram
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section, Table
from intertwine.reporting.particles import error_along
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section
from intertwine.systems.frame_averaging.metrics.normals import error_colours

__all__ = ["sections"]

_METRICS = {"normal_error": "1 - (n · m)²", "normal_angle": "mean angle, deg", "within_10_degrees": "within 10°, %"}
_PANELS = {
    "error": {"training": "train_loss", "validation": "validation_loss"},
    "mean angle": {"validation": "validation_normal_angle"},
    "learning rate": {"learning rate": "learning_rate"},
}
_ACCURACY = (
    "The error of a normal n where m is true is 1 - (n · m)²: 0 where the lines agree, 2/3 in the mean over random "
    "directions. Signs do not count. `Plane fit` is the classical estimate, the direction in which the 20 nearest "
    "points spread least. `turned` is the same test set, each cloud turned by its own random rotation."
)
_SYMMETRY = (
    "Points are renamed, and clouds are turned, mirrored and moved where the network claims that, by random elements "
    "of the group, and the normals are compared with the transformed ones. An error near machine precision is "
    "rounding; a broken symmetry is many orders larger. Clouds whose principal axes stand well apart are used."
)
_FRAMES = (
    "A cloud seen from the elements of its frame, principal axes with all signs: what the network is averaged over. "
    "Points have the colours of their numbers. Where two eigenvalues of the covariance meet, as they do for symmetric "
    "parts, axes are arbitrary: left of the dashed line a small change of the cloud changes its frames much."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, clouds, rotations, frames, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    return [
        *_measured(folder),
        symmetry_section(folder, _SYMMETRY),
        training_section(folder, _PANELS, lowest=("validation_loss", "validation error")),
    ]


def _measured(folder: Path) -> list[Section]:
    if (missing := not_measured(folder)) is not None:
        return [missing]
    evaluation = Evaluation.read(folder)
    return [_accuracy(evaluation), *_clouds(evaluation), *_turned(evaluation), *_frames(evaluation)]


def _accuracy(evaluation: Evaluation) -> Section:
    text = _ACCURACY
    if evaluation.paper:
        text += "\n\nPublished figures are those of networks trained on 8000 CAD models of ABC, as remembered."
    facts = metric_facts(evaluation, "normal_error", "Error")
    tables = model_tables(evaluation, _METRICS, "clouds")
    return Section("Accuracy", text, [comparison(evaluation, "normal_error", _METRICS["normal_error"])], tables, facts)


def _clouds(evaluation: Evaluation) -> list[Section]:
    pictures = []
    for name in evaluation.sets:
        points, normals = evaluation.array(name, "points"), evaluation.array(name, "normals")
        predicted = evaluation.array(name, "predicted")
        if points is None or normals is None or predicted is None or not len(points):
            continue
        errors = 1 - (predicted * normals).sum(-1) ** 2
        order = np.argsort(errors.mean(1))
        for word, cloud in (("median", order[len(order) // 2]), ("largest", order[-1])):
            title = f"{name}, cloud {cloud}: error {format_number(float(errors[cloud].mean()))}"
            coloured = cloud_figure(points[cloud], errors[cloud], title, unit="error")
            pictures.append(Picture(coloured, f"The cloud of {word} error of the first {len(points)}. Drag to turn."))
            shades = [f"rgb({red},{green},{blue})" for red, green, blue in error_colours(errors[cloud])]
            ends = points[cloud] + 0.15 * np.linalg.norm(points[cloud], axis=1).max() * predicted[cloud]
            lines = cloud_arrows(points[cloud], ends, shades, title)
            pictures.append(Picture(lines, "The same with its predicted normals; red points are off."))
    text = "Colours are errors: 0 where the lines of the normals agree, 1 where they are at a right angle."
    return [Section("Normals in detail", text, pictures)] if pictures else []


def _turned(evaluation: Evaluation) -> list[Section]:
    pictures, rows, facts = [], [], []
    for name in evaluation.sets:
        angles, errors = evaluation.array(name, "angles"), evaluation.array(name, "error_by_angle")
        if angles is not None and errors is not None:
            pictures.append(
                Picture(error_along(angles, errors, f"{name}, turned", "angle, degrees", _METRICS["normal_error"]))
            )
        ratio, error = evaluation.row(name, "turned_ratio"), evaluation.row(name, "normal_error")
        own = evaluation.row(name.removesuffix(", turned"), "normal_error")
        if ratio is not None and error is not None and own is not None:
            rows.append([name, *map(format_number, (own.value, error.value, ratio.value))])
            facts.append(Fact("Error, turned / as it is", format_number(ratio.value), "", "1 means no change"))
    if not pictures and not rows:
        return []
    text = (
        "The same clouds, all turned about one axis. A network averaged over frames has the same error everywhere; one "
        "that saw only clouds as they lie in the files has not."
    )
    tables = [Table(["test set", "error as it is", "error turned", "ratio"], rows)] if rows else []
    return [Section("Turned", text, pictures, tables, facts)]


def _frames(evaluation: Evaluation) -> list[Section]:
    pictures = []
    for name in evaluation.sets:
        points, gaps = evaluation.array(name, "points"), evaluation.array(name, "gap")
        if gaps is None:
            continue
        caption = f"{name}: {format_number(100 * float((gaps < 0.05).mean()))} % of {len(gaps)} clouds below 0.05."
        pictures.append(Picture(gap_histogram(gaps, 0.05), caption))
        if points is None or not len(points):
            continue
        shown = int(np.argmax(np.where(np.isfinite(gaps[: len(points)]), gaps[: len(points)], -1)))
        cloud = torch.from_numpy(points[shown : shown + 1]).double()
        frames = PCAFrame("E(3)", degenerate="ignore")(cloud)
        seen = (frames.seen_from_origin(cloud).unsqueeze(1) @ frames.linear)[0].numpy()
        signs = (frames.linear[0] * frames.linear[0, :1]).sum(-2).sign().int().tolist()
        labels = [" ".join("+" if sign > 0 else "-" for sign in row) for row in signs]
        shades = [f"rgb({i},140,{255 - i})" for i in np.linspace(30, 230, len(cloud[0])).astype(int)]
        clouds = [(label, view, shades) for label, view in zip(labels, seen, strict=True)]
        caption = "Elements of its frame of E(3), by the signs of the axes."
        for half in (clouds[:4], clouds[4:]):
            pictures.append(Picture(cloud_row(half, f"{name}, cloud {shown}"), caption, wide=True))
    return [Section("Frames", _FRAMES, pictures)] if pictures else []
