"""The layer of radial fields: steps along the lines between nodes, of a size that distances decide.

Köhler, Klein, Noé, Equivariant flows, 2019, with a term of velocities as in Satorras, Hoogeboom, Welling, ICML 2021.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import ShapeError
from intertwine.graphs import segment_mean
from intertwine.groups import E, SymmetricGroup
from intertwine.nn.perceptron import affine_map, perceptron
from intertwine.representations import NodeIndices, Permuted, Point, Vector
from intertwine.symmetry import Symmetry

__all__ = ["RadialFieldLayer"]

_SMALL_GAIN = 0.001


class RadialFieldLayer(nn.Module):
    """One layer ``x_i <- x_i + mean_j (x_i - x_j) tanh(phi([|x_i - x_j|, e_ij])) + phi_v(|v_i|) v_i``.

    Law: positions move with E(n), velocities turn with it; both are permuted with the nodes.

    Args:
        attributes: width of what is known of each edge beside the distance.
        hidden: width of the perceptrons.
        rng: generator of the initial weights.
    """

    def __init__(self, attributes: int = 0, hidden: int = 64, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.attributes = attributes
        step = affine_map(hidden, 1, bias=False, rng=rng)
        nn.init.xavier_uniform_(step.weight, gain=_SMALL_GAIN, generator=rng)
        self.step = nn.Sequential(affine_map(1 + attributes, hidden, rng=rng), nn.SiLU(), step, nn.Tanh())
        self.drift = perceptron([1, hidden, 1], rng=rng)

    @property
    def symmetry(self) -> Symmetry:
        """E(3) acts on space, S_n on the nodes; distances and lines are those of any dimension."""
        inputs = {
            "positions": Permuted((0,), Point()),
            "velocities": Permuted((0,), Vector()),
            "edge_index": NodeIndices(),
        }
        return Symmetry(E(3) * SymmetricGroup(None), inputs=inputs, output=Permuted((0,), Point()))

    def forward(
        self,
        positions: Float[Tensor, "nodes d"],
        velocities: Float[Tensor, "nodes d"],
        edge_index: Int[Tensor, "2 edges"],
        edge_attributes: Float[Tensor, "edges attributes"],
    ) -> Float[Tensor, "nodes d"]:
        """Return the moved positions.

        Args:
            positions, velocities: of the nodes.
            edge_index: source j and destination i of each edge.
            edge_attributes: invariant numbers of each edge.

        Raises:
            ShapeError: if arguments do not fit.
        """
        if velocities.shape != positions.shape or edge_attributes.shape != (edge_index.shape[1], self.attributes):
            raise ShapeError(
                "a radial field needs positions and velocities of nodes, and attributes of their edges",
                got={
                    "positions": tuple(positions.shape),
                    "velocities": tuple(velocities.shape),
                    "edge_attributes": tuple(edge_attributes.shape),
                },
                expected=f"(nodes, d) twice, (edges, {self.attributes})",
            )
        source, destination = edge_index
        between = positions.index_select(0, destination) - positions.index_select(0, source)
        steps = between * self.step(torch.cat([_length(between), edge_attributes], dim=-1))
        drift = self.drift(_length(velocities)) * velocities
        return positions + segment_mean(steps, destination, len(positions)) + drift


def _length(vectors: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch 1"]:
    """Return the lengths; that of the zero vector has gradient zero, not infinity."""
    square = vectors.square().sum(-1, keepdim=True)
    is_zero = square == 0
    return torch.where(is_zero, 0.0, torch.where(is_zero, 1.0, square).sqrt())
