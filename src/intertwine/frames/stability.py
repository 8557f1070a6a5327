"""How far clouds are from where their frames jump: gaps of eigenvalues, and axes that turn or change places by noise.

An eigenvector turns by at most noise / gap (Davis, Kahan, 1970), so that a small gap means that two measurements of the
same thing get unlike frames. Nothing is assumed here: noise is added, and what the axes do is counted.
"""

import math
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.moments import check_clouds, cloud_moments, cloud_rounding
from intertwine.frames.pca import PCAFrame
from intertwine.frames.spectrum import Spectrum

__all__ = ["Stability", "measure_stability"]

_SWITCHED = math.pi / 4


@final
@dataclass(frozen=True)
class Stability:
    """What PCA frames do on a batch of clouds.

    Args:
        points: number of points of each cloud.
        rank: dimensions that each spans.
        gap: smallest difference of two eigenvalues, as a share of the largest; infinite where none can meet.
        valid: whether the gap is above the tolerance of the frame.
        elements: elements of each frame that differ in what they do to the cloud.
        noise: sizes of the noise, as shares of the root mean square distance from the centroid.
        turn: median angle by which the axes turn, in degrees, for each cloud and noise.
        switching: share of draws in which an axis turns by more than 45 degrees, so that axes change places.
    """

    points: Int64[Tensor, " batch"]
    rank: Int64[Tensor, " batch"]
    gap: Float[Tensor, " batch"]
    valid: Bool[Tensor, " batch"]
    elements: Int64[Tensor, " batch"]
    noise: tuple[float, ...]
    turn: Float[Tensor, "batch noise"]
    switching: Float[Tensor, "batch noise"]

    def __len__(self) -> int:
        return len(self.gap)


def measure_stability(
    points: Float[Tensor, "batch points d"],
    mask: Bool[Tensor, "batch points"] | None = None,
    *,
    frame: PCAFrame,
    noise: tuple[float, ...] = (0.001, 0.01, 0.05),
    draws: int = 32,
    rng: torch.Generator,
) -> Stability:
    """Measure how the frames of clouds bear noise.

    Args:
        points: of a batch of clouds; computed in float64.
        mask: which entries are points.
        frame: whose group and tolerance count.
        noise: standard deviations of normal noise on each coordinate, as shares of the cloud's own size.
        draws: noisy copies of each cloud, for each size of noise.
        rng: source of the noise.

    Raises:
        ShapeError: if a number is not positive or a cloud does not fit the frame.
        NumericsError: if a coordinate is not finite.
    """
    if draws < 1 or any(size <= 0 for size in noise):
        raise ShapeError("noise and draws must be positive", got={"noise": noise, "draws": draws}, expected="> 0")
    check_clouds(points, mask, frame.dim, "a stability report")
    known = torch.ones(points.shape[:2], dtype=torch.bool) if mask is None else mask.cpu()
    wide = torch.where(known.unsqueeze(-1), points.detach().cpu().double(), 0.0)
    rounding = cloud_rounding(points.detach().cpu(), known)
    spectrum, axes = _decomposed(wide, known, frame, points.dtype, rounding)
    sizes = known.sum(1)
    extent = (spectrum.values.sum(-1) / sizes.clamp(min=1)).sqrt()
    angles = []
    for share in noise:
        drawn = torch.randn(draws, *wide.shape, generator=rng, dtype=torch.float64)
        moved = (wide + share * extent[:, None, None] * drawn).flatten(0, 1)
        _, others = _decomposed(moved, known.repeat(draws, 1), frame, points.dtype)
        overlap = (others.unflatten(0, (draws, len(wide))) * axes).sum(-2).abs().clamp(max=1)
        # axes along which there are no coordinates may turn freely
        angle = torch.where(spectrum.null, 0.0, overlap.acos()).amax(-1)
        angles.append(angle)
    turned = torch.stack(angles, dim=-1)
    return Stability(
        sizes,
        spectrum.rank,
        spectrum.smallest_gap,
        spectrum.valid,
        _distinct_elements(spectrum, frame),
        noise,
        torch.rad2deg(turned.median(0).values),
        (turned > _SWITCHED).double().mean(0),
    )


def _decomposed(
    points: Tensor, mask: Tensor, frame: PCAFrame, dtype: torch.dtype, rounding: Tensor | None = None
) -> tuple[Spectrum, Tensor]:
    _, covariance = cloud_moments(points, mask, centred=frame.centred)
    values, axes = symmetric_eigh(covariance)
    return frame.spectrum_of(values, dtype, rounding), axes


def _distinct_elements(spectrum: Spectrum, frame: PCAFrame) -> Tensor:
    """Return how many elements differ on each cloud: signs of axes without coordinates change nothing."""
    everything = 2**frame.dim // (2 if frame.proper else 1)
    return torch.minimum(2**spectrum.rank, torch.tensor(everything))
