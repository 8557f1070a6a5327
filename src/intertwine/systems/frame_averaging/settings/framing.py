"""Settings of the frames that a network is averaged over, and the frames that they mean."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from intertwine.training.settings import check_fields

if TYPE_CHECKING:
    from intertwine.frames import Frame
    from intertwine.groups import Group

__all__ = ["FrameSettings", "kept_groups", "make_frame"]

FrameKind = Literal["pca", "planar", "weighted", "minimal", "learned", "none"]
_PLANE = ("E(2)", "SE(2)", "O(2)", "SO(2)")


@dataclass(frozen=True)
class FrameSettings:
    """Over which elements of which group a network is averaged."""

    kind: FrameKind = "pca"
    """How elements are found: principal axes, those of x and y alone while z keeps its meaning, robust weighted frames,
    canonical QR form, a network, or not at all."""
    group: Literal["E(3)", "SE(3)", "O(3)", "SO(3)", "T(3)", "E(2)", "SE(2)", "O(2)", "SO(2)"] = "E(3)"
    """The symmetry that the network gets; T(3) only centres, and those of the plane are for kind `planar`."""
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
    """Tuples of points that a weighted frame keeps, drawn by weight; empty keeps all, or 32 of those that replace the
    principal axes of degenerate clouds."""
    differentiate: bool = False
    """Whether gradients flow through the axes; constants otherwise, as published."""
    points: Literal["given", "canonical"] = "given"
    """Order of the points in which a `minimal` frame takes them: as given, which loses the symmetry of renamed points,
    or one that only depends on their distances and angles, which keeps it."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            samples=(self.samples >= 1, "at least 1"),
            kind=(
                self.kind in get_args(FrameKind),
                f"{', '.join(get_args(FrameKind))}; a finite group, which space has none of here, turns digits: see "
                "digits.model.motions",
            ),
            signs=(self.signs == "all" or self.kind in ("pca", "planar"), "all, except with kinds pca and planar"),
            points=(self.points == "given" or self.kind == "minimal", "given, except with kind minimal"),
            tuples=(self.tuples is None or self.tuples >= 1, "at least 1, or empty"),
            group=(
                (self.group in _PLANE) == (self.kind == "planar")
                and (self.group != "T(3)" or self.kind in ("pca", "none")),
                "E(2), SE(2), O(2) or SO(2)" if self.kind == "planar" else "E(3), SE(3), O(3) or SO(3) with this kind",
            ),
        )


def make_frame(settings: FrameSettings) -> "Frame | None":
    """Return the frame that settings mean; None where there is none, or where a network gives it (`learned`)."""
    from intertwine.frames import CentroidFrame, PCAFrame, PlanarFrame

    if settings.kind in ("none", "learned"):
        return None
    if settings.group == "T(3)":
        return CentroidFrame(3)
    if settings.kind == "weighted":
        from intertwine.frames.weighted import WeightedFrame

        return WeightedFrame(settings.group, tuples=settings.tuples, differentiate=settings.differentiate)
    if settings.kind == "minimal":
        from intertwine.frames.minimal import MinimalFrame

        return MinimalFrame(settings.group, order=settings.points, differentiate=settings.differentiate)
    axes = PCAFrame(
        settings.group,
        order=settings.order,
        degenerate=settings.degenerate,
        differentiate=settings.differentiate,
        signs=settings.signs,
        **({} if settings.tuples is None else {"tuples": settings.tuples}),
    )
    return PlanarFrame(axes) if settings.kind == "planar" else axes


def kept_groups(frame: "Frame | None") -> "list[Group]":
    """Return what an average over a frame keeps of a network that does not mind the order of points: space, and S_n."""
    from intertwine.frames import MinimalFrame
    from intertwine.groups import SymmetricGroup

    space = [] if frame is None or frame.kept is None else [frame.kept]
    in_order = isinstance(frame, MinimalFrame) and frame.order == "given"
    return space if in_order else [*space, SymmetricGroup(None)]
