"""The card's experiments on graphs: which graphs random networks tell apart, and classes of EXP after training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from intertwine.graphs import read_graph6, read_graphs
from intertwine.groups import SymmetricGroup
from intertwine.reporting import ResultRow, Target
from intertwine.systems.frame_averaging.data.graphs import make_items
from intertwine.systems.frame_averaging.metrics.separation import CLOSE
from intertwine.systems.frame_averaging.model.graph_classifier import GraphClassifier, graph_frame
from intertwine.systems.frame_averaging.published.graphs import figure
from intertwine.systems.frame_averaging.reproduce.separation import (
    ListedForms,
    random_networks,
    separate_all,
    separate_pairs,
)
from intertwine.systems.frame_averaging.settings.graphs import GraphModelSettings
from intertwine.training.datasets import find_data
from intertwine.training.experiment import count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import load_recipe
from intertwine.training.run import Run
from intertwine.training.sampling import generator

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["CASES", "reproduce"]

Scale = Literal["paper", "cpu", "smoke"]
Results = dict[tuple[str, str], dict[int, float]]
"""Numbers by case and metric, then by seed."""

CASES = ("graph8c", "exp-iso", "exp-classify")
"""The experiments, by the names of their rows."""

_RECIPES = {"FA-MLP": "exp-fa-mlp", "FA-GIN+ID": "exp-fa-gin", "GA-MLP": "exp-ga-mlp", "GIN": "exp-gin"}
_NETWORKS = {"paper": 100, "cpu": 20, "smoke": 2}
_PAIR_NETWORKS = {"paper": 100, "cpu": 5, "smoke": 1}
_SAMPLES = 240
"""Elements that are drawn from frames of graphs on eight nodes, where they are larger."""
_FINE = 1e-4
"""A distance of embeddings far above rounding: averages over whole frames are exact."""
_COPIES = 100
"""Graphs that are compared with renamed copies of themselves."""
_REFINEMENT = {"graph8c": 312.0, "EXP-iso": 600.0}
"""Pairs that colour refinement, and so any network that only passes messages, cannot tell apart."""
_EXACT = Target("<", 1e-9)
_UNITS = {"training_time": "s"}


def reproduce(
    scale: Scale,
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    cases: tuple[str, ...] = CASES,
) -> list[ResultRow]:
    """Run the experiments and return their rows.

    Args:
        scale: of the recipes; networks are initialised 100, 20 or 2 times.
        folder: where the runs are kept, one a recipe and seed.
        seeds: of initial weights and draws; the card's are 0 to 2.
        console: where to show progress.
        cases: which experiments.
    """
    seeds = seeds or (0, 1, 2)
    rows: list[ResultRow] = []
    if "graph8c" in cases:
        rows += _graph8c_rows(scale, seeds, console)
    if "exp-iso" in cases:
        rows += _exp_iso_rows(scale, seeds, console)
    if "exp-classify" in cases:
        rows += _exp_classify_rows(scale, Path(folder), seeds, console)
    return rows


# --- all connected graphs on eight nodes -----------------------------------------------------------------


def _graph8c_rows(scale: Scale, seeds: Sequence[int], console: "Console | None") -> list[ResultRow]:
    graphs = read_graph6(find_data("fa_graphs/graph8c.g6"))
    drawn, whole = ListedForms.of(graphs, samples=_SAMPLES), ListedForms.of(graphs)
    # averages of all others are exact, so that only these may differ from those of a renamed copy
    some = [graphs[place] for place in drawn.places.tolist()]
    copies = [graph.relabelled(SymmetricGroup(8).sample(rng=generator(0, "copy", n))) for n, graph in enumerate(some)]
    pair = ListedForms.of(some, samples=_SAMPLES), ListedForms.of(copies, samples=_SAMPLES)
    results: Results = {}
    for name, settings in random_networks("graph8c").items():
        networks = _NETWORKS[scale]
        for seed in seeds:
            (left,) = separate_all(settings, drawn, networks, seed)
            numbers: dict[str, float] = {
                "undistinguished_pairs": left.counts[-1],
                "undistinguished_pairs_of_one": left.counts[0],
            }
            if left.networks_to_zero is not None:
                numbers["networks_to_zero"] = left.networks_to_zero
            numbers["copies_told_apart"] = _copies_told_apart(settings, *pair, len(left.counts), seed)
            _record(results, seed, f"graph8c/{name}", numbers)
            if settings.frame != "none":
                coarse, fine = separate_all(settings, whole, networks, seed, (CLOSE, _FINE))
                numbers = {"undistinguished_pairs": coarse.counts[-1], "undistinguished_pairs_1e-4": fine.counts[-1]}
                _record(results, seed, f"graph8c/{name}, whole frames", numbers)
            first, last, count = left.counts[0], left.counts[-1], len(left.counts)
            _say(console, f"graph8c, {name}, seed {seed}: {first} pairs left by one network, {last} by {count}")
    return [_separation_row(key, values, scale) for key, values in results.items()]


def _copies_told_apart(
    settings: GraphModelSettings, graphs: ListedForms, copies: ListedForms, networks: int, seed: int
) -> float:
    """Return how many graphs some network tells from a renamed copy: where elements are drawn, this is chance."""
    apart = np.zeros(graphs.batch.num_graphs, bool)
    for number in range(networks):
        rng = generator(seed, "separation", number)
        model = GraphClassifier(settings, classes=("0", "1"), channels=0, max_nodes=8, rng=rng)
        pair = [
            forms.embeddings(model, generator(seed, "separation draws", number, which))
            for which, forms in (("graphs", graphs), ("copies", copies))
        ]
        apart |= np.abs(pair[0] - pair[1]).sum(-1) > CLOSE
    return float(apart.sum())


# --- pairs of EXP ----------------------------------------------------------------------------------------


def _exp_iso_rows(scale: Scale, seeds: Sequence[int], console: "Console | None") -> list[ResultRow]:
    graphs = read_graphs(find_data("fa_graphs/exp_planar_sat.npz"))
    results: Results = {}
    for name, settings in random_networks("EXP-iso", scale).items():
        frame = graph_frame(settings)
        items = make_items(graphs, frame)
        for seed in seeds:
            rng = generator(seed, "copies")
            copies = [graph.relabelled(SymmetricGroup(graph.num_nodes).sample(rng=rng)) for graph in graphs[:_COPIES]]
            twice = [item for pair in zip(items[:_COPIES], make_items(copies, frame), strict=True) for item in pair]
            left = separate_pairs(settings, items, 1, _PAIR_NETWORKS[scale], seed)[-1]
            same = separate_pairs(settings, twice, 1, _PAIR_NETWORKS[scale], seed)[-1]
            numbers = {"undistinguished_pairs": left, "copies_told_apart": _COPIES - same}
            _record(results, seed, f"EXP-iso/{name}", numbers)
            _say(console, f"EXP-iso, {name}, seed {seed}: {left} of {len(items) // 2} pairs left, "
                 f"{_COPIES - same} of {_COPIES} renamed copies told apart")  # fmt: skip
    return [_separation_row(key, values, scale) for key, values in results.items()]


def _separation_row(key: tuple[str, str], values: dict[int, float], scale: Scale) -> ResultRow:
    (experiment, name), metric = key[0].split("/"), key[1]
    if metric == "copies_told_apart":
        exact = name.endswith("canonical") or name == "GIN"
        return ResultRow.over_seeds(*key, values, target=Target("==", 0.0) if exact else None)
    if metric == "undistinguished_pairs_1e-4":
        return ResultRow.over_seeds(*key, values, target=Target("==", 0.0))
    if metric != "undistinguished_pairs" or name.endswith("whole frames"):
        return ResultRow.over_seeds(*key, values)
    bound = _REFINEMENT[experiment]
    target = Target(">=", bound) if name == "GIN" else Target("==", 0.0)
    return ResultRow.over_seeds(
        *key,
        values,
        baselines={"colour refinement": bound},
        paper=figure(name, experiment),
        target=None if scale == "smoke" else target,
    )


# --- classes of EXP --------------------------------------------------------------------------------------


def _exp_classify_rows(scale: Scale, folder: Path, seeds: Sequence[int], console: "Console | None") -> list[ResultRow]:
    results: Results = {}
    baselines: dict[str, float] = {}
    for name, recipe in _RECIPES.items():
        loaded = load_recipe(f"frame_averaging/{recipe}", scale=scale)
        for seed in seeds:
            place = folder / f"{recipe}-{scale}-seed{seed}"
            title = f"frame_averaging/{recipe}, scale {scale}, seed {seed}"
            run, seconds = train_timed(loaded, place, {"seed": seed}, title=title, console=console)
            numbers, baselines = _measure(run, seed)
            numbers["training_time"] = seconds
            _record(results, seed, f"EXP-classify/{name}", numbers)
            _say(console, f"accuracy {numbers['accuracy']:.4f}, page: {write_run_page(run)}")
    return [_classify_row(key, values, scale, baselines) for key, values in results.items()]


def _measure(run: Run, seed: int) -> tuple[dict[str, float], dict[str, float]]:
    """Evaluate and check one run; return its numbers by metric, and the accuracies of the baselines."""
    evaluation, checked = measure_run(run, seed, trials=4)
    (test_set,) = evaluation.sets
    metrics = ("accuracy", "accuracy_spread", "averaged_accuracy", "told_apart")
    found = {row.metric: row.value for row in evaluation.rows if row.metric in metrics}
    found["symmetry_error"] = checked.equivariance.worst.relative
    found["parameters"] = count_weights(run)
    return found, {name: sets[test_set]["accuracy"] for name, sets in evaluation.baselines.items()}


def _classify_row(
    key: tuple[str, str], values: dict[int, float], scale: Scale, baselines: dict[str, float]
) -> ResultRow:
    name, metric = key[0].partition("/")[2], key[1]
    fields: dict[str, Any] = {"unit": _UNITS.get(metric, "")}
    if metric == "accuracy":
        fields |= {"baselines": baselines, "paper": figure(name, "EXP-classify")}
        if scale != "smoke":
            fields["target"] = Target(">", 0.9) if name.startswith("FA") else Target("<", 0.6)
    if metric == "symmetry_error":
        fields["target"] = _EXACT
    return ResultRow.over_seeds(*key, values, **fields)


def _record(results: Results, seed: int, case: str, numbers: Mapping[str, float]) -> None:
    record(results, seed, {(case, metric): float(value) for metric, value in numbers.items()})


def _say(console: "Console | None", text: str) -> None:
    if console is not None:
        console.print(text, highlight=False, soft_wrap=True)
