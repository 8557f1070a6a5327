"""PCA frames: principal axes of a cloud with all signs, for O(d), SO(d), E(d) and SE(d).

Source: Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 3.1.
"""

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataWarning, GroupError, NumericsError
from intertwine.frames.eigen import symmetric_eigh
from intertwine.frames.frame import Frame, Frames, check_choice, pad_segments, rounded_origin
from intertwine.frames.moments import (
    check_clouds,
    cloud_moments,
    cloud_rounding,
    segment_moments,
    segment_rounding,
)
from intertwine.frames.spectrum import Spectrum, default_tolerance
from intertwine.groups import SE, SO, E, Group, O, T, parse_group

__all__ = ["Degenerate", "PCAFrame"]

Degenerate = Literal["warn", "symmetrise", "weighted", "perturb", "error", "ignore"]
"""What to do where axes are arbitrary, see `PCAFrame`."""


@final
@dataclass(frozen=True)
class PCAFrame(Frame):
    """Principal axes about the centroid (E, SE) or the origin (O, SO), with every sign that the group allows.

    A frame of E(d) and O(d) has 2^d elements, one of SE(d) and SO(d) the 2^(d-1) with determinant +1. Where two
    eigenvalues that are not zero meet, axes are arbitrary and no PCA frame exists: symmetric solids have none, and
    clouds near them jump. ``degenerate`` says what happens there:

    - ``warn``: a `DataWarning`; ``valid`` is False for these clouds. ``ignore`` only sets ``valid``.
    - ``symmetrise``: axes of equal eigenvalues are turned by a random orthogonal matrix: equivariant in distribution.
    - ``weighted``: these clouds get the frames of `WeightedFrame`, which always exist: all ``tuples`` of points, or
      as many drawn at random. The others are filled up to as many elements, of weight zero.
    - ``perturb``: the covariance is changed until its eigenvalues differ, from a few points in their order:
      equivariant, but no longer independent of the order of the points.
    - ``error``: a `NumericsError` that names the clouds.

    Clouds without points have their origin at zero, and a single point its own place; in both all axes are null.

    Args:
        group: E(d), SE(d), O(d) or SO(d), or its name.
        order: of the eigenvalues whose axes come first; the two orders give different, equally valid frames.
        degenerate: see above.
        tolerance: gap of eigenvalues, as a share of the largest, below which axes count as arbitrary; 1e-4 in float64
            and 1e-3 in float32 where not given.
        differentiate: whether gradients flow through axes and centroid; frames are constants otherwise, as published.
        tuples: of points, for the policy ``weighted``: all give exact averages, in so many elements.
        signs: ``fixed`` gives one element, whose axes have coordinates that add up to a positive number (with the last
            axis turned for SE and SO): cheap, *not* equivariant, and never ``valid``; the baseline "det" of Duval et
            al., ICML 2023.

    Raises:
        GroupError: for another group.
        ConfigError: for a word that is no order, policy or rule of signs.

    Example:
        >>> frames = PCAFrame("SE(3)")(torch.randn(2, 5, 3))
        >>> frames.linear.shape
        torch.Size([2, 4, 3, 3])
    """

    group: Group
    order: Literal["ascending", "descending"] = "ascending"
    degenerate: Degenerate = "warn"
    tolerance: float | None = None
    differentiate: bool = False
    signs: Literal["all", "fixed"] = "all"
    tuples: int = 32

    def __init__(
        self,
        group: str | Group = "E(3)",
        *,
        order: Literal["ascending", "descending"] = "ascending",
        degenerate: Degenerate = "warn",
        tolerance: float | None = None,
        differentiate: bool = False,
        signs: Literal["all", "fixed"] = "all",
        tuples: int = 32,
    ) -> None:
        chosen = parse_group(group) if isinstance(group, str) else group
        if not isinstance(chosen, E | SE | O | SO):
            raise GroupError(
                "PCA gives no frames of this group", got=str(chosen), expected="E(d), SE(d), O(d) or SO(d)"
            )
        check_choice("order", order, ("ascending", "descending"))
        check_choice("degenerate", degenerate, get_args(Degenerate))
        check_choice("signs", signs, ("all", "fixed"))
        settings = {
            "group": chosen,
            "order": order,
            "degenerate": degenerate,
            "tolerance": tolerance,
            "differentiate": differentiate,
            "signs": signs,
            "tuples": tuples,
        }
        for name, value in settings.items():
            object.__setattr__(self, name, value)

    @property
    def dim(self) -> int:
        """Coordinates of a point."""
        return self.group.n  # pyright: ignore[reportAttributeAccessIssue] - all four groups have it

    @property
    def kept(self) -> Group | None:
        """Of elements whose signs a rule fixes only the centroid moves with the cloud."""
        if self.signs == "all":
            return self.group
        return T(self.dim) if self.centred else None

    @property
    def centred(self) -> bool:
        """Whether the origin is the centroid."""
        return isinstance(self.group, E | SE)

    @property
    def proper(self) -> bool:
        """Whether the elements are rotations only."""
        return isinstance(self.group, SE | SO)

    def __call__(
        self,
        points: Float[Tensor, "batch points d"],
        mask: Bool[Tensor, "batch points"] | None = None,
        *,
        rng: torch.Generator | None = None,
    ) -> Frames:
        """Return the frames of a batch of clouds; see `Frame`."""
        check_clouds(points, mask, self.dim, str(self))
        used = points if self.differentiate else points.detach()
        origin, covariance = cloud_moments(used, mask, centred=self.centred)
        rounding = cloud_rounding(used, mask)
        return self._of_moments(origin, covariance, rounding, points.dtype, lambda: (used, mask), rng)

    def of_segments(
        self,
        points: Float[Tensor, "points d"],
        index: Int64[Tensor, " points"],
        count: int,
        *,
        rng: torch.Generator | None = None,
        weights: Float[Tensor, " points"] | None = None,
    ) -> Frames:
        """Return the frames of clouds whose points lie in one tensor; see `Frame`.

        ``weights`` say how much each point counts, as the memberships of soft parts do.
        """
        check_clouds(points.unsqueeze(0), None, self.dim, str(self))
        used = points if self.differentiate else points.detach()
        counted = weights if weights is None or self.differentiate else weights.detach()
        origin, covariance = segment_moments(used, index, count, centred=self.centred, weights=counted)
        rounding = segment_rounding(used, index, count, counted)
        return self._of_moments(
            origin, covariance, rounding, points.dtype, lambda: pad_segments(used, index, count), rng
        )

    def spectrum_of(
        self, values: Float[Tensor, "batch d"], dtype: torch.dtype, rounding: Float[Tensor, " batch"] | None = None
    ) -> Spectrum:
        """Return what eigenvalues of covariances of clouds with coordinates of this precision say of the axes."""
        tolerance = default_tolerance(dtype) if self.tolerance is None else self.tolerance
        return Spectrum(values.detach(), dtype, tolerance, rounding)

    def __str__(self) -> str:
        return f"PCA frames of {self.group}"

    def _of_moments(
        self,
        origin: Tensor,
        covariance: Tensor,
        rounding: Tensor,
        dtype: torch.dtype,
        clouds: Callable[[], tuple[Tensor, Tensor | None]],
        rng: torch.Generator | None,
    ) -> Frames:
        values, axes = symmetric_eigh(covariance)
        spectrum = self.spectrum_of(values, dtype, rounding)
        # where a rule fixes the signs, no frame moves with its cloud
        valid = spectrum.valid if self.signs == "all" else torch.zeros_like(spectrum.valid)
        broken = self.signs == "all" and not torch.compiler.is_compiling() and not bool(valid.all())
        if broken:
            self._report(valid)
            if self.degenerate == "symmetrise":
                axes = axes @ _random_turns(spectrum.blocks, axes.dtype, rng)
            elif self.degenerate == "perturb":
                from intertwine.frames.perturb import split_degenerate

                points, mask = clouds()
                changed = split_degenerate(
                    points - origin.unsqueeze(1), mask, tolerance=spectrum.tolerance, dtype=dtype, rounding=rounding
                )
                axes = torch.where(valid[:, None, None], axes, changed.axes)
                valid = valid | changed.split
        linear = self._elements(axes).to(dtype)
        weights = linear.new_full(linear.shape[:2], 1 / linear.shape[1])
        translation, rest = rounded_origin(origin, dtype)
        frames = Frames(linear, translation, weights, valid, rank=spectrum.rank, rest=rest)
        if broken and self.degenerate == "weighted":
            from intertwine.frames.weighted import WeightedFrame

            points, mask = clouds()
            chosen = ~valid
            weighted = WeightedFrame(self.group, tuples=self.tuples, differentiate=self.differentiate)
            robust = weighted(points[chosen], None if mask is None else mask[chosen], rng=rng)
            return _replaced(frames, chosen, robust)
        return frames

    def _elements(self, axes: Float[Tensor, "batch d d"]) -> Float[Tensor, "batch frames d d"]:
        """Return the axes in their order, with all signs that the group allows."""
        if self.order == "descending":
            axes = axes.flip(-1)
        if self.signs == "fixed":
            axes = axes * torch.where(axes.sum(-2, keepdim=True) >= 0, 1.0, -1.0)
        if self.proper:
            orientation = torch.linalg.det(axes).sign()[..., None, None]
            axes = torch.cat([axes[..., :-1], axes[..., -1:] * orientation], dim=-1)
        if self.signs == "fixed":
            return axes.unsqueeze(1)
        choices = [
            signs
            for signs in itertools.product((1.0, -1.0), repeat=self.dim)
            if not self.proper or math.prod(signs) > 0
        ]
        table = torch.tensor(choices, dtype=axes.dtype, device=axes.device)
        return axes.unsqueeze(1) * table[:, None, :]

    def _report(self, valid: Tensor) -> None:
        places = (~valid).nonzero().flatten().tolist()
        if self.degenerate == "error":
            listed = ", ".join(map(str, places[:8])) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
            raise NumericsError(
                f"{len(places)} of {len(valid)} clouds have no unique principal axes",
                got=f"eigenvalues of the covariance that coincide, in clouds {listed}",
                expected="different eigenvalues, or zeros",
                fix='choose degenerate="weighted", which has frames for every cloud, or "symmetrise"',
            )
        if self.degenerate == "warn":
            warnings.warn(
                "some clouds have no unique principal axes (symmetric ones, such as a cube): averages over their PCA "
                'frames are not equivariant, and `valid` is False; degenerate="weighted" has frames for every cloud',
                DataWarning,
                stacklevel=4,
            )


