"""Labelled graphs for training and tests: files of a recipe, with the classes of nodes that frames sort by."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from intertwine.errors import DataError
from intertwine.frames.graph_frame import SortingFrame
from intertwine.graphs import Graph, TensorBatch, pad_graphs, read_graphs
from intertwine.systems.frame_averaging.model.graph_classifier import graph_frame
from intertwine.training.datasets import find_data
from intertwine.training.sampling import generator, make_loader

__all__ = ["GraphData", "GraphItem", "LabelledGraphs", "collate_graphs", "make_data", "make_items", "read_selected"]

_SELECTION = re.compile(r"^(?P<file>.+)@(?P<start>-?\d*):(?P<stop>-?\d*)$")
_CHUNK = 256
"""Graphs whose frames are found together."""


@dataclass(frozen=True)
class GraphItem:
    """One graph, the classes of its nodes that its frame sorts by, and its own class if it is known."""

    graph: Graph
    partition: Int64[Tensor, " nodes"]
    label: int | None = None


@dataclass(frozen=True)
class LabelledGraphs(TensorBatch):
    """Graphs padded to one size; what `GraphClassifier` takes, with the classes where they are known."""

    adjacency: Float[Tensor, "graphs nodes nodes"]
    features: Float[Tensor, "graphs nodes channels"]
    mask: Bool[Tensor, "graphs nodes"]
    partition: Int64[Tensor, "graphs nodes"]
    labels: Int64[Tensor, " graphs"] | None = None

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return len(self.mask)

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of ``forward``, by name."""
        names = ("adjacency", "features", "mask", "partition")
        return {name: getattr(self, name) for name in names}


def collate_graphs(items: Sequence[GraphItem], dtype: torch.dtype = torch.float32) -> LabelledGraphs:
    """Return graphs as one batch, in their order; it has classes if all of them have."""
    padded = pad_graphs([item.graph for item in items], dtype=dtype)
    partition = torch.zeros(padded.mask.shape, dtype=torch.int64)
    partition[padded.mask] = torch.cat([item.partition for item in items])
    labels = [item.label for item in items if item.label is not None]
    known = torch.tensor(labels) if len(labels) == len(items) else None
    return LabelledGraphs(padded.adjacency, padded.features, padded.mask, partition, known)


def make_items(
    graphs: Sequence[Graph],
    frame: SortingFrame | None,
    classes: Sequence[str] | None = None,
    channels: int | None = None,
) -> list[GraphItem]:
    """Return graphs with the classes of their nodes that a frame sorts by, found once for all.

    Args:
        graphs: at least one.
        frame: None keeps the nodes in their order.
        classes: names of the classes; None leaves labels out.
        channels: features that nodes must have; any number, the same for all graphs, if not given.

    Raises:
        DataError: if a graph has no label, or one that is not among the classes, or other features than expected.
    """
    for graph in graphs:
        found = 0 if graph.features is None else graph.features.shape[1]
        if channels is not None and found != channels:
            raise DataError(
                f"graph {graph.name} has other features of nodes than the network was made for",
                got=f"{found} for each node",
                expected=f"{channels}",
                fix="train on graphs with these features, or leave them out of all files",
            )
    labels = [None if classes is None else _place(graph, classes) for graph in graphs]
    partitions: dict[int, Tensor] = {}
    by_size = sorted(range(len(graphs)), key=lambda place: graphs[place].num_nodes)
    for start in range(0, len(graphs), _CHUNK):
        places = by_size[start : start + _CHUNK]
        batch = pad_graphs([graphs[place] for place in places])
        if frame is None:
            ranks = torch.arange(batch.mask.shape[1]).expand(batch.mask.shape)
        else:
            ranks = frame.partition(batch.adjacency, batch.features, batch.mask).ranks
        partitions |= {place: row[real] for place, row, real in zip(places, ranks, batch.mask, strict=True)}
    return [
        GraphItem(graph, partitions[place], label)
        for place, (graph, label) in enumerate(zip(graphs, labels, strict=True))
    ]


def read_selected(name: str) -> list[Graph]:
    """Return the graphs of a data file, or those that ``file@start:stop`` selects.

    Raises:
        DataError: if there is no such file, it is damaged, or the selection is empty.
    """
    match = None if Path(name).exists() else _SELECTION.match(name)
    if match is None:
        return read_graphs(find_data(name))
    start, stop = (int(match[key]) if match[key] else None for key in ("start", "stop"))
    graphs = read_graphs(find_data(match["file"]))
    if not graphs[start:stop]:
        raise DataError(f"{name} selects no graph", got=f"{len(graphs)} graphs in the file", expected="at least one")
    return graphs[start:stop]


