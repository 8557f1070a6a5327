"""Undirected graphs as data: one graph, and several of them padded to one size as dense matrices.

Both directions of an edge are in ``edge_index``; an edge from a node to itself is there once. Nodes count from 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataError, ShapeError
from intertwine.graphs.tensors import TensorBatch

__all__ = ["Graph", "GraphBatch", "pad_graphs"]


@dataclass(frozen=True, eq=False)
class Graph(TensorBatch):
    """One undirected graph; make it with `build`, which checks it.

    Args:
        edge_index: both directions of every edge, sorted by destination and then source.
        num_nodes: the number of nodes, isolated ones included.
        features: numbers of each node, where there are any.
        edge_weights: one number for each direction of an edge; 1 where not given.
        label: the class, in words; None where it is not known.
        name: of the graph in its file.
    """

    edge_index: Int64[Tensor, "2 edges"]
    num_nodes: int
    features: Float[Tensor, "nodes channels"] | None = None
    edge_weights: Float[Tensor, " edges"] | None = None
    label: str | None = None
    name: str = ""

    @classmethod
    def build(
        cls,
        edges: Int64[Tensor, "pairs 2"],
        num_nodes: int,
        *,
        features: Float[Tensor, "nodes channels"] | None = None,
        weights: Float[Tensor, " pairs"] | None = None,
        label: str | None = None,
        name: str = "",
    ) -> "Graph":
        """Return the graph with these edges; each may be given in one direction, in both, or more often.

        Args:
            edges: pairs of nodes.
            num_nodes: number of nodes.
            features: one row for each node.
            weights: of the edges; an edge that is given more than once has one weight.
            label: the class.
            name: what to call the graph in messages.

        Raises:
            DataError: if an edge names a node that does not exist, or an edge has two weights, or a number is
                not finite.
            ShapeError: if there is not one weight for each edge, or not one row of features for each node.
        """
        called = f"graph {name}" if name else "a graph"
        _check_parts(called, edges, num_nodes, features, weights)
        edges = edges.long()  # an empty list of pairs is a tensor of floating point
        if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < num_nodes:
            wrong = int(((edges < 0) | (edges >= num_nodes)).any(-1).nonzero()[0])
            raise DataError(
                f"{called}: an edge names a node that does not exist",
                got={"edge": tuple(edges[wrong].tolist()), "place": wrong},
                expected=f"nodes 0 to {num_nodes - 1}" if num_nodes else "no edge: the graph has no nodes",
            )
        both = torch.cat([edges, edges.flip(-1)])
        keys, inverse = torch.unique(both[:, 1] * max(num_nodes, 1) + both[:, 0], return_inverse=True)
        edge_index = torch.stack([keys % max(num_nodes, 1), keys // max(num_nodes, 1)])
        merged = None if weights is None else _merged(called, torch.cat([weights, weights]), inverse, edge_index)
        return cls(edge_index, num_nodes, features, merged, label, name)

    @property
    def adjacency(self) -> Float[Tensor, "nodes nodes"]:
        """The symmetric matrix of the weights of the edges, in float64."""
        values = self.edge_weights
        values = torch.ones(self.edge_index.shape[1]) if values is None else values
        source, destination = self.edge_index
        empty = torch.zeros(self.num_nodes, self.num_nodes, dtype=torch.float64)
        return empty.index_put((destination, source), values.double())

    def relabelled(self, permutation: Int64[Tensor, " nodes"]) -> "Graph":
        """Return the graph whose node ``permutation[i]`` is node i of this one."""
        back = permutation.argsort()
        pairs = permutation[self.edge_index.T]
        features = None if self.features is None else self.features[back]
        return Graph.build(
            pairs, self.num_nodes, features=features, weights=self.edge_weights, label=self.label, name=self.name
        )


@dataclass(frozen=True, eq=False)
class GraphBatch(TensorBatch):
    """Graphs padded to one number of nodes: entries without a node are zero, and False in ``mask``."""

    adjacency: Float[Tensor, "graphs nodes nodes"]
    features: Float[Tensor, "graphs nodes channels"]
    mask: Bool[Tensor, "graphs nodes"]

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return len(self.mask)


def pad_graphs(graphs: Sequence[Graph], nodes: int | None = None, dtype: torch.dtype = torch.float64) -> GraphBatch:
    """Return graphs as one batch of dense matrices.

    Args:
        graphs: at least one; those without features have no channels.
        nodes: number of nodes to pad to; that of the largest graph when not given.
        dtype: of adjacency and features.

    Raises:
        DataError: if there is no graph, one has more than ``nodes`` nodes, or they differ in their features.
    """
    if not graphs:
        raise DataError("a batch needs at least one graph", got="an empty list")
    sizes = torch.tensor([graph.num_nodes for graph in graphs])
    nodes = int(sizes.max()) if nodes is None else nodes
    if int(sizes.max()) > nodes:
        worst = graphs[int(sizes.argmax())]
        raise DataError(
            f"graph {worst.name or int(sizes.argmax())} has too many nodes for this batch",
            got=f"{worst.num_nodes} nodes",
            expected=f"at most {nodes}",
        )
    widths = {0 if graph.features is None else graph.features.shape[1] for graph in graphs}
    if len(widths) > 1:
        raise DataError(
            "graphs of one batch differ in the features of their nodes",
            got=f"{', '.join(map(str, sorted(widths)))} features",
            expected="the same number for all of them",
        )
    mask = torch.arange(nodes) < sizes.unsqueeze(1)
    features = torch.zeros(len(graphs), nodes, widths.pop(), dtype=dtype)
    if features.shape[-1]:
        features[mask] = torch.cat([graph.features for graph in graphs if graph.features is not None]).to(dtype)
    counts = torch.tensor([graph.edge_index.shape[1] for graph in graphs])
    source, destination = torch.cat([graph.edge_index for graph in graphs], dim=1)
    values = torch.cat(
        [
            torch.ones(count, dtype=dtype) if graph.edge_weights is None else graph.edge_weights.to(dtype)
            for graph, count in zip(graphs, counts.tolist(), strict=True)
        ]
    )
    place = torch.repeat_interleave(torch.arange(len(graphs)), counts)
    adjacency = torch.zeros(len(graphs), nodes, nodes, dtype=dtype).index_put((place, destination, source), values)
    return GraphBatch(adjacency, features, mask)


def _check_parts(called: str, edges: Tensor, num_nodes: int, features: Tensor | None, weights: Tensor | None) -> None:
    rows = num_nodes if features is None else len(features)
    pairs = len(edges) if weights is None else len(weights)
    whole = not edges.is_floating_point() or edges.numel() == 0
    if edges.ndim != 2 or edges.shape[1] != 2 or not whole or rows != num_nodes or pairs != len(edges):
        raise ShapeError(
            f"the parts of {called} do not fit together",
            got={
                "edges": f"{edges.dtype} {tuple(edges.shape)}",
                "nodes": num_nodes,
                "features": None if features is None else tuple(features.shape),
                "weights": None if weights is None else tuple(weights.shape),
            },
            expected="int64 edges (pairs, 2), features (nodes, channels), weights (pairs,)",
        )
    for what, values in (("feature of a node", features), ("weight of an edge", weights)):
        if values is not None and not bool(values.isfinite().all()):
            raise DataError(
                f"{called}: a {what} is not a finite number",
                got={"row": int((~values.isfinite()).reshape(len(values), -1).any(-1).nonzero()[0])},
                expected="finite numbers",
            )


def _merged(called: str, weights: Tensor, inverse: Tensor, edge_index: Tensor) -> Tensor:
    count = edge_index.shape[1]
    low = weights.new_full((count,), float("inf")).scatter_reduce(0, inverse, weights, "amin")
    high = weights.new_full((count,), float("-inf")).scatter_reduce(0, inverse, weights, "amax")
    if not torch.equal(low, high):
        wrong = int((low != high).nonzero()[0])
        raise DataError(
            f"{called}: an edge has two weights",
            got={"edge": tuple(edge_index[:, wrong].tolist()), "weights": (float(low[wrong]), float(high[wrong]))},
            expected="one weight for an edge, whatever its direction",
            fix="graphs are undirected here: make the matrix of weights symmetric",
        )
    return low
