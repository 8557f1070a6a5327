"""The layer of E(n) equivariant graph networks: messages from distances, steps along the lines between nodes.

Satorras, Hoogeboom, Welling, E(n) equivariant graph neural networks, ICML 2021, equations 3 to 7, with the numbers of
the published code: steps are means over neighbours, and each of their terms is cut at ±100.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import ShapeError
from intertwine.graphs import segment_mean, segment_sum
from intertwine.groups import E, SymmetricGroup
from intertwine.nn.pair_messages import PairNetwork
from intertwine.nn.perceptron import affine_map, perceptron
from intertwine.representations import NodeIndices, Permuted, Point, Vector
from intertwine.symmetry import Symmetry

__all__ = ["EGNNLayer"]

_LARGEST_STEP = 100.0
_SMALL_GAIN = 0.001


class EGNNLayer(nn.Module):
    """One layer, with r_ij = |x_i - x_j|² of the current positions::

        m_ij = MLP([h_i, h_j, r_ij, e_ij])
        x_i <- x_i + mean_j (x_i - x_j) phi_x(m_ij) + phi_v(h_i) v_i
        h_i <- h_i + MLP([h_i, sum_j m_ij])

    Law: features are invariant under E(n), positions move with it, velocities turn with it (they are not changed);
    all are permuted with the nodes.

    Args:
        features: width of the features and of the messages.
        attributes: width of what is known of each edge beside the distance.
        velocities: whether there is a term of velocities.
        rng: generator of the initial weights.
    """

    def __init__(
        self, features: int, attributes: int = 0, *, velocities: bool = True, rng: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.messages = PairNetwork(features, 1 + attributes, features, rng=rng)
        self.update = perceptron([2 * features, features, features], rng=rng)
        step = affine_map(features, 1, bias=False, rng=rng)
        nn.init.xavier_uniform_(step.weight, gain=_SMALL_GAIN, generator=rng)
        self.step = nn.Sequential(affine_map(features, features, rng=rng), nn.SiLU(), step)
        self.drift = perceptron([features, features, 1], rng=rng) if velocities else None

    @property
    def symmetry(self) -> Symmetry:
        """E(3) acts on space, S_n on the nodes; distances and lines are those of any dimension."""
        nodes = {"features": Permuted(), "positions": Permuted((0,), Point()), "edge_index": NodeIndices()}
        moving = {"velocities": Permuted((0,), Vector())} if self.drift is not None else {}
        return Symmetry(
            E(3) * SymmetricGroup(None), inputs=nodes | moving, output=[Permuted(), Permuted((0,), Point())]
        )

    def forward(
        self,
        features: Float[Tensor, "nodes features"],
        positions: Float[Tensor, "nodes d"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attributes: Float[Tensor, "edges attributes"] | None = None,
        velocities: Float[Tensor, "nodes d"] | None = None,
    ) -> tuple[Float[Tensor, "nodes features"], Float[Tensor, "nodes d"]]:
        """Return the updated features and positions.

        Args:
            features, positions: of the nodes.
            edge_index: source j and destination i of each edge.
            edge_attributes: invariant numbers of each edge.
            velocities: of the nodes, where the layer has a term of them.

        Raises:
            ShapeError: if arguments do not fit, or velocities are missing.
        """
        if (velocities is None) != (self.drift is None) or (
            velocities is not None and velocities.shape != positions.shape
        ):
            raise ShapeError(
                "the layer moves nodes with their velocities" if self.drift else "the layer has no term of velocities",
                got={
                    "positions": tuple(positions.shape),
                    "velocities": None if velocities is None else tuple(velocities.shape),
                },
                expected="both of the same shape" if self.drift else "no velocities",
            )
        source, destination = edge_index
        between = positions.index_select(0, destination) - positions.index_select(0, source)
        known = [between.square().sum(-1, keepdim=True)]
        if edge_attributes is not None:
            known.append(edge_attributes)
        messages = self.messages(features, edge_index, torch.cat(known, dim=-1))
        steps = (between * self.step(messages)).clamp(-_LARGEST_STEP, _LARGEST_STEP)
        moved = positions + segment_mean(steps, destination, len(positions))
        if self.drift is not None:
            moved = moved + self.drift(features) * velocities
        gathered = segment_sum(messages, destination, len(features))
        return features + self.update(torch.cat([features, gathered], dim=-1)), moved
