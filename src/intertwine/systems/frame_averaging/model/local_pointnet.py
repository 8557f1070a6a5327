"""FA-Local-PointNet: features of patches in frames of their own, then a PointNet on them in a frame of the cloud.

Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022; 2 776 318 weights.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError
from intertwine.frames import Frames, PCAFrame
from intertwine.nn import PointNet
from intertwine.nn.pointnet import SharedMLP, rows_to_clouds
from intertwine.points import nearest_neighbours
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.model.framed import check_points, narrow, normals_symmetry
from intertwine.systems.frame_averaging.model.pointnet import HEAD
from intertwine.systems.frame_averaging.settings.framing import make_frame
from intertwine.systems.frame_averaging.settings.normals import NormalsModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["LocalPointNetNormals"]

_PATCH, _TRUNK = (64, 128, 128), (128, 256, 256, 512, 2048)


class LocalPointNetNormals(Pretrained, nn.Module):
    """Normals from frames of patches and of the cloud of all features; it can be saved, loaded and called on batches.

    The patch of a point, its nearest neighbours about their centroid, is seen from each element of the patch's own
    frame; a perceptron makes vectors of it, which are mapped back and averaged: equivariant features. All vectors of a
    cloud give the second frame, in which a PointNet sees them.

    Law: normals turn with the cloud under the group of the frames, and are permuted with its points.

    Args:
        settings: group of the frames, neighbours and width.
        rng: generator of the initial weights.

    Raises:
        ConfigError: without PCA frames.
    """

    def __init__(self, settings: NormalsModelSettings, *, rng: torch.Generator | None = None) -> None:
        super().__init__()
        frame = make_frame(settings.frame)
        if not isinstance(frame, PCAFrame):
            raise ConfigError("patches need PCA frames", got=settings.frame.kind, expected="pca")
        self.settings = settings
        self.frame = frame
        patch = tuple(3 * max(width // 3, 1) for width in narrow(_PATCH, settings.narrower))
        self.patch = SharedMLP((3 * settings.neighbours, *patch), last_active=False, rng=rng)
        trunk, head = narrow(_TRUNK, settings.narrower), narrow(HEAD, settings.narrower)
        self.network = PointNet(patch[-1], trunk, head, 3, rng=rng)

    @property
    def symmetry(self) -> Symmetry:
        """S_n acts on the points, and the group of the frames on space."""
        return normals_symmetry(self.frame)

    def forward(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> Float[Tensor, "batch points 3"]:
        """Return unit normals; arguments and errors are those of `FramedNormals`."""
        check_points(points, mask)
        vectors = self.patch_vectors(points, mask)
        batch, count, channels, _ = vectors.shape
        known = None if mask is None else mask.unsqueeze(-1).expand(-1, -1, channels).flatten(1)
        frames = self.frame(vectors.flatten(1, 2), known)
        centred = frames.seen_from_origin(vectors).flatten(1, 2)
        seen = (centred.unsqueeze(1) @ frames.linear).unflatten(2, (count, channels)).flatten(-2)
        elements = None if mask is None else mask.repeat_interleave(frames.count, dim=0)
        found = self.network(seen.flatten(0, 1), elements).unflatten(0, (batch, frames.count))
        mean = ((found @ frames.linear.mT) * frames.weights[..., None, None]).sum(1)
        return nn.functional.normalize(mean, dim=-1)

    def patch_vectors(
        self, points: Float[Tensor, "batch points 3"], mask: Bool[Tensor, "batch points"] | None = None
    ) -> Float[Tensor, "batch points vectors 3"]:
        """Return the equivariant features of each point; moving the cloud does not change them."""
        k = self.settings.neighbours
        neighbours = nearest_neighbours(points.detach(), k, mask)
        patches = points.gather(1, neighbours.flatten(1).unsqueeze(-1).expand(-1, -1, 3)).unflatten(1, (-1, k))
        if mask is not None:
            patches = patches[mask].unsqueeze(0)
        rows = patches.flatten(0, 1)
        frames: Frames = self.frame(rows)
        centred = frames.seen_from_origin(rows)
        seen = (centred.unsqueeze(1) @ frames.linear).flatten(-2)
        made = self.patch(seen.flatten(0, 1))[-1].unflatten(0, seen.shape[:2]).unflatten(-1, (-1, 3))
        vectors = ((made @ frames.linear.mT) * frames.weights[..., None, None]).sum(1)
        return rows_to_clouds(vectors, points, mask)
