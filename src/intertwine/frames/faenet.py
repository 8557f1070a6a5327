"""The framings of FAENet by their names: principal axes, largest first, all of them or one.

Source: Duval et al., FAENet: Frame Averaging Equivariant GNN for Materials Modeling, ICML 2023, section 4.
"""

from typing import Literal, TypedDict, get_args

from intertwine.errors import ConfigError
from intertwine.frames.frame import Frame
from intertwine.frames.pca import Degenerate, PCAFrame
from intertwine.frames.planar import PlanarFrame

__all__ = ["FAENetFraming", "FAENetMode", "faenet_framing"]

FAENetMode = Literal["all", "stochastic", "det", "se3-all", "se3-stochastic", "se3-det"]
"""How elements are used: all, one drawn in each call, or one fixed by a rule; ``se3`` leaves out reflections."""


class FAENetFraming(TypedDict):
    """Arguments of `FrameAverage` and of `FrameTransform`."""

    frame: Frame
    mode: Literal["all", "stochastic"]


def faenet_framing(
    mode: FAENetMode = "all", *, planar: bool = False, degenerate: Degenerate = "ignore"
) -> FAENetFraming:
    """Return the frame and the mode that a name of FAENet means, as arguments of `FrameAverage` and `FrameTransform`.

    Args:
        mode: ``all`` averages over 8 elements (4 with ``planar``), ``stochastic`` draws one of them in each call,
            ``det`` takes the one whose axes have coordinates that add up to a positive number, which is cheap and *not*
            equivariant. ``se3-`` takes only the elements of determinant +1.
        planar: frames of x and y only; z stays as it is.
        degenerate: what to do where principal axes are arbitrary, see `PCAFrame`.

    Raises:
        ConfigError: for another name.

    Example:
        >>> framing = faenet_framing("se3-stochastic")
        >>> str(framing["frame"]), framing["mode"]
        ('PCA frames of SE(3)', 'stochastic')
    """
    if mode not in get_args(FAENetMode):
        raise ConfigError("FAENet has no such framing", got=repr(mode), expected=", ".join(get_args(FAENetMode)))
    proper, _, use = mode.rpartition("-")
    group = f"{'SE' if proper else 'E'}({2 if planar else 3})"
    signs = "fixed" if use == "det" else "all"
    frame: Frame = PCAFrame(group, order="descending", degenerate=degenerate, signs=signs)
    return {
        "frame": PlanarFrame(frame) if planar else frame,
        "mode": "stochastic" if use == "stochastic" else "all",
    }
