"""What APEN is compared with: networks without parts, as wide and as deep, in the coordinates of the cloud.

Sources: Qi et al., PointNet, CVPR 2017; Wang et al., Dynamic Graph CNN, ACM TOG 2019; Deng et al., Vector Neurons, ICCV
2021. Sizes are those of the APEN with the same settings and not the published ones.
"""

from abc import ABC, abstractmethod
from itertools import pairwise

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.graphs import segment_mean
from intertwine.groups import SE, E, T
from intertwine.nn import EdgeConv, VNInvariants, VNLinear, VNMeanPool, perceptron, vector_block
from intertwine.nn.edge_conv import edge_features
from intertwine.points import check_clouds, cloud_sizes, ragged_neighbours
from intertwine.representations import Invariant, Point
from intertwine.symmetry import Symmetry
from intertwine.systems.apen.model.set_network import ACTIVATIONS, segment_max, set_network
from intertwine.systems.apen.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["DGCNN", "Baseline", "PointNet", "VNPointNet"]


class Baseline(Pretrained, nn.Module, ABC):
    """Features of the points, a maximum over each cloud, and the head of an `APEN` with the same settings.

    Law: what ``symmetry`` says of motions of whole clouds; invariant under renaming of points.

    Args:
        settings: of the network it is compared with; what concerns parts is not read.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        width = self.build(settings, rng)
        sizes = (width, *settings.head, settings.classes)
        self.head = perceptron(sizes, activation=ACTIVATIONS[settings.activation], rng=rng)

    @abstractmethod
    def build(self, settings: ModelSettings, rng: torch.Generator | None) -> int:
        """Make the layers, and return how many features of a point they give."""

    @abstractmethod
    def features(
        self, centred: Float[Tensor, "points 3"], batch: Int64[Tensor, " points"], clouds: int
    ) -> Float[Tensor, "points width"]:
        """Return the features of the points of clouds whose centroid is at zero."""

    @property
    def symmetry(self) -> Symmetry:
        """Translations of the whole cloud."""
        return Symmetry(T(3), inputs={"positions": Point()}, output={"logits": Invariant()})

    def forward(
        self, positions: Float[Tensor, "points 3"], batch: Int64[Tensor, " points"] | None = None
    ) -> dict[str, Tensor]:
        """Return ``logits`` (points or clouds, classes).

        Args:
            positions: points of all clouds.
            batch: the cloud of each; one cloud where not given.

        Raises:
            ShapeError: if arguments do not fit each other, or a cloud has fewer points than are neighbours.
            NumericsError: if a coordinate is not finite.
        """
        batch = torch.zeros(len(positions), dtype=torch.int64, device=positions.device) if batch is None else batch
        check_clouds("positions", positions, batch)
        clouds = len(cloud_sizes(batch))
        centred = positions - segment_mean(positions, batch, clouds).index_select(0, batch)
        found = self.features(centred, batch, clouds)
        return {"logits": self.head(found if self.settings.task == "segment" else segment_max(found, batch, clouds))}


class PointNet(Baseline):
    """A PointNet of the width and depth of an `APEN` with the same settings.

    Law: invariant under translations of a cloud, and under renaming of its points; not under rotations.
    """

    def build(self, settings: ModelSettings, rng: torch.Generator | None) -> int:
        """Make a layer for each of the other network."""
        self.layers = nn.ModuleList(set_network(settings, place, rng=rng) for place in range(settings.layers))
        return settings.scalars * (settings.layers + 1)

    def features(self, centred: Tensor, batch: Tensor, clouds: int) -> Tensor:
        """Return the scalars of all layers, and the largest of the last layer in the cloud."""
        vectors = centred.new_zeros(len(centred), 0, 3)
        scalars = centred.new_ones(len(centred), 1)
        kept = []
        for layer in self.layers:
            found = layer(centred, vectors, scalars, batch, clouds)
            same = found["scalars"].shape == scalars.shape
            vectors, scalars = found["vectors"], found["scalars"] + scalars if same else found["scalars"]
            kept.append(scalars)
        return _with_largest(kept, batch, clouds)


class DGCNN(Baseline):
    """Edge convolutions on the nearest points, then on those with the nearest features: one a layer of an `APEN`.

    Its norms are batch norms whatever the settings say, as published.

    Law: invariant under translations of a cloud, and under renaming of its points; not under rotations.
    """

    def build(self, settings: ModelSettings, rng: torch.Generator | None) -> int:
        """Make an edge convolution for each layer of the other network."""
        self.layers = nn.ModuleList(
            EdgeConv(settings.scalars if place else 3, (settings.hidden, settings.scalars), rng=rng)
            for place in range(settings.layers)
        )
        return settings.scalars * (settings.layers + 1)

    def features(self, centred: Tensor, batch: Tensor, clouds: int) -> Tensor:
        """Return the features of all layers, and the largest of the last layer in the cloud."""
        kept = [centred]
        for layer in self.layers:
            near = ragged_neighbours(kept[-1].detach(), self.settings.neighbours, batch)
            # all clouds are one batch, whose edges stay in their clouds
            kept.append(layer(kept[-1].unsqueeze(0), near.unsqueeze(0)).squeeze(0))
        return _with_largest(kept[1:], batch, clouds)


class VNPointNet(Baseline):
    """A PointNet of vector neurons, with a third as many vectors as an `APEN` has numbers: equally wide.

    Features of a point begin with the edges to its neighbours, and with their vector products where mirror images are
    told apart (``group`` SE(3)); logits are of inner products. Norms are batch norms whatever the settings say.

    Law: invariant under E(3), or SE(3), acting on the cloud, and under renaming of its points.
    """

    def build(self, settings: ModelSettings, rng: torch.Generator | None) -> int:
        """Make the edges, a layer for each of the other network, and the inner products."""
        widths, hidden = [max(width // 3, 1) for width in settings.widths], max(settings.hidden // 3, 1)
        out = max(settings.scalars // 3, 1)
        self.edges = vector_block(2 if settings.group == "E(3)" else 3, out, rng=rng)
        self.neighbour_mean = VNMeanPool()
        self.layers = nn.ModuleList(_VNLayer(out, widths, hidden, rng) for _ in range(settings.layers))
        self.invariants = VNInvariants(out * (settings.layers + 1), rng=rng)
        return 3 * out * (settings.layers + 1)

    @property
    def symmetry(self) -> Symmetry:
        """The motions of whole clouds."""
        group = E(3) if self.settings.group == "E(3)" else SE(3)
        return Symmetry(group, inputs={"positions": Point()}, output={"logits": Invariant()})

    def features(self, centred: Tensor, batch: Tensor, clouds: int) -> Tensor:
        """Return inner products of the vectors of all layers, and of the mean of the last layer over the cloud."""
        near = ragged_neighbours(centred.detach(), self.settings.neighbours, batch)
        edges = edge_features(centred.unsqueeze(0), near.unsqueeze(0)).squeeze(0).unflatten(-1, (2, 3)).mT
        if self.settings.group == "SE(3)":
            edges = torch.cat([edges, torch.linalg.cross(edges[..., 0], edges[..., 1]).unsqueeze(-1)], dim=-1)
        vectors = self.neighbour_mean(self.edges(edges))
        kept = []
        for layer in self.layers:
            vectors = vectors + layer(vectors, batch, clouds)
            kept.append(vectors)
        kept.append(segment_mean(vectors, batch, clouds).index_select(0, batch))
        return self.invariants(torch.cat(kept, dim=-1))


class _VNLayer(nn.Module):
    """Vectors of each point, their mean over the cloud, and what both give together."""

    def __init__(self, width: int, widths: list[int], hidden: int, rng: torch.Generator | None) -> None:
        super().__init__()
        self.points = nn.Sequential(*(vector_block(a, b, rng=rng) for a, b in pairwise((width, *widths))))
        self.joint = vector_block(2 * widths[-1], hidden, rng=rng)
        self.last = VNLinear(hidden, width, rng=rng)

    def forward(
        self, vectors: Float[Tensor, "points 3 width"], batch: Int64[Tensor, " points"], clouds: int
    ) -> Float[Tensor, "points 3 width"]:
        own = self.points(vectors)
        pooled = segment_mean(own, batch, clouds).index_select(0, batch)
        return self.last(self.joint(torch.cat([own, pooled], dim=-1)))


def _with_largest(kept: list[Tensor], batch: Tensor, clouds: int) -> Float[Tensor, "points width"]:
    return torch.cat([*kept, segment_max(kept[-1], batch, clouds).index_select(0, batch)], dim=1)
