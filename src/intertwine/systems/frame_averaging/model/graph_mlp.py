"""A perceptron on whole graphs: all entries of the adjacency matrix are its inputs, in the order of the nodes.

It has no symmetry of its own. Source: Puny et al., ICLR 2022, section 4 (FA-MLP and GA-MLP).
"""

from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from intertwine.nn import affine_map

__all__ = ["GraphMLP", "node_numbers"]


class GraphMLP(nn.Module):
    """From graphs of at most ``max_nodes`` nodes to numbers; smaller ones are padded with zeros.

    Args:
        max_nodes: nodes of the largest graph.
        channels: features of a node beside its degree; None leaves out both.
        widths: of the layers.
        activation: after every layer.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        max_nodes: int,
        channels: int | None,
        widths: tuple[int, ...],
        activation: type[nn.Module],
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.max_nodes, self.sees_nodes = max_nodes, channels is not None
        inputs = max_nodes * (max_nodes + (0 if channels is None else channels + 1))
        sizes = [inputs, *widths]
        layers = [layer for a, b in pairwise(sizes) for layer in (affine_map(a, b, rng=rng), activation())]
        self.layers = nn.Sequential(*layers)

    def forward(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"],
        mask: Bool[Tensor, "graphs nodes"],
    ) -> Float[Tensor, "graphs width"]:
        """Return the numbers of the last layer; nodes in the order in which they stand."""
        missing = self.max_nodes - adjacency.shape[1]
        parts = [pad(adjacency, (0, missing, 0, missing)).flatten(1)]
        if self.sees_nodes:
            parts.insert(0, pad(node_numbers(adjacency, features), (0, 0, 0, missing)).flatten(1))
        return self.layers(torch.cat(parts, dim=1))


def node_numbers(
    adjacency: Float[Tensor, "graphs nodes nodes"], features: Float[Tensor, "graphs nodes channels"]
) -> Float[Tensor, "graphs nodes numbers"]:
    """Return the features of the nodes, with their degrees appended."""
    return torch.cat([features, adjacency.sum(-1, keepdim=True)], dim=-1)
