"""Which class a graph belongs to: a network on ordered graphs, averaged over drawn elements of their frames.

FA-MLP, FA-GIN+ID, their versions that average over the whole group (GA), and plain GIN.
Source: Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 4.
"""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intertwine.errors import ConfigError, DataError, ShapeError
from intertwine.frames import FrameAverageGraph, FullGraphFrame, GraphFrame, MinimalGraphFrame, OrderedPartition
from intertwine.frames.graph_frame import SortingFrame
from intertwine.groups import SymmetricGroup
from intertwine.nn import affine_map
from intertwine.representations import Invariant, Permuted
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.model.gin import GIN
from intertwine.systems.frame_averaging.model.graph_mlp import GraphMLP
from intertwine.systems.frame_averaging.settings.graphs import GraphModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["RENAMED_NODES", "GraphClassifier", "graph_frame"]

RENAMED_NODES = Symmetry(
    SymmetricGroup(None),
    inputs={
        "adjacency": Permuted((1, 2)),
        "features": Permuted((1,)),
        "mask": Permuted((1,)),
        "partition": Permuted((1,)),
        "keys": Permuted((2,)),
    },
    output=Invariant(),
)
"""Scores do not change when nodes are renamed, together with their classes and the keys they are drawn by."""
_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class GraphClassifier(Pretrained, nn.Module):
    """Scores of graphs; it can be saved, loaded, and called on padded batches.

    Law: scores do not change when nodes are renamed, in distribution over the drawn elements; exactly if the keys that
    elements are drawn by move with the nodes. With the frame ``none`` this holds for a GIN only.

    Args:
        settings: network, frame and sizes.
        classes: names of the classes. Two have one score, that of the second; more have one each.
        channels: features of a node in the files.
        max_nodes: nodes of the largest graph, where the network has inputs for a certain number of them.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        settings: GraphModelSettings,
        *,
        classes: tuple[str, ...],
        channels: int,
        max_nodes: int | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        max_nodes = settings.max_nodes if max_nodes is None else max_nodes
        if len(classes) < 2 or (settings.bounded and max_nodes is None):
            raise ConfigError(
                "a classifier needs at least two classes, and the number of nodes that it is to take",
                got={"classes": classes, "max_nodes": max_nodes},
                fix="name them in the data, and set model.max_nodes",
            )
        self.settings, self.classes, self.channels = settings, tuple(classes), channels
        self.max_nodes = max_nodes if settings.bounded else None
        body = _body(settings, channels, self.max_nodes, rng)
        width, activation = settings.widths[-1], _ACTIVATIONS[settings.activation]
        embed = nn.Sequential(affine_map(width, settings.embedding, rng=rng), activation())
        self.frame = graph_frame(settings)
        averaged = [_Framed(body, embed if settings.average == "embedding" else None)]
        after = [embed] if settings.average == "hidden" else []
        if self.frame is None:
            self.average: nn.Module = averaged[0]
        else:
            self.average = FrameAverageGraph(averaged[0], self.frame, mode="stochastic", samples=settings.samples)
        self.embed = nn.Sequential(*after)
        self.output = affine_map(settings.embedding, len(classes) if len(classes) > 2 else 1, rng=rng)

    @property
    def symmetry(self) -> Symmetry | None:
        """The law of renamed nodes; None for a perceptron without frame, which keeps none."""
        return None if self.settings.network == "mlp" and self.frame is None else RENAMED_NODES

    def forward(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"],
        mask: Bool[Tensor, "graphs nodes"],
        partition: Int64[Tensor, "graphs nodes"] | None = None,
        keys: Float[Tensor, "graphs samples nodes"] | None = None,
    ) -> Float[Tensor, "graphs scores"]:
        """Return scores: the logit of the second of two classes, or one for each of more.

        Args:
            adjacency: symmetric matrices, zero where there is no node.
            features: of the nodes.
            mask: which entries are nodes.
            partition: what ``partition`` of the frame gives for these graphs; found here where it is not given.
            keys: by which elements are drawn, uniform in [0, 1); from torch's own generator where not given.

        Raises:
            ShapeError: if the features are not those that the network was made for.
            DataError: if a graph has too many nodes, or is directed.
        """
        return self.output(self.embedding(adjacency, features, mask, partition, keys))

    def embedding(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"],
        mask: Bool[Tensor, "graphs nodes"],
        partition: Int64[Tensor, "graphs nodes"] | None = None,
        keys: Float[Tensor, "graphs samples nodes"] | None = None,
    ) -> Float[Tensor, "graphs embedding"]:
        """Return the numbers before the output; arguments and errors are those of ``forward``."""
        if features.shape[-1] != self.channels:
            raise ShapeError(
                "these graphs have other features of nodes than the network was made for",
                got=tuple(features.shape),
                expected=f"(graphs, nodes, {self.channels})",
            )
        largest = int(mask.sum(-1).max()) if len(mask) else 0
        if self.max_nodes is not None and largest > self.max_nodes:
            raise DataError(
                "a graph has more nodes than the network has inputs for",
                got=f"{largest} nodes",
                expected=f"at most {self.max_nodes}",
                fix="train with a larger model.max_nodes",
            )
        if self.frame is None:
            return self.embed(self.average(adjacency, features, mask))
        known = None if partition is None else OrderedPartition(partition, mask, mask.new_ones(len(mask)))
        return self.embed(self.average(adjacency, features, mask, partition=known, keys=keys))


def graph_frame(settings: GraphModelSettings) -> SortingFrame | None:
    """Return the frame that settings mean; None where there is none."""
    frames: dict[str, SortingFrame | None] = {
        "laplacian": GraphFrame(use_features=settings.use_features),
        "minimal": MinimalGraphFrame(use_features=settings.use_features),
        "group": FullGraphFrame(),
        "none": None,
    }
    return frames[settings.frame]


class _Framed(nn.Module):
    """What is averaged: the network, and the embedding where that is averaged too.

    Canonical forms have their nodes first, so entries beyond the largest graph that the network takes are cut off.
    """

    def __init__(self, body: GraphMLP | GIN, embed: nn.Module | None) -> None:
        super().__init__()
        self.body, self.then = body, embed

    def forward(self, adjacency: Tensor, features: Tensor, mask: Tensor) -> Tensor:
        most = self.body.max_nodes
        if most is not None and adjacency.shape[1] > most:
            adjacency, features, mask = adjacency[:, :most, :most], features[:, :most], mask[:, :most]
        numbers = self.body(adjacency, features, mask)
        return numbers if self.then is None else self.then(numbers)


def _body(
    settings: GraphModelSettings, channels: int, max_nodes: int | None, rng: torch.Generator | None
) -> GraphMLP | GIN:
    activation = _ACTIVATIONS[settings.activation]
    if settings.network == "gin":
        return GIN(channels, settings.widths, activation, settings.pooling, max_nodes=max_nodes, rng=rng)
    return GraphMLP(max_nodes or 0, channels if settings.node_inputs else None, settings.widths, activation, rng=rng)
