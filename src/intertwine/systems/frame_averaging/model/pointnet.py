"""PointNets for normals: averaged over frames, or with maps that they find themselves (T-nets), the baseline.

Sizes as in Puny et al., ICLR 2022: 2 509 699 weights with frames, 8 332 236 with T-nets.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.frames import FrameAverage
from intertwine.nn import PointNet, affine_map
from intertwine.nn.pointnet import PooledHead, PooledLinear, SharedMLP, cloud_rows, rows_to_clouds
from intertwine.systems.frame_averaging.model.framed import FramedNormals, check_points, narrow
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings

__all__ = ["PointNetNormals", "TransformNet", "TransformedPointNet", "transform_penalty"]

TRUNK, HEAD = (64, 128, 128, 512, 2048), (256, 256, 128)
_TRANSFORM, _TRANSFORM_HEAD = (64, 128, 1024), (512, 256)


class PointNetNormals(FramedNormals):
    """A PointNet averaged over frames, or the baseline; it can be saved, loaded and called on batches of clouds.

    Args:
        settings: frames, transforms and width.
        rng: generator of the initial weights.

    Example:
        >>> sum(weight.numel() for weight in PointNetNormals(NormalsModelSettings()).parameters())
        2509699
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        trunk, head = narrow(TRUNK, settings.narrower), narrow(HEAD, settings.narrower)
        backbone = (
            TransformedPointNet(trunk, head, settings.narrower, rng=rng)
            if settings.transforms
            else PointNet(3, trunk, head, 3, rng=rng)
        )
        super().__init__(backbone, settings.frame, rng=rng)
        self.settings = settings

    def with_transforms(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "clouds d d"] | None]:
        """Return unit normals, and the maps of features that training keeps near orthogonal; None without T-nets."""
        backbone, network = self.backbone, self.network
        if not isinstance(backbone, TransformedPointNet):
            return self(points, mask), None
        check_points(points, mask)
        if not isinstance(network, FrameAverage):
            found, transforms = backbone.with_transforms(points, mask)
        else:
            given = {"points": points, **({} if mask is None else {"mask": mask})}
            framed, frames = network.canonicalise(**given)
            found, transforms = backbone.with_transforms(**framed)
            found = network.average(found, frames, **given)
        return nn.functional.normalize(found, dim=-1), transforms


class TransformNet(nn.Module):
    """A square matrix for each cloud, found by a small PointNet and added to the identity.

    Args:
        dim: rows of the matrix, and features of a point.
        narrower: divides the published widths.
        rng: generator of the initial weights.
    """

    def __init__(self, dim: int, narrower: int = 1, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        first, second, pooled = narrow(_TRANSFORM, narrower)
        self.dim = dim
        self.shared = SharedMLP((dim, first, second), rng=rng)
        self.pool = PooledLinear(second, pooled, rng=rng)
        widths = (pooled, *narrow(_TRANSFORM_HEAD, narrower))
        self.hidden = SharedMLP(widths, rng=rng)
        self.last = affine_map(widths[-1], dim * dim, rng=rng)

    def forward(self, rows: Float[Tensor, "rows dim"], sizes: tuple[int, ...]) -> Float[Tensor, "clouds dim dim"]:
        """Return the matrices."""
        pooled = torch.relu(self.pool(self.shared(rows)[-1], sizes))
        found = self.last(self.hidden(pooled)[-1]).unflatten(-1, (self.dim, self.dim))
        return found + torch.eye(self.dim, dtype=found.dtype, device=found.device)


class TransformedPointNet(nn.Module):
    """A PointNet that maps its input, and its features after the third map, by matrices that it finds itself.

    Args:
        trunk, head: widths.
        narrower: divides the widths of the networks that find the matrices.
        rng: generator of the initial weights.
    """

    def __init__(
        self, trunk: tuple[int, ...], head: tuple[int, ...], narrower: int = 1, *, rng: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.of_points = TransformNet(3, narrower, rng=rng)
        self.of_features = TransformNet(trunk[2], narrower, rng=rng)
        self.before = SharedMLP((3, *trunk[:3]), rng=rng)
        self.after = SharedMLP(trunk[2:-1], rng=rng)
        self.head = PooledHead(trunk[:-1], trunk[-1], head, 3, rng=rng)

    def forward(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> Float[Tensor, "batch points 3"]:
        """Return a vector at each point."""
        return self.with_transforms(points, mask)[0]

    def with_transforms(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> tuple[Float[Tensor, "batch points 3"], Float[Tensor, "batch d d"]]:
        """Return a vector at each point, and the map of features of each cloud."""
        rows, sizes = cloud_rows(points, mask)
        rows = _applied(self.of_points(rows, sizes), rows, sizes)
        features = self.before(rows)
        transforms = self.of_features(features[-1], sizes)
        features += self.after(_applied(transforms, features[-1], sizes))
        return rows_to_clouds(self.head(features, sizes), points, mask), transforms


def transform_penalty(transforms: Float[Tensor, "clouds d d"], form: str = "orthogonal") -> Float[Tensor, ""]:
    """Return the mean over clouds of the norm of ``1 - T T^t``, or of ``T (T^t - 1)`` in the form ``published``."""
    identity = torch.eye(transforms.shape[-1], dtype=transforms.dtype, device=transforms.device)
    apart = {"published": transforms @ (transforms.mT - identity), "orthogonal": identity - transforms @ transforms.mT}
    return torch.linalg.matrix_norm(apart[form]).mean()


def _applied(transforms: Tensor, rows: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Return rows times the matrix of their cloud."""
    if not sizes:
        return rows
    if len(set(sizes)) == 1:
        return (rows.unflatten(0, (len(sizes), sizes[0])) @ transforms).flatten(0, 1)
    return torch.cat([part @ each for part, each in zip(rows.split(list(sizes)), transforms, strict=True)])
