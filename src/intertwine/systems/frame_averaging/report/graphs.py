"""The report of a classifier of graphs: accuracy, the sizes of the frames, symmetry and training.

Everything is read from the files of the run folder, so a report needs neither the model nor the data. A part whose file
is missing says which command writes it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from intertwine.reporting.accuracy import comparison, metric_table, not_measured
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section
from intertwine.reporting.run_page import run_folder, symmetry_section, training_section
from intertwine.reporting.style import COLOURS, graph_objects, styled

__all__ = ["sections"]

_METRICS = {
    "accuracy": "accuracy",
    "accuracy_spread": "its spread\nover draws",
    "averaged_accuracy": "accuracy of the\nmean over draws",
    "agreement": "draws that agree\nwith most",
    "cross_entropy": "cross entropy",
    "refinement_pairs": "pairs equal to\ncolour refinement",
    "told_apart": "of them\ntold apart",
}
_PANELS = {
    "loss": {"training": "train_loss", "validation": "validation_loss"},
    "accuracy": {"validation": "validation_accuracy"},
}
_SYMMETRY = (
    "Nodes are renamed at random, together with the keys that elements of their frames are drawn by. Scores must not "
    "change: a few machine epsilons are rounding. Scores with new keys then have the same distribution, whatever the "
    "names of the nodes."
)


def sections(run: Any) -> list[Section]:
    """Return the sections of the report: accuracy, frames, symmetry, training.

    Args:
        run: the folder, or a run that has it as ``folder``.

    Raises:
        DataError: if a file is there but damaged.
    """
    folder = run_folder(run)
    best = ("validation_loss", "validation loss")
    return [
        _accuracy(folder),
        _frames(folder),
        symmetry_section(folder, _SYMMETRY),
        training_section(folder, _PANELS, lowest=best),
    ]


def _accuracy(folder: Path) -> Section:
    if (missing := not_measured(folder)) is not None:
        return missing
    evaluation = Evaluation.read(folder)
    facts = []
    for name in evaluation.sets:
        row, spread = evaluation.row(name, "accuracy"), evaluation.row(name, "accuracy_spread")
        if row is not None:
            value = format_number(row.value, spread=None if spread is None else spread.value)
            facts.append(Fact(f"Accuracy, {name}", value, "", f"of {row.frames} graphs; spread over draws of frames"))
        if (apart := evaluation.row(name, "told_apart")) is not None:
            pairs = evaluation.row(name, "refinement_pairs")
            note = f"of {0 if pairs is None else round(pairs.value)} that colour refinement cannot"
            facts.append(Fact(f"Pairs told apart, {name}", f"{100 * apart.value:.0f}", "%", note))
    text = (
        "The part of the graphs whose class has the highest score. Elements of the frames are drawn at random, so the "
        "accuracy is itself random: the mean over draws and their spread are shown.\n\nColour refinement is all that a "
        "network sees that only passes messages between neighbours; of the pairs of graphs that it cannot tell apart, "
        "some have different classes. A pair counts as told apart if its mean scores differ by more than four standard "
        "errors."
    )
    pictures = [comparison(evaluation, "accuracy", "accuracy")]
    pictures += [picture for name in evaluation.sets if (picture := _margins(evaluation, name)) is not None]
    return Section("Accuracy", text, pictures, [metric_table(evaluation, _METRICS, "graphs")], facts)


def _frames(folder: Path) -> Section:
    if (missing := not_measured(folder, "Frames")) is not None:
        return missing
    evaluation = Evaluation.read(folder)
    pictures = []
    for name in evaluation.sets:
        orders = evaluation.array(name, "log10_orders")
        if orders is not None:
            pictures.append(
                Picture(_histogram(np.asarray(orders)), f"{name}: sizes of the frames of {orders.size} graphs.")
            )
    text = (
        "The frame of a graph has one element for each order of its nodes that sorts the signatures of the Laplacian, "
        "the product of the factorials of the numbers of nodes that look alike. Frames of ten and more orders of "
        "magnitude can be drawn from, and not be listed."
    )
    return Section("Frames", text, pictures)


def _histogram(orders: np.ndarray) -> Any:
    figure = graph_objects().Figure()
    width = 0.5 if np.ptp(orders) <= 15 else 1.0
    counts, edges = np.histogram(orders, bins=np.arange(0, np.ceil(orders.max()) + 1 + width, width))
    figure.add_bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=0.9 * width,
        marker={"color": COLOURS[0]},
        hovertemplate="10^%{x:.2g}: %{y} graphs<extra></extra>",
    )
    styled(figure, f"median 10^{np.median(orders):.1f}, largest 10^{orders.max():.1f}", height=320, showlegend=False)
    figure.update_xaxes(title_text="elements of the frame, power of ten")
    figure.update_yaxes(title_text="graphs")
    return figure


def _margins(evaluation: Evaluation, name: str) -> Picture | None:
    """Probabilities of the right class over draws, sorted: where draws disagree the line is wide."""
    scores, labels = evaluation.array(name, "scores"), evaluation.array(name, "labels")
    if scores is None or labels is None or len(scores) < 2:
        return None
    values = np.asarray(scores, np.float64)
    if values.shape[-1] == 1:
        right = 1 / (1 + np.exp(-np.where(labels == 1, 1, -1) * np.clip(values[..., 0], -50, 50)))
    else:
        powers = np.exp(values - values.max(-1, keepdims=True))
        right = (powers / powers.sum(-1, keepdims=True))[:, np.arange(len(labels)), labels]
    order = np.argsort(right.mean(0))
    x = np.arange(len(order))
    figure = graph_objects().Figure()
    ranges = {"lowest and highest of the draws": (right.min(0), right.max(0))}
    for label, (low, high) in ranges.items():
        figure.add_scatter(x=x, y=low[order], mode="lines", line={"width": 0}, showlegend=False, hoverinfo="skip")
        figure.add_scatter(
            x=x, y=high[order], mode="lines", line={"width": 0}, fill="tonexty", fillcolor="rgba(47,127,193,0.25)",
            name=label, hoverinfo="skip",
        )  # fmt: skip
    figure.add_scatter(x=x, y=right.mean(0)[order], mode="lines", line={"color": COLOURS[0]}, name="mean over draws")
    styled(figure, "", height=320)
    figure.update_xaxes(title_text="graphs, from the least to the most certain")
    figure.update_yaxes(title_text="probability of the right class", range=[0, 1])
    return Picture(figure, f"{name}: how much the probability of the right class depends on what is drawn.")
