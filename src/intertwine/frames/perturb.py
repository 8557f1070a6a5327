"""Principal axes of clouds whose eigenvalues coincide: a few points are counted more than once until they differ.

Source: Lin, Helwig, Gui and Ji, Equivariance via Minimal Frame Averaging for More Symmetries and Efficiency, ICML 2024.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.spectrum import Spectrum

__all__ = ["SplitAxes", "split_degenerate"]


@final
@dataclass(frozen=True)
class SplitAxes:
    """Axes of changed covariances.

    Args:
        axes: unit eigenvectors as columns, eigenvalues ascending.
        null: which eigenvalues are zero.
        weights: ``1 + z`` of each point: how often it is counted.
        split: whether all eigenvalues that are not zero now differ.
    """

    axes: Float[Tensor, "batch d d"]
    null: Bool[Tensor, "batch d"]
    weights: Float[Tensor, "batch points"]
    split: Bool[Tensor, " batch"]

    @property
    def projected(self) -> Float[Tensor, "batch d d"]:
        """The axes, zero where the eigenvalue is: what is mapped back by them lies in the span of the points."""
        return torch.where(self.null.unsqueeze(-2), 0.0, self.axes)


def split_degenerate(
    points: Float[Tensor, "batch points d"],
    mask: Bool[Tensor, "batch points"] | None = None,
    *,
    tolerance: float,
    dtype: torch.dtype = torch.float64,
    rounding: Float[Tensor, " batch"] | None = None,
) -> SplitAxes:
    """Return the principal axes of ``P^T diag(1 + z) P`` with z >= 0 on the fewest first points that split them.

    While two eigenvalues that are not zero coincide, one more point is counted more: the first, in the order given,
    that has a share of its length along their axes (at least a tenth of the largest share of any point). It is counted
    more by ``z = 2^-k tr(C) / (d |p|^2)``, k = 0, 1, ... from one point to the next, so that steps are as large as the
    eigenvalues themselves, whatever the number of points, and differ from each other. Clouds whose eigenvalues differ
    keep z = 0. The axes move with the cloud, ``A(P R^T) = R A(P)`` up to signs, but they depend on the order of the
    points: with them a backbone that does not mind this order loses that symmetry.

    At most 2 d points are chosen. Two eigenvalues may then still coincide, within ``tolerance``, for points placed on
    purpose; ``split`` is False for these clouds. Coincident points, one point and none have only zero eigenvalues,
    and axes that mean nothing.

    Args:
        points: seen from the origin of their cloud; entries that are no points are not read.
        mask: which entries are points.
        tolerance: gap of eigenvalues, as a share of the largest, up to which they coincide.
        dtype: precision that the coordinates had, which says what is zero.
        rounding: eigenvalues up to which rounding of the coordinates alone can be the cause, see `Spectrum`.
    """
    seen = points.double()
    present = torch.ones_like(seen[..., 0], dtype=torch.bool) if mask is None else mask
    seen = torch.where(present.unsqueeze(-1), seen, 0.0)
    d = seen.shape[-1]
    square = seen.square().sum(-1)
    step = square.sum(-1, keepdim=True) / d / torch.where(square > 0, square, 1.0)
    weights = torch.ones_like(square)
    values, axes = symmetric_eigh(seen.mT @ seen)
    spectrum = Spectrum(values.detach(), dtype, tolerance, rounding)
    for count in range(2 * d if seen.shape[1] else 0):
        if not torch.compiler.is_compiling() and bool(spectrum.valid.all()):
            break
        along = ((seen @ axes).square() * _repeated(spectrum).unsqueeze(1)).sum(-1).detach()
        share = torch.where(weights == 1, along / torch.where(square > 0, square, 1.0), 0.0)
        candidate = (share > share.amax(-1, keepdim=True) / 10) & ~spectrum.valid.unsqueeze(-1)
        chosen = candidate & (candidate.cumsum(-1) == 1)
        weights = torch.where(chosen, 1 + step * 2.0**-count, weights)
        values, axes = symmetric_eigh(seen.mT @ (weights.unsqueeze(-1) * seen))
        spectrum = Spectrum(values.detach(), dtype, tolerance, rounding)
    return SplitAxes(axes, spectrum.null, weights, spectrum.valid)


def _repeated(spectrum: Spectrum) -> Bool[Tensor, "batch d"]:
    """Return which eigenvalues coincide with a neighbour that is not zero."""
    close = spectrum.gaps <= spectrum.tolerance
    return torch.nn.functional.pad(close, (1, 0)) | torch.nn.functional.pad(close, (0, 1))
