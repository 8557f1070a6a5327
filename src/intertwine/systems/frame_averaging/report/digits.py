"""The report of a classifier of sets of points: accuracy by the number of drawn elements, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data.
"""

from pathlib import Path
from typing import Any

import numpy as np

from intertwine.reporting.accuracy import metric_table, not_measured
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section
from intertwine.reporting.style import COLOURS, graph_objects, styled

__all__ = ["sections"]

_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "accuracy": {"validation": "validation_accuracy"},
}
_SYMMETRY = "Points are renamed at random, and the same directions are drawn again: scores must not change."


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    best = ("validation_loss", "validation loss")
    return [_accuracy(folder), symmetry_section(folder, _SYMMETRY), training_section(folder, _PANELS, lowest=best)]


def _accuracy(folder: Path) -> Section:
    if (missing := not_measured(folder)) is not None:
        return missing
    evaluation = Evaluation.read(folder)
    rows = [row for row in evaluation.rows if row.metric.startswith("accuracy_")]
    samples = [int(row.metric.rpartition("_")[2]) for row in rows]
    words = {row.metric: f"accuracy,\n{count} drawn" for row, count in zip(rows, samples, strict=True)}
    facts = [Fact("Accuracy", format_number(rows[-1].value), "", f"mean over {samples[-1]} drawn")] if rows else []
    pictures = [Picture(_confusion(evaluation))]
    if len(rows) > 1:
        figure = graph_objects().Figure()
        values = [row.value for row in rows]
        figure.add_scatter(x=samples, y=values, mode="lines+markers", line={"color": COLOURS[0]})
        styled(figure, "", height=360, showlegend=False)
        figure.update_xaxes(title_text="elements of the frame drawn for each digit", type="log")
        figure.update_yaxes(title_text="accuracy")
        pictures.append(Picture(figure, "Means over more elements vary less, and are right more often."))
    text = "The part of the digits that are named rightly, from scores averaged over drawn elements of the frames."
    return Section("Accuracy", text, pictures, [metric_table(evaluation, words, "digits")], facts)


def _confusion(evaluation: Evaluation) -> Any:
    labels, named = (np.asarray(evaluation.array("test", name)) for name in ("labels", "named"))
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, named), 1)
    figure = graph_objects().Figure()
    digits = [str(digit) for digit in range(10)]
    scale = [[0, "rgba(127,134,145,0.08)"], [1, COLOURS[0]]]
    figure.add_heatmap(
        x=digits, y=digits, z=counts, text=counts, texttemplate="%{text}", showscale=False, colorscale=scale
    )
    styled(figure, "", height=360)
    figure.update_xaxes(title_text="named", type="category")
    figure.update_yaxes(title_text="digit", type="category", autorange="reversed")
    return figure
