"""Moving clouds to their centroid and scaling them to a common size."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.errors import ConfigError, DataError, ShapeError

__all__ = ["Normalised", "Size", "normalise"]

Size = Literal["rms", "max_norm", "norm_std", "none"]
"""What is made 1: root mean square, maximum or standard deviation of the norms; or nothing."""


@dataclass(frozen=True)
class Normalised:
    """Clouds in their own units: the points as given are ``points * scale + centre``."""

    points: Float[Tensor, "batch points d"]
    centre: Float[Tensor, "batch 1 d"]
    scale: Float[Tensor, "batch 1 1"]


def normalise(
    points: Float[Tensor, "batch points d"],
    size: Size = "rms",
    mask: Bool[Tensor, "batch points"] | None = None,
) -> Normalised:
    """Move each cloud's centroid to the origin and divide by its size; both commute with rotations.

    ``norm_std`` is that of the published normal estimation; it grows without limit for points on a sphere.

    Args:
        points: one cloud for each entry of the batch.
        size: what becomes 1.
        mask: which points a cloud has; the others become zero.

    Raises:
        ConfigError: if ``size`` is not one of `Size`.
        ShapeError: if the shapes do not fit.
        DataError: if a cloud is empty, or its size is zero or not finite.
    """
    if size not in get_args(Size):
        raise ConfigError("this size of a cloud is unknown", got=size, expected=", ".join(get_args(Size)))
    if points.ndim != 3 or (mask is not None and mask.shape != points.shape[:2]):
        raise ShapeError(
            "clouds are normalised in batches",
            got={"points": tuple(points.shape), "mask": None if mask is None else tuple(mask.shape)},
            expected="(batch, points, d) and (batch, points)",
        )
    present = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device) if mask is None else mask
    weights = present.unsqueeze(-1).to(points.dtype)
    counts = weights.sum(1, keepdim=True)
    if not (counts > 0).all():
        raise DataError("a cloud without points has no centre", got=f"cloud {int((counts <= 0).nonzero()[0, 0])}")
    points = torch.where(present.unsqueeze(-1), points, 0.0)
    centre = points.sum(1, keepdim=True) / counts
    centred = (points - centre) * weights
    norms = torch.linalg.vector_norm(centred, dim=-1, keepdim=True)
    scale = _size(norms, weights, counts, size)
    # a size that is only the rounding of the coordinates would blow that rounding up to the cloud
    least = 16 * torch.finfo(points.dtype).eps * torch.maximum(norms.amax(1, keepdim=True), centre.abs().amax(-1, True))
    bad = ~scale.isfinite() | (scale <= least)
    if size != "none" and bad.any():
        cloud = int(bad.flatten().nonzero()[0])
        raise DataError(
            f"cloud {cloud} has no size to divide by",
            got=f"{size} = {float(scale.flatten()[cloud]):.3g}",
            expected="a finite number above the rounding of the coordinates",
            fix="remove clouds of coincident points" + ("; of a sphere take `rms`" if size == "norm_std" else ""),
        )
    return Normalised(centred / scale, centre, scale)


def _size(norms: Tensor, weights: Tensor, counts: Tensor, size: Size) -> Float[Tensor, "batch 1 1"]:
    if size == "max_norm":
        return norms.amax(1, keepdim=True)
    if size == "rms":
        return (norms.square().sum(1, keepdim=True) / counts).sqrt()
    if size == "norm_std":
        mean = norms.sum(1, keepdim=True) / counts
        return (((norms - mean) * weights).square().sum(1, keepdim=True) / counts).sqrt()
    return torch.ones_like(counts)
