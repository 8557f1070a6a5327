"""SEGNN: a steerable E(3) message-passing network that moves charged particles.

Brandstetter, Hesselink, van der Pol, Bekkers, Welling, "Geometric and physical quantities improve E(3) equivariant
message passing", ICLR 2022. Nodes carry steerable features, and every layer is a product with attributes: harmonics of
the edge's direction for messages; their mean plus those of the velocity for updates.

Differences from the published code: positions are centred with the centroid of each graph (there with the mean of the
three coordinates of each particle, which no rotation keeps); weights are standard normal, divided at use by the root of
their number. As there, attributes are orthonormal harmonics, whose size below 1 lets each layer begin as a small step.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.graphs import segment_mean, segment_sum
from intertwine.groups import E, O, SymmetricGroup
from intertwine.particles.batch import check_particles, particle_symmetry
from intertwine.representations import Irreps, SphericalHarmonics
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import join_blocks, split_blocks
from intertwine.symmetry import Symmetry
from intertwine.systems.segnn.model.irreps import attribute_irreps, hidden_irreps
from intertwine.systems.segnn.model.products import LAYOUT, GatedProduct, SteerableProduct
from intertwine.systems.segnn.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["SEGNN"]

_NODE_INPUTS = Irreps("1x0e + 2x1o")
"""Speed; position from the centroid and velocity."""
_EDGE_INPUTS = Irreps("2x0e")
"""Distance and product of the charges."""


class SEGNN(Pretrained, nn.Module):
    """Predicts where particles will be after a fixed time; it can be saved, loaded and called on batches of systems.

    Law: predicted positions move with the particles under E(3) and under renaming of the particles.

    Args:
        settings: product and sizes.
        rng: generator of the initial weights.

    Example:
        >>> model = SEGNN(ModelSettings(hidden=8, layers=1))
        >>> model.irreps_hidden
        Irreps('4x0e + 4x1o')
    """

    def __init__(self, settings: ModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.irreps_hidden = hidden_irreps(settings)
        attributes = attribute_irreps(settings)
        self.harmonics = SphericalHarmonics(attributes, normalize=True, normalization="integral")
        channels = settings.product_channels or self.irreps_hidden[0].mul
        steering = (settings, channels, rng)
        hidden = self.irreps_hidden
        self.embedding = SteerableProduct(_NODE_INPUTS, attributes, hidden, *steering)
        self.layers = nn.ModuleList(_Layer(hidden, attributes, *steering) for _ in range(settings.layers))
        self.before_output = GatedProduct(hidden, attributes, hidden, *steering)
        self.output = SteerableProduct(hidden, attributes, Irreps("1o"), *steering)

    @property
    def symmetry(self) -> Symmetry:
        """E(3) acts on space, S_n on the names of the particles."""
        return particle_symmetry(E(3) * SymmetricGroup(None))

    def forward(
        self,
        positions: Float[Tensor, "nodes 3"],
        velocities: Float[Tensor, "nodes 3"],
        charges: Float[Tensor, " nodes"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, " nodes"],
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions.

        Args:
            positions, velocities, charges: of all particles of a batch.
            edge_index: source and destination of the edges; no edge leads from one system to another.
            graph_index: the system of each particle, numbered from 0.

        Raises:
            ShapeError: if the arguments do not describe one batch of particles.
        """
        count = positions.shape[0]
        check_particles(positions, velocities, charges, graph_index)
        source, destination = edge_index
        # there are at most as many systems as particles: so no number has to be read from the data
        centroids = segment_mean(positions, graph_index, count).index_select(0, graph_index)
        between = positions.index_select(0, source) - positions.index_select(0, destination)
        edge_attributes = self.harmonics(between)
        node_attributes = segment_mean(edge_attributes, destination, count) + self.harmonics(velocities)
        products = charges.index_select(0, source) * charges.index_select(0, destination)
        edge_inputs = torch.cat([_length(between), products.unsqueeze(-1)], dim=-1)
        vectors = torch.stack([positions - centroids, velocities], dim=-1).flatten(-2)  # ir_mul: component slow
        features = self.embedding(torch.cat([_length(velocities), vectors], dim=-1), node_attributes)
        for layer in self.layers:
            features = layer(features, edge_inputs, edge_attributes, node_attributes, edge_index)
        return positions + self.output(self.before_output(features, node_attributes), node_attributes)


class _Layer(nn.Module):
    """Messages from two gated products, their sum at the destination, and an update of two products with residual."""

    def __init__(
        self,
        hidden: Irreps,
        attributes: Irreps,
        settings: ModelSettings,
        channels: int,
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        steering = (settings, channels, rng)
        self.join_message = _Join(hidden, hidden, _EDGE_INPUTS)
        self.join_update = _Join(hidden, hidden)
        self.message_1 = GatedProduct(self.join_message.irreps_out, attributes, hidden, *steering)
        self.message_2 = GatedProduct(hidden, attributes, hidden, *steering)
        self.update_1 = GatedProduct(self.join_update.irreps_out, attributes, hidden, *steering)
        self.update_2 = SteerableProduct(hidden, attributes, hidden, *steering)

    def forward(
        self,
        features: Tensor,
        edge_inputs: Tensor,
        edge_attributes: Tensor,
        node_attributes: Tensor,
        edge_index: Tensor,
    ) -> Tensor:
        source, destination = edge_index
        ends = (features.index_select(0, destination), features.index_select(0, source))
        messages = self.message_1(self.join_message(*ends, edge_inputs), edge_attributes)
        messages = self.message_2(messages, edge_attributes)
        gathered = segment_sum(messages, destination, features.shape[0])
        update = self.update_1(self.join_update(features, gathered), node_attributes)
        return features + self.update_2(update, node_attributes)


class _Join(nn.Module):
    """Features side by side, channels of one irrep in one block: products are then one contraction a path."""

    def __init__(self, *irreps: Irreps) -> None:
        super().__init__()
        self.irreps = irreps
        self.irreps_out = sum(irreps, Irreps()).regroup()

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on every part, and on the whole, by their irreps."""
        inputs = {name: IrrepsTensor(part, LAYOUT) for name, part in zip("abc", self.irreps, strict=False)}
        return Symmetry(O(3), inputs=inputs, output=IrrepsTensor(self.irreps_out, LAYOUT))

    def forward(self, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        parts = [a, b] if c is None else [a, b, c]
        blocks = [
            (entry.ir, block)
            for irreps, part in zip(self.irreps, parts, strict=True)
            for entry, block in zip(irreps, split_blocks(part, irreps, LAYOUT), strict=True)
        ]
        joined = [torch.cat([block for ir, block in blocks if ir == kind], dim=-1) for kind in self.irreps_out.irreps]
        return join_blocks(joined, LAYOUT)


def _length(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 1"]:
    """Return the lengths; that of the zero vector has gradient zero, not infinity."""
    square = vectors.square().sum(-1, keepdim=True)
    is_zero = square == 0
    return torch.where(is_zero, 0.0, torch.where(is_zero, 1.0, square).sqrt())
