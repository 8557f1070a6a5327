"""What APEN is compared with: the same layers without parts and without frames, in the coordinates of the cloud."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intertwine.graphs import segment_mean
from intertwine.groups import T
from intertwine.nn.perceptron import perceptron
from intertwine.points import check_clouds, cloud_sizes
from intertwine.representations import Invariant, Point
from intertwine.symmetry import Symmetry
from intertwine.systems.apen.model.set_network import ACTIVATIONS, SetNetwork, segment_max
from intertwine.systems.apen.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["PointNet"]


class PointNet(Pretrained, nn.Module):
    """A PointNet of the width and depth of an `APEN` with the same settings.

    Law: invariant under translations of a cloud, and under renaming of its points; not under rotations.

    Args:
        settings: of the network it is compared with; what concerns parts is not read.
        rng: generator of the initial weights.
    """

    def __init__(self, settings: ModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(
            SetNetwork(
                settings.vectors if place else 0,
                settings.scalars if place else 1,
                settings.vectors,
                settings.scalars,
                widths=settings.widths,
                hidden=settings.hidden,
                norm=settings.norm,
                activation=settings.activation,
                rng=rng,
            )
            for place in range(settings.layers)
        )
        sizes = (settings.scalars * (settings.layers + 1), *settings.head, settings.classes)
        self.head = perceptron(sizes, activation=ACTIVATIONS[settings.activation], rng=rng)

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
        """
        batch = torch.zeros(len(positions), dtype=torch.int64, device=positions.device) if batch is None else batch
        check_clouds("positions", positions, batch)
        clouds = len(cloud_sizes(batch))
        centred = positions - segment_mean(positions, batch, clouds).index_select(0, batch)
        vectors = positions.new_zeros(len(positions), 0, 3)
        scalars = positions.new_ones(len(positions), 1)
        kept = []
        for layer in self.layers:
            found = layer(centred, vectors, scalars, batch, clouds)
            same = found["scalars"].shape == scalars.shape
            vectors, scalars = found["vectors"], found["scalars"] + scalars if same else found["scalars"]
            kept.append(scalars)
        joined = torch.cat([*kept, segment_max(kept[-1], batch, clouds).index_select(0, batch)], dim=1)
        return {"logits": self.head(joined if self.settings.task == "segment" else segment_max(joined, batch, clouds))}
