"""Messages between pairs of nodes by perceptrons, their sum at each node, and an update with residual.

Gilmer et al., Neural message passing, ICML 2017; in the form of Satorras, Hoogeboom, Welling, ICML 2021, where it is
the baseline of graph networks and the part of EGNN that has no directions.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear

from intertwine.errors import ShapeError
from intertwine.graphs import segment_sum
from intertwine.groups import SymmetricGroup
from intertwine.nn.perceptron import affine_map, perceptron
from intertwine.representations import NodeIndices, Permuted
from intertwine.symmetry import Symmetry

__all__ = ["PairMessages", "PairNetwork"]


class PairNetwork(nn.Module):
    """The messages ``MLP([h_i, h_j, e_ij])`` of two affine maps, each with an activation.

    The first map is the sum of one of ``h_i``, one of ``h_j`` and one of ``e_ij``. The first two are applied to nodes,
    before their results are brought to edges, of which there are more; that of ``e_ij`` is applied once for all copies
    of the nodes. The numbers are those of the formula.

    Args:
        features: width of ``h``.
        attributes: width of ``e``.
        hidden: width of the messages.
        ends: ``both`` takes ``h_i`` and ``h_j``, ``difference`` takes ``h_i - h_j``.
        normalise: layer normalisation before each activation.
        dropout: part of the numbers that are left out after each activation, in training.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        features: int,
        attributes: int,
        hidden: int,
        *,
        ends: Literal["both", "difference"] = "both",
        normalise: bool = False,
        dropout: float = 0.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.features, self.attributes, self.ends = features, attributes, ends
        self.first = affine_map((2 if ends == "both" else 1) * features + attributes, hidden, rng=rng)
        self.after_first = _activation(hidden, normalise, dropout)
        self.second = affine_map(hidden, hidden, rng=rng)
        self.after_second = _activation(hidden, normalise, dropout)

    def forward(
        self,
        features: Float[Tensor, "nodes *copies features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attributes: Float[Tensor, "edges attributes"],
    ) -> Float[Tensor, "edges *copies hidden"]:
        """Return the message of each edge, whose destination is i and whose source is j.

        Args:
            features: of each node; copies of the nodes on further axes have the same edges and attributes.
            edge_index: source and destination of each edge.
            edge_attributes: of each edge.

        Raises:
            ShapeError: if widths or numbers of edges do not fit.
        """
        if (
            features.shape[-1] != self.features
            or edge_attributes.shape != (edge_index.shape[1], self.attributes)
            or edge_index.shape[0] != 2
        ):
            raise ShapeError(
                "messages need features of nodes and attributes of their edges",
                got={
                    "features": tuple(features.shape),
                    "edge_index": tuple(edge_index.shape),
                    "edge_attributes": tuple(edge_attributes.shape),
                },
                expected=f"(nodes, ..., {self.features}), (2, edges), (edges, {self.attributes})",
            )
        source, destination = edge_index
        of_nodes, of_edges = self.first.weight.tensor_split([self.first.in_features - self.attributes], dim=1)
        of_destination = of_nodes[:, : self.features]
        of_source = of_nodes[:, self.features :] if self.ends == "both" else -of_destination
        here = linear(features, of_destination).index_select(0, destination)
        there = linear(features, of_source).index_select(0, source)
        between = linear(edge_attributes, of_edges, self.first.bias)
        between = between.reshape(len(between), *[1] * (features.ndim - 2), between.shape[-1])
        return self.after_second(self.second(self.after_first(here + there + between)))


class PairMessages(nn.Module):
    """A layer ``h_i <- h_i + MLP([h_i, sum_j m_ij])`` with the messages ``m_ij`` of a `PairNetwork`.

    Law: features are permuted with the nodes; where nodes or edges have copies, each copy for itself.

    Args:
        features: width of the features.
        attributes: width of what is known of each edge.
        hidden: width of messages, and of the update inside; that of the features where not given.
        ends, normalise, dropout, rng: see `PairNetwork`.

    Example:
        >>> layer = PairMessages(8, 1, rng=torch.Generator().manual_seed(0))
        >>> layer(torch.zeros(3, 8), torch.tensor([[0, 1], [1, 2]]), torch.zeros(2, 1)).shape
        torch.Size([3, 8])
    """

    def __init__(
        self,
        features: int,
        attributes: int,
        hidden: int | None = None,
        *,
        ends: Literal["both", "difference"] = "both",
        normalise: bool = False,
        dropout: float = 0.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        hidden = features if hidden is None else hidden
        self.messages = PairNetwork(
            features, attributes, hidden, ends=ends, normalise=normalise, dropout=dropout, rng=rng
        )
        self.update = perceptron([features + hidden, hidden, features], rng=rng)

    @property
    def symmetry(self) -> Symmetry:
        """S_n acts on the nodes."""
        return Symmetry(
            SymmetricGroup(None), inputs={"features": Permuted(), "edge_index": NodeIndices()}, output=Permuted()
        )

    def forward(
        self,
        features: Float[Tensor, "nodes *copies features"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attributes: Float[Tensor, "edges attributes"],
    ) -> Float[Tensor, "nodes *copies features"]:
        """Return the updated features; arguments and errors are those of `PairNetwork`."""
        messages = self.messages(features, edge_index, edge_attributes)
        gathered = segment_sum(messages, edge_index[1], len(features))
        return features + self.update(torch.cat([features, gathered], dim=-1))


def _activation(width: int, normalise: bool, dropout: float) -> nn.Module:
    layers: list[nn.Module] = [nn.LayerNorm(width)] if normalise else []
    layers.append(nn.SiLU())
    if dropout > 0:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers) if len(layers) > 1 else layers[0]
