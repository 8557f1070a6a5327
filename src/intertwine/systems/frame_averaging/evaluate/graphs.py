"""How often a trained classifier of graphs is right, as a mean over draws of the frames, and the check of its law."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from intertwine.errors import DataError
from intertwine.frames.graph_frame import GraphFrame, SortingFrame
from intertwine.frames.ordered_partition import draw_keys
from intertwine.graphs import pad_graphs, refinement_classes
from intertwine.groups import SymmetricGroup
from intertwine.reporting import Evaluation
from intertwine.symmetry import CheckReport
from intertwine.symmetry.check import check_module
from intertwine.systems.frame_averaging.data.graphs import GraphData, GraphItem, collate_graphs
from intertwine.systems.frame_averaging.metrics.classes import classes_of, entropies, probabilities
from intertwine.systems.frame_averaging.model.graph_classifier import RENAMED_NODES, GraphClassifier
from intertwine.systems.frame_averaging.predict.graphs import draw_scores, is_random
from intertwine.systems.frame_averaging.published.graphs import published
from intertwine.training.evaluation import Measured, evaluate_sets
from intertwine.training.run import Run

__all__ = ["check", "evaluate", "evaluate_items"]

_LARGEST_COMPARISON = 10**8
"""Entries of padded matrices up to which graphs are compared by colour refinement."""
_DISTRIBUTION_DRAWS = 64


def evaluate(run: Run, *, device: str = "cpu") -> Evaluation:
    """Return the accuracy on every test set of the run's recipe beside that of naming the largest class.

    Args:
        run: a finished run.
        device: where to compute.

    Raises:
        DataError: if the recipe names no test set.
    """
    recipe = run.recipe()
    data = GraphData(recipe)
    data.setup("test")

    def measure(model: GraphClassifier, items: Sequence[GraphItem]) -> Measured:
        values, arrays = evaluate_items(
            model, items, draws=recipe.graphs.draws, batch_size=recipe.training.evaluation_batch_size
        )
        counts = np.bincount(arrays["labels"], minlength=len(model.classes))
        baselines = {"largest class": {"accuracy": float(counts.max() / counts.sum())}}
        return Measured({metric: (value, "") for metric, value in values.items()}, len(items), arrays, baselines)

    found = evaluate_sets(run, data.test_items, measure, device=device)
    return replace(found, paper=published(run.loaded().name, found.sets))


def evaluate_items(
    model: GraphClassifier, items: Sequence[GraphItem], *, draws: int = 10, batch_size: int = 64
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return metrics by name, and the arrays behind them.

    ``accuracy`` is the mean over draws of the frames and ``accuracy_spread`` their standard deviation;
    ``averaged_accuracy`` is that of the probabilities averaged over the draws, and ``agreement`` how often a draw names
    the class that most draws name. ``refinement_pairs`` counts pairs that colour refinement, and so a network that
    only passes messages, cannot tell apart; ``told_apart`` is the part of them whose scores differ by more than four
    standard errors and 0.001.
    """
    labels = torch.tensor([-1 if item.label is None else item.label for item in items])
    if bool((labels < 0).any()):
        raise DataError("evaluating needs the class of every graph", got="graphs without a label")
    scores = draw_scores(model, items, draws=draws, batch_size=batch_size)
    named, mean = classes_of(scores), probabilities(scores).mean(0)
    right = (named == labels).sum(-1).double()
    values = {
        "accuracy": float(right.mean() / len(labels)),
        "averaged_accuracy": float((mean.argmax(-1) == labels).double().mean()),
        "cross_entropy": float(torch.stack([entropies(draw, labels).double() for draw in scores]).mean()),
    }
    if len(scores) > 1:
        values["accuracy_spread"] = float(right.std() / len(labels))
        values["agreement"] = float((named == named.mode(0).values).double().mean())
    pairs = _refinement_pairs(items)
    if len(pairs):
        values["refinement_pairs"] = float(len(pairs))
        values["told_apart"] = float(_told_apart(scores.double(), pairs).double().mean())
    return values, {
        "scores": scores.numpy(),
        "labels": labels.numpy(),
        "classes": np.array(model.classes),
        "log10_orders": _log10_orders(items, model.settings.use_features),
        "nodes": np.array([item.graph.num_nodes for item in items]),
    }


