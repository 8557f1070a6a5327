"""What an evaluation shows on a page: tables of its numbers, and pictures of them beside those of other models.

Other models are baselines and published ones; see `Evaluation`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from intertwine.reporting import plots
from intertwine.reporting.evaluation import Evaluation
from intertwine.reporting.numbers import format_number
from intertwine.reporting.page import Fact, Picture, Section, Table

__all__ = [
    "best_other",
    "comparison",
    "measured_metrics",
    "metric_facts",
    "metric_table",
    "model_tables",
    "not_measured",
    "parity_pictures",
]


def not_measured(folder: Path, title: str = "Accuracy") -> Section | None:
    """Return the section that says how to evaluate a run; None if it is evaluated."""
    if (folder / "evaluation.json").is_file():
        return None
    return Section(title, f"Not measured yet: `intertwine evaluate {folder}` does it.")


def measured_metrics(evaluation: Evaluation, names: Mapping[str, str]) -> dict[str, str]:
    """Return those of some metrics, with their words, that were measured on any test set."""
    return {m: words for m, words in names.items() if any(evaluation.row(name, m) for name in evaluation.sets)}


def metric_table(evaluation: Evaluation, names: Mapping[str, str], items: str) -> Table:
    """Return a table of a run's own numbers: a row for each test set, a column for each metric.

    Args:
        evaluation: of the run.
        names: the metrics to show, and their words.
        items: what a test set consists of, for example ``frames``.
    """
    shown = measured_metrics(evaluation, names)
    units = {row.metric: row.unit for row in evaluation.rows}
    headings = [words + (f"\n{units[metric]}" if units[metric] else "") for metric, words in shown.items()]
    rows: list[list[str | float | None]] = []
    for name in evaluation.sets:
        found = [evaluation.row(name, metric) for metric in shown]
        frames = next((row.frames for row in found if row is not None), None)
        rows.append([name, frames, *(format_number(row.value if row else None) for row in found)])
    return Table(["test set", items, *headings], rows)


def model_tables(evaluation: Evaluation, names: Mapping[str, str], items: str) -> list[Table]:
    """Return a table for each test set: a row for this run and for each other model that has numbers on it.

    Arguments are those of `metric_table`.
    """
    shown, tables = measured_metrics(evaluation, names), []
    for name in evaluation.sets:
        own = [evaluation.row(name, metric) for metric in shown]
        rows: list[list[str | float | None]] = [["this run", *(format_number(r.value if r else None) for r in own)]]
        for model, sets in evaluation.others.items():
            if name in sets:
                rows.append([model, *(format_number(sets[name].get(metric)) for metric in shown)])
        count = next((row.frames for row in own if row is not None), None)
        tables.append(Table(["model", *shown.values()], rows, f"Test set `{name}`, {count} {items}."))
    return tables


def metric_facts(evaluation: Evaluation, metric: str, words: str) -> list[Fact]:
    """Return a metric of which less is better on each test set, with the best baseline as its note."""
    return [
        Fact(f"{words}, {name}", format_number(row.value), "", best_other(evaluation, name, metric, ("baseline",)))
        for name in evaluation.sets
        if (row := evaluation.row(name, metric))
    ]


def comparison(evaluation: Evaluation, metric: str, words: str, labels: Mapping[str, str] | None = None) -> Picture:
    """Return a picture of one metric on all test sets, beside the models that have it.

    Args:
        evaluation: of a run that has the metric.
        metric: its name.
        words: what it is called on the page.
        labels: short names of the test sets; their own where there is none.
    """
    sets, rows = evaluation.sets, [evaluation.row(name, metric) for name in evaluation.sets]

    def series(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, list[float | None]]:
        found = {model: [by_set.get(name, {}).get(metric) for name in sets] for model, by_set in figures.items()}
        return {model: values for model, values in found.items() if any(value is not None for value in values)}

    figure = plots.error_by_case(
        [(labels or {}).get(name, name) for name in sets],
        {"this run": [None if row is None else row.value for row in rows]},
        series(evaluation.baselines),
        series(evaluation.paper),
        words,
        next((row.unit for row in rows if row is not None), ""),
    )
    return Picture(figure)


def best_other(evaluation: Evaluation, name: str, metric: str, kinds: Sequence[str] = ("paper", "baseline")) -> str:
    """Return the lowest number of another model, in words; empty where there is none.

    Args:
        evaluation: of the run.
        name: of the test set.
        metric: a metric of which less is better.
        kinds: where to look, in order: the first that has the metric counts.
    """
    figures = {"paper": evaluation.paper, "baseline": evaluation.baselines}
    for kind in kinds:
        values = {model: sets.get(name, {}).get(metric) for model, sets in figures[kind].items()}
        known = {model: value for model, value in values.items() if value is not None}
        if known:
            best = min(known, key=known.__getitem__)
            return f"{best} ({kind}): {format_number(known[best])}"
    return ""


def parity_pictures(
    evaluation: Evaluation, name: str, label: str, *, milli: bool = True, per_atom: bool = True
) -> list[Picture]:
    """Return predicted against reference forces and energies of one test set, and force errors by element.

    Args:
        evaluation: with the arrays ``forces``, ``energy`` (each also with ``_reference``), ``atoms`` and ``numbers``,
            in eV and Å, as far as there are.
        name: of the test set.
        label: what it is called on the page.
        milli: whether axes are in meV; otherwise in eV.
        per_atom: whether energies are divided by ``atoms`` where structures have different numbers of them.
    """
    unit, factor = ("meV", 1e3) if milli else ("eV", 1.0)
    pictures = []
    forces, energies = _pair(evaluation, name, "forces"), _pair(evaluation, name, "energy")
    atoms, numbers = evaluation.array(name, "atoms"), evaluation.array(name, "numbers")
    if forces is not None:
        predicted, reference = forces
        figure = plots.parity(factor * reference, factor * predicted, "force", f"{unit}/Å")
        pictures.append(Picture(figure, f"{label}: {predicted.size} force components; colour is their density."))
    if energies is not None:
        divided = per_atom and atoms is not None and np.unique(atoms).size > 1
        predicted, reference = (energy / np.asarray(atoms if divided else 1, float) for energy in energies)
        mean = reference.mean()
        what = "energy per atom" if divided else "energy"
        figure = plots.parity(factor * (reference - mean), factor * (predicted - mean), what, unit)
        pictures.append(Picture(figure, f"{label}: {predicted.size} energies, less the mean of the reference."))
    if forces is not None and numbers is not None:
        figure = plots.element_errors(numbers, 1e3 * (forces[0] - forces[1]), "meV/Å")
        pictures.append(Picture(figure, f"{label}: errors of the force components by element."))
    return pictures


def _pair(evaluation: Evaluation, name: str, quantity: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what was predicted and its reference, if both are there and not empty."""
    predicted, reference = (evaluation.array(name, quantity + ending) for ending in ("", "_reference"))
    return None if predicted is None or reference is None or not predicted.size else (predicted, reference)
