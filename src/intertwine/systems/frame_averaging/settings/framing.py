"""Settings of the frames that a network is averaged over, and the frames that they mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from intertwine.training.settings import check_fields

if TYPE_CHECKING:
    from intertwine.frames import Frame

__all__ = ["FrameSettings", "make_frame"]


@dataclass(frozen=True)
class FrameSettings:
    """Over which elements of which group a network is averaged."""

    kind: Literal["pca", "weighted", "minimal", "learned", "none"] = "pca"
    """How elements are found: principal axes, robust weighted frames, canonical QR form, a network, or not at all."""
    group: Literal["E(3)", "SE(3)", "O(3)", "SO(3)", "T(3)"] = "E(3)"
    """The symmetry that the network gets; T(3) only centres."""
    mode: Literal["all", "stochastic"] = "all"
    """Average over all elements, or draw some in each call: cheaper, and equivariant in expectation."""
    samples: int = 1
    """Elements drawn in each call (`stochastic`)."""
    order: Literal["ascending", "descending"] = "ascending"
    """Order of eigenvalues in which principal axes are taken; the two give different frames."""
    signs: Literal["all", "fixed"] = "all"
    """Signs of the axes: all, or one that a rule fixes (cheap, not equivariant: a baseline)."""
    degenerate: Literal["warn", "symmetrise", "weighted", "perturb", "error", "ignore"] = "ignore"
    """What to do with clouds whose principal axes are arbitrary, see `intertwine.frames.PCAFrame`."""
    tuples: int | None = None
    """Tuples of points that a weighted frame keeps, drawn by weight; empty keeps all."""
    differentiate: bool = False
    """Whether gradients flow through the axes; constants otherwise, as published."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            samples=(self.samples >= 1, "at least 1"),
            signs=(self.signs == "all" or self.kind == "pca", "all, except with kind pca"),
            tuples=(self.tuples is None or self.tuples >= 1, "at least 1, or empty"),
            group=(
                self.group != "T(3)" or self.kind in ("pca", "none"),
                "E(3), SE(3), O(3) or SO(3) with this kind",
            ),
        )


def make_frame(settings: FrameSettings) -> "Frame | None":
    """Return the frame that settings mean; None where there is none, or where a network gives it (`learned`)."""
    from intertwine.frames import CentroidFrame, PCAFrame

    if settings.kind in ("none", "learned"):
        return None
    if settings.group == "T(3)":
        return CentroidFrame(3)
    if settings.kind == "weighted":
        from intertwine.frames.weighted import WeightedFrame

        return WeightedFrame(settings.group, tuples=settings.tuples, differentiate=settings.differentiate)
    if settings.kind == "minimal":
        from intertwine.frames.minimal import MinimalFrame

        return MinimalFrame(settings.group, differentiate=settings.differentiate)
    return PCAFrame(
        settings.group,
        order=settings.order,
        degenerate=settings.degenerate,
        differentiate=settings.differentiate,
        signs=settings.signs,
    )
