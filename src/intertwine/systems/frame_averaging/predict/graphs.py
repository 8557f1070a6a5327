"""Which class each graph of a user's own files belongs to."""

import csv
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import DataError, NumericsError
from intertwine.files import write_text
from intertwine.frames.ordered_partition import draw_keys
from intertwine.graphs import Graph, read_graphs
from intertwine.systems.frame_averaging.data.graphs import GraphItem, collate_graphs, make_items
from intertwine.systems.frame_averaging.metrics.classes import classes_of, probabilities
from intertwine.systems.frame_averaging.model.graph_classifier import GraphClassifier
from intertwine.training.inference import find_run, load_model, prediction_paths
from intertwine.training.sampling import generator

__all__ = ["draw_scores", "is_random", "predict_files"]

_DRAWS = 10


def predict_files(
    run: Any,
    files: Sequence[str | Path],
    *,
    output: str | Path = ".",
    device: str = "cpu",
    batch_size: int = 64,
    draws: int | None = None,
) -> list[Path]:
    """Say of every graph in every file which class it is of, and write ``<name>.predicted.csv`` for each file.

    A row has the name of the graph, the label that the file gives (if any does), the predicted class, its probability,
    the part of the draws that named it, and the probabilities of all classes. These are means over draws of the frames.
    All files are read before anything is computed.

    Args:
        run: anything that `load_model` takes.
        files: ``.npz``, graph6, GraphML or edge lists.
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: graphs per call of the network.
        draws: how often frames are drawn; as the recipe of the run says, or 10.

    Raises:
        DataError: if a file cannot be read, or a graph has too many nodes or other features than the training graphs.
        NumericsError: if a score is not a finite number.
    """
    paths = prediction_paths(files, output, ".csv")
    model = load_model(run, device)
    if draws is None:
        found = find_run(run)
        draws = _DRAWS if found is None else int(found.recipe().graphs.draws)
    tables = []
    for path in paths:
        graphs = read_graphs(path)
        _check(model, path, graphs)
        items = make_items(graphs, model.frame, channels=model.channels)
        scores = draw_scores(model, items, draws=draws, batch_size=batch_size)
        broken = (~scores.isfinite()).flatten(2).any(-1).any(0).nonzero().flatten().tolist()
        if broken:
            raise NumericsError(
                f"{path}: a score of graph {graphs[broken[0]].name} is not a finite number",
                got=scores[:, broken[0]].tolist(),
                fix="look for features of another size than those of the training graphs",
            )
        tables.append(_as_text(model, graphs, scores))
    return [write_text(written, text) for written, text in zip(paths.values(), tables, strict=True)]


@torch.no_grad()
def draw_scores(
    model: GraphClassifier,
    items: Sequence[GraphItem],
    *,
    draws: int,
    seed: int = 0,
    batch_size: int = 64,
    embedding: bool = False,
) -> Float[Tensor, "draws graphs scores"]:
    """Return scores of graphs for several draws of their frames, on the CPU; one draw where nothing is random.

    Args:
        model: the network.
        items: the graphs.
        draws: how many.
        seed: of the draws; other batch sizes draw the same.
        batch_size: graphs per call of the network.
        embedding: whether to return the numbers before the output instead.
    """
    call = model.embedding if embedding else model
    weight = model.output.weight
    found = []
    for draw in range(draws if is_random(model) else 1):
        rng, scores = generator(seed, "draws", draw), []
        for start in range(0, len(items), batch_size):
            some = items[start : start + batch_size]
            batch = collate_graphs(some, weight.dtype).to(weight.device)
            nodes, samples = batch.mask.shape[1], model.settings.samples
            # drawn a graph at a time, so that padding and batches change nothing
            keys = torch.zeros(len(some), samples, nodes, dtype=torch.float64)
            for place, item in enumerate(some):
                size = item.graph.num_nodes
                keys[place, :, :size] = draw_keys(1, samples, size, rng=rng)[0]
            scores.append(call(**batch.inputs(), keys=keys.to(weight.device)).cpu())
        found.append(torch.cat(scores))
    return torch.stack(found)


def is_random(model: GraphClassifier) -> bool:
    """Return whether scores depend on what is drawn: canonical forms of minimal frames are the same for all draws."""
    return model.settings.frame in ("laplacian", "group")


def _check(model: GraphClassifier, path: Path, graphs: Sequence[Graph]) -> None:
    largest = max(graphs, key=lambda graph: graph.num_nodes)
    if model.max_nodes is not None and largest.num_nodes > model.max_nodes:
        raise DataError(
            f"{path}: graph {largest.name} has more nodes than the network has inputs for",
            got=f"{largest.num_nodes} nodes",
            expected=f"at most {model.max_nodes}",
            fix="train with a larger model.max_nodes",
        )


def _as_text(model: GraphClassifier, graphs: Sequence[Graph], scores: Tensor) -> str:
    known = any(graph.label is not None for graph in graphs)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    label = ["label"] if known else []
    writer.writerow(["graph", *label, "predicted", "probability", "agreement", *(f"p({c})" for c in model.classes)])
    mean, named = probabilities(scores).mean(0), classes_of(scores)
    for place, (graph, row) in enumerate(zip(graphs, mean, strict=True)):
        best = int(row.argmax())
        agreement = float((named[:, place] == best).double().mean())
        writer.writerow(
            [
                graph.name,
                *([graph.label or ""] if known else []),
                model.classes[best],
                f"{float(row[best]):.6g}",
                f"{agreement:.4g}",
                *(f"{value:.6g}" for value in row.tolist()),
            ]
        )
    return text.getvalue()