def _random_turns(blocks: Int64[Tensor, "batch d"], dtype: torch.dtype, rng: torch.Generator | None) -> Tensor:
    """Return orthogonal matrices, Haar in each block of axes and zero between blocks."""
    batch, d = blocks.shape
    device = rng.device if rng is not None else blocks.device
    drawn = torch.randn(batch, d, d, generator=rng, dtype=dtype, device=device).to(blocks.device)
    same = blocks.unsqueeze(-1) == blocks.unsqueeze(-2)
    turned, triangle = torch.linalg.qr(torch.where(same, drawn, 0.0))
    signs = triangle.diagonal(dim1=-2, dim2=-1).sign()
    return turned * torch.where(signs == 0, 1.0, signs).unsqueeze(-2)


def _replaced(frames: Frames, chosen: Bool[Tensor, " batch"], others: Frames) -> Frames:
    """Return frames with those of some clouds replaced; shorter ones are filled with elements of weight zero."""
    count = max(frames.count, others.count)

    def filled(values: Tensor) -> Tensor:
        return torch.cat([values, values[:, :1].expand(-1, count - values.shape[1], *values.shape[2:])], dim=1)

    def weighed(values: Tensor) -> Tensor:
        return torch.cat([values, values.new_zeros(len(values), count - values.shape[1])], dim=1)

    place = (chosen.nonzero().flatten(),)
    # from four dimensions on, equal eigenvalues may leave two others zero, whose axes have no meaning
    whole = torch.eye(frames.linear.shape[-1], dtype=frames.linear.dtype, device=frames.linear.device)
    whole = whole.expand(len(chosen), -1, -1)
    return Frames(
        filled(frames.linear).index_put(place, filled(others.linear)),
        frames.translation.index_put(place, others.translation),
        weighed(frames.weights).index_put(place, weighed(others.weights)),
        frames.valid.index_put(place, others.valid),
        rank=frames.rank,
        span=None if others.span is None or len(whole[0]) < 4 else whole.index_put(place, others.span),
        rest=None if frames.rest is None or others.rest is None else frames.rest.index_put(place, others.rest),
    )
