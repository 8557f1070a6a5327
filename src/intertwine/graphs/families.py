"""Families of graphs that simple tests for isomorphism cannot tell apart, generated exactly."""

import torch

from intertwine.errors import DataError
from intertwine.graphs.graph import Graph

__all__ = ["circular_skip_links", "rook", "shrikhande"]


def circular_skip_links(nodes: int, skip: int) -> Graph:
    """Return CSL(n, s): a cycle of n nodes with links between nodes that are s apart on it.

    All of them are 4-regular, and those of n = 41 with s in {2, 3, 4, 5, 6, 9, 11, 12, 13, 16} are not isomorphic.
    Source: Murphy et al., Relational Pooling for Graph Representations, ICML 2019.

    Args:
        nodes: n.
        skip: s, from 2 to n - 2.
    """
    if nodes < 4 or not 2 <= skip <= nodes - 2:
        raise DataError(
            "there are no such circular skip links",
            got={"nodes": nodes, "skip": skip},
            expected="at least 4 nodes, and a skip from 2 to nodes - 2",
        )
    start = torch.arange(nodes)
    pairs = [torch.stack([start, (start + step) % nodes], dim=1) for step in (1, skip)]
    return Graph.build(torch.cat(pairs), nodes, name=f"CSL({nodes}, {skip})")


def rook(size: int = 4) -> Graph:
    """Return the rook's graph: the squares of a board, joined where a rook moves from one to the other.

    That of 4 x 4 squares is strongly regular (16, 6, 2, 2), with 1152 automorphisms.
    """
    squares = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    return _joined((squares[:, None] == squares[None]).sum(-1) == 1, f"rook {size}x{size}")


def shrikhande() -> Graph:
    """Return the Shrikhande graph, strongly regular (16, 6, 2, 2) as the rook's graph, with 192 automorphisms.

    Its nodes are the pairs of integers modulo 4; neighbours differ by ±(1, 0), ±(0, 1) or ±(1, 1).
    """
    nodes = torch.cartesian_prod(torch.arange(4), torch.arange(4))
    differences = (nodes[:, None] - nodes[None]) % 4
    steps = torch.tensor([(1, 0), (3, 0), (0, 1), (0, 3), (1, 1), (3, 3)])
    return _joined((differences[:, :, None] == steps).all(-1).any(-1), "Shrikhande")


def _joined(neighbours: torch.Tensor, name: str) -> Graph:
    return Graph.build(neighbours.nonzero(), len(neighbours), name=name)
