"""Graphs of PyTorch Geometric, in and out; any object with the same attributes will do for the way in."""

from typing import Any

import torch
from torch import Tensor

from intertwine.errors import DataError, MissingExtraError
from intertwine.graphs.graph import Graph

__all__ = ["graph_from_pyg", "graph_to_pyg"]


def graph_from_pyg(data: Any, *, name: str = "") -> Graph:
    """Return the graph of a ``torch_geometric.data.Data``.

    Taken are ``edge_index``, ``num_nodes``, ``x`` as features, a one-dimensional ``edge_weight`` or ``edge_attr``
    as weights, and a single number ``y`` as the label.

    Raises:
        DataError: if it has no edges, an edge is there in one direction only, or numbers do not fit together.
    """
    edge_index = getattr(data, "edge_index", None)
    if not isinstance(edge_index, Tensor):
        raise DataError(
            "this object has no edges", got=type(data).__name__, expected="torch_geometric.data.Data with edge_index"
        )
    weights = getattr(data, "edge_weight", None)
    weights = getattr(data, "edge_attr", None) if weights is None else weights
    if weights is not None:
        weights = weights.reshape(len(weights), -1)
        weights = weights[:, 0].double() if weights.shape[1] == 1 else None
    x, y = getattr(data, "x", None), getattr(data, "y", None)
    label = None
    if isinstance(y, Tensor) and y.numel() == 1:
        label = str(int(y)) if float(y) == int(y) else str(float(y))
    graph = Graph.build(
        edge_index.cpu().T,
        int(data.num_nodes),
        features=None if x is None else x.detach().cpu().double().reshape(len(x), -1),
        weights=None if weights is None else weights.detach().cpu(),
        label=label,
        name=name,
    )
    if graph.edge_index.shape[1] != len(torch.unique(edge_index.cpu().T, dim=0)):
        raise DataError(
            "an edge is there in one direction only",
            got="a directed graph",
            expected="both directions of every edge",
            fix="use torch_geometric.utils.to_undirected",
        )
    return graph


def graph_to_pyg(graph: Graph) -> Any:
    """Return the graph as a ``torch_geometric.data.Data``; a label that is a whole number becomes ``y``.

    Raises:
        MissingExtraError: if PyTorch Geometric is not installed.
    """
    try:
        from torch_geometric.data import Data
    except ImportError as error:
        raise MissingExtraError(
            "this needs PyTorch Geometric", got="no module `torch_geometric`", fix="pip install 'intertwine[graphs]'"
        ) from error
    whole = graph.label is not None and graph.label.removeprefix("-").isdecimal()
    return Data(
        x=graph.features,
        edge_index=graph.edge_index,
        edge_weight=graph.edge_weights,
        y=torch.tensor([int(str(graph.label))]) if whole else None,
        num_nodes=graph.num_nodes,
    )
