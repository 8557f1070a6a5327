"""Colour refinement, the one-dimensional Weisfeiler-Leman test: what a message-passing network can see of a graph."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.graphs.graph import GraphBatch

__all__ = ["colour_refinement", "refinement_classes"]


def colour_refinement(batch: GraphBatch) -> Int64[Tensor, "graphs nodes"]:
    """Return the stable colours of the nodes, comparable between all graphs of the batch; padding has colour -1.

    Nodes begin with the colours of their features. In each round nodes keep one colour if they had one, and if equal
    numbers of their neighbours had each colour over edges of each weight. Colours are whole numbers without meaning.
    """
    mask, adjacency = batch.mask, batch.adjacency
    _, weights = torch.unique(adjacency, return_inverse=True)
    edge = (adjacency != 0) & mask.unsqueeze(1)
    colours, before = _numbered(batch.features.double(), mask), 0
    while (count := int(colours.max()) + 1 if colours.numel() else 0) > before:
        before = count
        seen = (weights * count + colours.unsqueeze(1)).where(edge, -1)
        around = seen.sort(-1, descending=True).values
        degree = int((around >= 0).sum(-1).max())
        colours = _numbered(torch.cat([colours.unsqueeze(-1), around[..., :degree]], dim=-1), mask)
    return colours


def refinement_classes(batch: GraphBatch) -> Int64[Tensor, " graphs"]:
    """Return a class for each graph: graphs that colour refinement cannot tell apart are in one."""
    colours = colour_refinement(batch).sort(-1).values
    return torch.unique(colours, dim=0, return_inverse=True)[1]


def _numbered(
    rows: Float[Tensor, "graphs nodes entries"] | Int64[Tensor, "graphs nodes entries"],
    mask: Bool[Tensor, "graphs nodes"],
) -> Int64[Tensor, "graphs nodes"]:
    """Equal rows get equal numbers, from 0; padding gets -1."""
    colours = torch.full(mask.shape, -1)
    if rows.shape[-1]:
        colours[mask] = torch.unique(rows[mask], dim=0, return_inverse=True)[1]
    else:
        colours[mask] = 0
    return colours