def check(run: Run, *, trials: int = 8, rng: torch.Generator, graphs: int = 8) -> CheckReport:
    """Measure in float64 how far scores change when nodes are renamed.

    Elements are drawn by keys of the nodes. Keys that move with their nodes give the same canonical forms, so scores
    must not change beyond rounding; and since keys are independent and equally distributed, scores without fixed keys
    then have the same distribution. That is measured too, and its result is a note.

    Args:
        run: a finished run.
        trials: renamings to draw.
        rng: source of renamings and keys.
        graphs: how many graphs to check on, the first of the validation set.
    """
    data = GraphData(run.recipe())
    data.setup("fit")
    model: GraphClassifier = run.model()
    batch = collate_graphs(data.validation_items[:graphs], torch.float64)
    keys = draw_keys(batch.num_graphs, model.settings.samples, batch.mask.shape[1], rng=rng)
    inputs = {"adjacency": batch.adjacency, "features": batch.features, "mask": batch.mask, "keys": keys}
    report = check_module(model, inputs, symmetry=RENAMED_NODES, name=run.name, trials=trials, rng=rng)
    notes = [] if model.symmetry is not None else ["This network has no frame and claims no symmetry."]
    if model.frame is not None and is_random(model):
        notes.append(_distribution_note(model, model.frame, data.validation_items[:graphs], rng))
    return replace(report, notes=(*report.notes, *notes))


def _distribution_note(
    model: GraphClassifier, frame: SortingFrame, items: Sequence[GraphItem], rng: torch.Generator
) -> str:
    """Compare drawn scores of graphs with those of the same graphs with renamed nodes and a frame found anew."""
    moved = []
    for item in items:
        permutation = SymmetricGroup(item.graph.num_nodes).sample(rng=rng)
        graph = item.graph.relabelled(permutation)
        batch = pad_graphs([graph])
        ranks = frame.partition(batch.adjacency, batch.features).ranks[0]
        moved.append(GraphItem(graph, ranks))
    before, after = (
        draw_scores(model, some, draws=_DISTRIBUTION_DRAWS, seed=seed).double()
        for seed, some in ((1, items), (2, moved))
    )
    error = ((before.var(0) + after.var(0)) / _DISTRIBUTION_DRAWS).sqrt()
    deviation = (before.mean(0) - after.mean(0)).abs()
    worst = float((deviation / error.clamp(min=1e-12 * float(before.abs().max()) + 1e-300)).max())
    return (
        f"Over {_DISTRIBUTION_DRAWS} independent draws each, mean scores of {len(items)} graphs and of the same graphs "
        f"with renamed nodes differ by at most {worst:.1f} standard errors."
    )


def _log10_orders(items: Sequence[GraphItem], use_features: bool) -> np.ndarray:
    """Sizes of the frames of Laplacian signatures, whatever frame the network has."""
    frame, found = GraphFrame(use_features=use_features), []
    for start in range(0, len(items), 256):
        batch = pad_graphs([item.graph for item in items[start : start + 256]])
        found.append(frame.partition(batch.adjacency, batch.features, batch.mask).log_orders)
    return torch.cat(found).numpy() / math.log(10)


def _refinement_pairs(items: Sequence[GraphItem]) -> Tensor:
    """Pairs of graphs that colour refinement cannot tell apart; none are looked for in very large sets."""
    largest = max(item.graph.num_nodes for item in items)
    if len(items) * largest**2 > _LARGEST_COMPARISON:
        return torch.zeros(0, 2, dtype=torch.int64)
    classes = refinement_classes(pad_graphs([item.graph for item in items])).tolist()
    members: dict[int, list[int]] = {}
    for place, name in enumerate(classes):
        members.setdefault(name, []).append(place)
    pairs = [pair for places in members.values() for pair in itertools.combinations(places, 2)]
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)


def _told_apart(scores: Tensor, pairs: Tensor) -> Tensor:
    mean = scores.mean(0)
    variance = scores.var(0) / len(scores) if len(scores) > 1 else torch.zeros_like(mean)
    first, second = pairs.T
    error = (variance[first] + variance[second]).sum(-1).sqrt()
    return (mean[first] - mean[second]).abs().sum(-1) > 1e-3 + 4 * error
