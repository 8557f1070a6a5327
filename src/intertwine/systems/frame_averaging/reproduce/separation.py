"""Which graphs randomly initialised networks tell apart: all connected graphs on eight nodes, and the pairs of EXP."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from intertwine.frames import GraphFrame, OrderedPartition, PermutationFrames, orbit_representatives
from intertwine.graphs import Graph
from intertwine.systems.frame_averaging.data.graphs import GraphItem, LabelledGraphs, collate_graphs, make_items
from intertwine.systems.frame_averaging.metrics.separation import CLOSE, Undistinguished
from intertwine.systems.frame_averaging.model.graph_classifier import GraphClassifier
from intertwine.systems.frame_averaging.predict.graphs import draw_scores
from intertwine.systems.frame_averaging.settings.graphs import GraphModelSettings
from intertwine.training.sampling import derived_seed, generator

__all__ = ["ListedForms", "random_networks", "separate_all", "separate_pairs"]

_CLASSES = ("0", "1")
_WIDTHS = {"paper": (2048, 4096, 2048), "cpu": (256, 512, 256), "smoke": (64, 64)}


def random_networks(
    experiment: Literal["graph8c", "EXP-iso"], scale: Literal["paper", "cpu", "smoke"] = "paper"
) -> dict[str, GraphModelSettings]:
    """Return the networks whose random initialisations are to tell graphs apart, by the names of the paper.

    Args:
        experiment: on which graphs.
        scale: at smaller ones perceptrons on EXP are narrower.
    """
    shared: dict[str, Any] = {"activation": "tanh", "embedding": 10}
    gin = shared | {"network": "gin", "widths": (64, 64, 64), "pooling": "sum"}
    plain = GraphModelSettings(frame="none", **gin)
    if experiment == "graph8c":
        mlp = GraphModelSettings(widths=(128, 64), node_inputs=False, max_nodes=8, **shared)
        return {"FA-MLP": mlp, "FA-GIN+ID": GraphModelSettings(node_ids=True, max_nodes=8, **gin), "GIN": plain}
    mlp = GraphModelSettings(widths=_WIDTHS[scale], average="embedding", max_nodes=64, **shared)
    return {
        "FA-MLP": mlp,
        "FA-MLP, canonical": replace(mlp, frame="minimal"),
        "FA-GIN+ID": GraphModelSettings(node_ids=True, max_nodes=64, **gin),
        "GIN": plain,
    }


@dataclass(frozen=True)
class ListedForms:
    """Small graphs, and what is computed once for all networks: one canonical form of each orbit of their frames.

    Args:
        batch: the graphs.
        frames: one element of each orbit, of the graphs whose frames are listed.
        forms: their canonical forms, arguments of a network by name.
        drawn: classes of the nodes of the other graphs, from whose frames elements are drawn.
        places: of these in the batch.
        samples: how many elements are drawn.
    """

    batch: LabelledGraphs
    frames: PermutationFrames
    forms: Mapping[str, Tensor]
    drawn: OrderedPartition
    places: Tensor
    samples: int

    @classmethod
    def of(
        cls, graphs: Sequence[Graph], samples: int | None = None, dtype: torch.dtype = torch.float32
    ) -> "ListedForms":
        """Return it for graphs.

        Args:
            graphs: at least one.
            samples: frames of more elements than this are not listed: as many elements are drawn from them for each
                network. None lists all, and averages are exact.
            dtype: of the numbers.
        """
        batch = collate_graphs(make_items(graphs, None), dtype)
        partition = GraphFrame().partition(batch.adjacency, batch.features, batch.mask)
        large = torch.zeros(len(graphs), dtype=torch.bool) if samples is None else partition.orders > samples
        places = large.nonzero().flatten()
        parts = [
            OrderedPartition(partition.ranks[rows], partition.mask[rows], partition.valid[rows])
            for rows in (~large, large)
        ]
        small, rest = parts[0].elements(), (~large).nonzero().flatten()
        frames = PermutationFrames(small.elements, rest[small.index], small.weights, partition.valid)
        frames = orbit_representatives(frames, batch.adjacency, batch.features)
        return cls(batch, frames, _forms(frames, batch), parts[1], places, samples or 1)

    @torch.no_grad()
    def embeddings(self, model: GraphClassifier, rng: torch.Generator) -> np.ndarray:
        """Return what a network makes of the graphs, averaged over their frames; ``rng`` draws from large ones."""
        batch = self.batch
        if model.frame is None:
            return model.embedding(batch.adjacency, batch.features, batch.mask).numpy()
        network: Any = model.average.backbone
        numbers = self.frames.mean(network(**self.forms))
        if len(self.places):
            found = self.drawn.sample(self.samples, rng=rng)
            frames = PermutationFrames(found.elements, self.places[found.index], found.weights, self.frames.valid)
            numbers = numbers + frames.mean(network(**_forms(frames, batch)))
        return model.embed(numbers).numpy()


def separate_all(
    settings: GraphModelSettings, graphs: ListedForms, networks: int, seed: int, thresholds: Sequence[float] = (CLOSE,)
) -> list[Undistinguished]:
    """Return the pairs of graphs that none of some randomly initialised networks tells apart, for each threshold.

    Args:
        settings: of the networks.
        graphs: to tell apart.
        networks: how many; fewer if no pair is left.
        seed: of their weights and draws.
        thresholds: distances up to which embeddings are the same.
    """
    left = [Undistinguished(threshold) for threshold in thresholds]
    for number in range(networks):
        model = GraphClassifier(
            settings, classes=_CLASSES, channels=0, max_nodes=8, rng=generator(seed, "separation", number)
        ).to(graphs.batch.adjacency.dtype)
        found = graphs.embeddings(model, generator(seed, "separation draws", number))
        if not sum(one.update(found) for one in left):
            break  # none is left for further networks
    return left


def separate_pairs(
    settings: GraphModelSettings, items: Sequence[GraphItem], channels: int, networks: int, seed: int
) -> list[int]:
    """Return how many of the pairs (0, 1), (2, 3), ... are not told apart by the first 1, 2, ... random networks.

    Elements of frames are drawn once for each graph, as published. A network then also tells a graph from itself if
    it draws another element: pairs of a graph and a renamed copy say how often.

    Args:
        settings: of the networks.
        items: graphs, those of a pair next to each other.
        channels: features of a node.
        networks: how many.
        seed: of weights and draws.
    """
    apart = np.zeros(len(items) // 2, bool)
    counts = []
    for number in range(networks):
        rng = generator(seed, "pairs", number)
        model = GraphClassifier(settings, classes=_CLASSES, channels=channels, rng=rng)
        found = draw_scores(model, items, draws=1, seed=derived_seed(seed, "draws", number), embedding=True)[0].numpy()
        apart |= np.abs(found[::2] - found[1::2]).sum(-1) > CLOSE
        counts.append(int((~apart).sum()))
    return counts


def _forms(frames: PermutationFrames, batch: LabelledGraphs) -> dict[str, Tensor]:
    return {
        "adjacency": frames.canonical(batch.adjacency, (1, 2)),
        "features": frames.canonical(batch.features),
        "mask": frames.canonical(batch.mask),
    }