def make_data(recipe: Any) -> "GraphData":
    """Return the data of a recipe; files are read by ``setup``."""
    return GraphData(recipe)


class GraphData(LightningDataModule):
    """Training, validation and test graphs of a recipe.

    After ``setup`` there are ``train_items``, ``validation_items``, ``test_items`` (by name of the test set),
    ``classes``, ``channels`` (features of a node) and ``max_nodes`` (that networks are to take).

    Args:
        recipe: with the section ``graphs``.
    """

    classes: tuple[str, ...]
    channels: int
    max_nodes: int

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        self.recipe, self.settings = recipe, recipe.graphs.data
        self.frame = graph_frame(recipe.graphs.model)
        self.train_items: list[GraphItem] = []
        self.validation_items: list[GraphItem] = []
        self.test_items: dict[str, list[GraphItem]] = {}

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is damaged, or graphs have no label or one that the training graphs lack.
        """
        if not self.train_items:
            self._setup_training()
        if stage in (None, "test"):
            for name, file in self.settings.test.items():
                if name not in self.test_items:
                    self.test_items[name] = self._items(read_selected(file))

    def train_dataloader(self) -> DataLoader[LabelledGraphs]:
        """Return shuffled batches."""
        training = self.recipe.training
        return self._loader(self.train_items, training.batch_size, self.recipe.seed)

    def val_dataloader(self) -> DataLoader[LabelledGraphs]:
        """Return validation batches."""
        return self._loader(self.validation_items, self.recipe.training.evaluation_batch_size)

    def test_dataloader(self) -> list[DataLoader[LabelledGraphs]]:
        """Return one loader for each test set, in the order of ``test_items``."""
        size = self.recipe.training.evaluation_batch_size
        return [self._loader(items, size) for items in self.test_items.values()]

    def _loader(self, items: Sequence[GraphItem], size: int, seed: int | None = None) -> DataLoader[LabelledGraphs]:
        workers = self.recipe.training.data_workers
        return make_loader(items, size, collate=collate_graphs, seed=seed, workers=workers)

    def _setup_training(self) -> None:
        graphs = read_selected(self.settings.train)
        first = graphs[0].features
        self.channels = 0 if first is None else first.shape[1]
        self.classes = self.settings.classes or _classes(graphs, self.settings.train)
        self.max_nodes = self.recipe.graphs.model.max_nodes or max(graph.num_nodes for graph in graphs)
        items = self._items(graphs)
        if self.settings.validation is not None:
            self.validation_items = self._items(read_selected(self.settings.validation))
        else:
            items, self.validation_items = self._split(items)
        self.train_items = items

    def _items(self, graphs: list[Graph]) -> list[GraphItem]:
        return make_items(graphs, self.frame, self.classes, self.channels)

    def _split(self, items: list[GraphItem]) -> tuple[list[GraphItem], list[GraphItem]]:
        """Hold out a part of every class."""
        order = torch.randperm(len(items), generator=generator(self.settings.split_seed, "split")).tolist()
        train, held = [], []
        for label in range(len(self.classes)):
            members = [items[place] for place in order if items[place].label == label]
            count = round(self.settings.validation_fraction * len(members))
            train += members[count:]
            held += members[:count]
        if not train or not held:
            raise DataError(
                "too few training graphs to hold some out for validation",
                got={"graphs": len(items), "data.validation_fraction": self.settings.validation_fraction},
                expected="several graphs of each class",
                fix="name a file of validation graphs with data.validation",
            )
        return train, held


def _classes(graphs: Sequence[Graph], file: str) -> tuple[str, ...]:
    found = {graph.label for graph in graphs if graph.label is not None}
    if len(found) < 2:
        raise DataError(
            f"the graphs of {file} do not have two classes",
            got=", ".join(sorted(found)) or "no labels",
            expected="graphs with labels, of at least two classes",
            fix="labels are the array `label` of an .npz file, `label` of a GraphML graph, what stands after a blank "
            "in a line of graph6, or `# label=` in an edge list",
        )
    whole = all(label.removeprefix("-").isdecimal() for label in found)
    return tuple(sorted(found, key=int if whole else str))


def _place(graph: Graph, classes: Sequence[str]) -> int:
    if graph.label is None or graph.label not in classes:
        known = graph.label is not None
        raise DataError(
            f"graph {graph.name} {'is of a class that training did not have' if known else 'has no label'}",
            got=graph.label,
            expected=", ".join(classes),
            fix="train on graphs of this class, or name all classes in data.classes" if known else None,
        )
    return list(classes).index(graph.label)
