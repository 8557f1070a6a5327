"""The report of a trained network: scores, parts layer by layer, votes, scores by class, symmetry and training.

Everything is read from the files of the run folder. A part whose file is missing says which command writes it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from intertwine.reporting.accuracy import metric_table, not_measured
from intertwine.reporting.clouds import cloud_arrows, cloud_row
from intertwine.reporting.colours import hex_colours
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section, Table
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section
from intertwine.reporting.style import graph_objects, styled
from intertwine.systems.apen.reproduce.bound import WIDTHS, mixture_example

__all__ = ["sections"]

_METRICS = {
    "miou": "mean IoU",
    "pooled_miou": "pooled IoU",
    "accuracy": "points right",
    "cloud_accuracy": "clouds right",
    "instance_iou": "IoU of parts",
    "piece_error": "error by pieces",
}
_MIXING = {
    "mixed_clouds": "λ: clouds that\nmix true parts",
    "mixed_cells": "parts that\nmix true ones",
    "mixed_points": "points in\nsuch parts",
    "delta": "δ",
    "uncertainty": "δ of a point",
}
_DEGENERATE = {
    "rank0": "of one point",
    "rank1": "on a line",
    "rank2": "in a plane",
    "repeated": "equal\neigenvalues",
}
_PARTITIONS = (
    "Partitions. λ estimates the probability that a partition mixes true parts, δ is the probability that a draw of a "
    "cloud's partition differs from the most probable one; both bound the error by pieces of a strict network. Votes "
    "are compared with the centroids of true parts, in the unit of length."
)
_FRAMES = (
    "Degenerate parts, mean number in a cloud. Averages over frames of E(3) are exact for parts of one point, on a "
    "line and in a plane. Where two eigenvalues are equal and not zero, as in a regular triangle, axes are arbitrary."
)
_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "score": {"validation": "validation_miou", "validation ": "validation_cloud_accuracy"},
    "learning rate": {"learning rate": "learning_rate"},
}
_SYMMETRY = (
    "Whole clouds are moved by random elements of the group, and what the network finds is compared with what it "
    "should be. Motions of single parts are no symmetry of the network but a property that its partitions approximate: "
    "see the error of the law of pieces."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: scores, pictures of parts and votes, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    return [
        *_scores(folder),
        _bound(folder),
        symmetry_section(folder, _SYMMETRY),
        training_section(folder, _PANELS, lowest=("validation_loss", "validation loss")),
    ]


def _scores(folder: Path) -> list[Section]:
    missing = not_measured(folder, "Scores")
    if missing is not None:
        return [missing]
    found = Evaluation.read(folder)
    metric = "miou" if found.row(found.sets[0], "miou") else "cloud_accuracy"
    facts = [
        Fact(f"{_METRICS[metric]}, {name}", format_number(100 * row.value), "%")
        for name in found.sets
        if (row := found.row(name, metric)) is not None
    ]
    tables = [metric_table(found, _METRICS, "clouds"), *_part_tables(found)]
    pictures = [picture for name in found.sets for picture in _class_bars(found, name)]
    made = [Section("Scores", "", pictures, tables, facts)]
    for name in found.sets:
        pictures = _pictures(found, name)
        if pictures:
            text = (
                "The same cloud with the true classes, the predicted ones, and the partition before the first layer "
                "and after each: parts grow from fine to coarse. Lines lead from points to the centres they vote for."
            )
            made.append(Section(f"Parts of {name}", text, pictures, columns=1))
    return made


def _bound(folder: Path) -> Section:
    """Return the error of the law of pieces against the cells that a network begins from, and the bound at work."""
    pictures = []
    found = Evaluation.read(folder) if not_measured(folder, "Scores") is None else None
    if found is not None:
        for name in found.sets:
            cells, error, mixed = (found.array(name, key) for key in ("cells", "cells_error", "cells_mixed_points"))
            if cells is not None:
                lines = {"error when all parts move": error, "points in cells that mix parts": mixed}
                pictures.append(Picture(_lines(cells, lines, f"First cells of {name}", "cells of the first partition")))
    examples = [mixture_example(sigma) for sigma in WIDTHS]
    lines = {
        "most probable parts (hard)": [example.hard for example in examples],
        "weighted by probability (soft)": [example.soft for example in examples],
        "bound (λ + δ) M": [example.bound for example in examples],
    }
    pictures.append(Picture(_lines(WIDTHS, lines, "Bound, twelve points", "sigma, width of the mixture")))
    text = (
        "The error of the law of pieces: all true parts are moved at random, each on its own. It falls with the share "
        "of points whose first cell mixes parts. Where parts are predicted, twice the size of the output times (λ + δ) "
        "bounds it for the most probable parts, and not where points count in all parts by their probabilities: shown "
        "exactly for twelve points in two parts, of which the second is moved by 100. The bound is of the strict "
        "network: with contacts or context parts know of each other, and the error stays where contacts are lost."
    )
    return Section("What bounds the error", text, pictures)


def _lines(x: Any, lines: dict[str, Any], title: str, label: str) -> Any:
    go = graph_objects()
    figure = go.Figure()
    for name, values in lines.items():
        # zero has no place on a logarithmic axis
        shown = [float(value) if value > 0 else None for value in values]
        figure.add_scatter(x=list(x), y=shown, name=name, mode="lines+markers")
    styled(figure, title, height=380)
    figure.update_xaxes(title_text=label, type="log")
    figure.update_yaxes(type="log", exponentformat="power")
    figure.update_layout(legend={"orientation": "h", "y": -0.25, "yanchor": "top"})
    return figure


def _part_tables(found: Evaluation) -> list[Table]:
    """Return what partitions do to true parts, layer by layer, and how many parts have no frame of their own."""
    mixed, degenerate = [], []
    for name in found.sets:
        counts = found.array(name, "layers_parts")
        for place in range(0 if counts is None else len(counts)):
            words = "before the first layer" if place == 0 else f"after layer {place}"
            first = [name, words, _of_layer(found, name, "parts", place)]
            percent = [_of_layer(found, name, key, place, "{:.1f} %", 100) for key in _MIXING]
            mixed.append([*first, *percent, _of_layer(found, name, "vote_distance", place, "{:.3g}")])
            degenerate.append([*first, *(_of_layer(found, name, key, place) for key in _DEGENERATE)])
    if not mixed:
        return []
    columns = ("test set", "partition", "parts of\na cloud")
    return [
        Table((*columns, *_MIXING.values(), "distance of\nvotes"), mixed, _PARTITIONS),
        Table((*columns, *_DEGENERATE.values()), degenerate, _FRAMES),
    ]


def _of_layer(
    found: Evaluation, name: str, key: str, place: int, form: str = "{:.1f}", factor: float = 1.0
) -> str | None:
    """Return a number of a partition in words; None where it is not known, as that of votes before the first layer."""
    row = found.row(name, f"layer{place}/{key}")
    return None if row is None else form.format(factor * row.value)


def _class_bars(found: Evaluation, name: str) -> list[Picture]:
    scores, classes = found.array(name, "class_iou"), found.array(name, "classes")
    if scores is None or classes is None:
        return []
    go = graph_objects()
    colours = hex_colours(np.arange(len(scores)))
    figure = go.Figure(go.Bar(x=[str(c) for c in classes], y=100 * scores, marker={"color": colours}))
    styled(figure, f"IoU of each class, {name}", height=360, showlegend=False)
    figure.update_yaxes(title_text="IoU (%)", range=[0, 100])
    return [Picture(figure)]


def _pictures(found: Evaluation, name: str) -> list[Picture]:
    points, labels, predicted = (found.array(name, key) for key in ("positions", "labels", "predicted"))
    if points is None or predicted is None:
        return []
    row = [] if labels is None else [("true classes", points, hex_colours(labels))]
    row.append(("predicted classes", points, hex_colours(predicted)))
    parts, votes = found.array(name, "parts"), found.array(name, "votes")
    pictures = []
    if parts is not None:
        for layer, part in enumerate(parts):
            text = "first cells" if layer == 0 else f"after layer {layer}"
            row.append((f"{text}: {len(np.unique(part))}", points, hex_colours(part * 7)))
    pictures.append(Picture(cloud_row(row), wide=True))
    if votes is not None and parts is not None:
        figure = cloud_arrows(points, votes[-1], hex_colours(parts[-1] * 7), "Votes of the last layer")
        pictures.append(Picture(figure, wide=True))
    return pictures
