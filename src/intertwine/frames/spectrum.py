"""The spectrum of a cloud's covariance: its rank, and how far apart its eigenvalues are.

Principal axes move with a cloud only where eigenvalues differ. Eigenvalues that are zero are an exception: along such
axes all coordinates vanish, so that they may be chosen freely.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.moments import cloud_rounding

__all__ = ["Spectrum", "default_tolerance", "spanned_dimensions"]

_NULL = {torch.float64: 1e-14, torch.float32: 1e-10}
"""Eigenvalues below this share of the largest are zero: what rounding leaves of a flat cloud about its origin. How far
away the cloud is comes on top of it, see `intertwine.frames.moments.cloud_rounding`."""
_GAP = {torch.float64: 1e-4, torch.float32: 1e-3}


def default_tolerance(dtype: torch.dtype) -> float:
    """Return the relative gap below which axes count as arbitrary, for points of this precision."""
    return _GAP.get(dtype, 1e-2)


@torch.no_grad()
def spanned_dimensions(
    seen: Float[Tensor, "batch points d"], points: Float[Tensor, "batch points d"], mask: Tensor | None
) -> Int64[Tensor, " batch"]:
    """Return how many dimensions clouds span about their origin, as for principal axes.

    Args:
        seen: points from their origin, zero where there are none.
        points: the same as they were given, whose precision and distance from zero say what is rounding.
        mask: which entries are points.
    """
    values, _ = symmetric_eigh(seen.mT @ seen)
    return Spectrum(values, points.dtype, 0.0, cloud_rounding(points, mask)).rank


@final
@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues of covariances with what they say of the axes.

    Args:
        values: eigenvalues, ascending, not negative up to rounding.
        dtype: precision of the points.
        tolerance: smallest gap of two eigenvalues, as a share of the largest, at which their axes are not arbitrary.
        rounding: eigenvalues up to which rounding of the coordinates alone can be the cause; none where not given.
    """

    values: Float[Tensor, "batch d"]
    dtype: torch.dtype
    tolerance: float
    rounding: Float[Tensor, " batch"] | None = None

    @property
    def null(self) -> Bool[Tensor, "batch d"]:
        """Which eigenvalues are zero."""
        largest = self.values[:, -1:]
        smallest = _NULL.get(self.dtype, 1e-6) * largest
        if self.rounding is not None:
            smallest = smallest.maximum(self.rounding.unsqueeze(-1))
        return (self.values <= smallest) | (largest <= 0)

    @property
    def rank(self) -> Int64[Tensor, " batch"]:
        """Dimensions that the points span about their origin."""
        return (~self.null).sum(-1)

    @property
    def gaps(self) -> Float[Tensor, "batch steps"]:
        """Differences of neighbouring eigenvalues as shares of the largest; infinite between two that are zero."""
        largest = self.values[:, -1:]
        relative = self.values.diff() / torch.where(largest > 0, largest, 1.0)
        return torch.where(self.null[:, 1:], torch.inf, relative)

    @property
    def smallest_gap(self) -> Float[Tensor, " batch"]:
        """The smallest of the gaps: the distance from where axes jump."""
        gaps = self.gaps
        return gaps.amin(-1) if gaps.shape[-1] else gaps.new_full(gaps.shape[:1], torch.inf)

    @property
    def valid(self) -> Bool[Tensor, " batch"]:
        """Whether the axes of each cloud move with it."""
        return self.smallest_gap > self.tolerance

    @property
    def blocks(self) -> Int64[Tensor, "batch d"]:
        """A number for each axis, the same for axes that may be turned into each other."""
        apart = self.gaps > self.tolerance
        both_null = self.null[:, 1:] & self.null[:, :-1]
        steps = (apart & ~both_null).long()
        return torch.cat([steps.new_zeros(len(steps), 1), steps.cumsum(-1)], dim=-1)
