"""How the plane acts on images: ``(g f)(p) = inner(g) f(g^-1 p)`` on the last two axes (rows, columns).

The origin is the centre of the image, x points right along columns and y points up against rows: the pixel in
row i and column j of an H x W image is at ``x = j - (W - 1) / 2``, ``y = (H - 1) / 2 - i``, and translations
are in pixels. A rotation by a positive angle turns the picture counter-clockwise as it is usually shown.

An element that maps pixel centres to pixel centres (the quarter turns and mirrors of C_4 and D_4 on square
images, whole pixels of translation) moves pixels without changing them, and the law of composition holds
exactly. Any other element interpolates bilinearly, and the law holds up to the error of interpolation and
what left the frame.
"""

from dataclasses import dataclass
from typing import Literal, final

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import Element, Group
from intertwine.representations.actions import Representation

__all__ = ["Image"]

Padding = Literal["zeros", "border", "reflection", "circular"]
_PADDINGS = ("zeros", "border", "reflection", "circular")


@final
@dataclass(frozen=True)
class Image(Representation):
    """Images ``(..., H, W)`` under motions of the plane.

    Args:
        padding: what lies outside the frame: ``"zeros"``, the nearest pixel (``"border"``), the picture
            mirrored about the centres of its outer pixels (``"reflection"``), or the picture again
            (``"circular"``).
        inner: how the vector of channels of a pixel transforms, for example ``Vector()`` for optical flow or
            an ``SO2IrrepsTensor``; None leaves channels alone.
        channel_axis: the axis of that vector, negative, before the last two.
    """

    padding: Padding = "zeros"
    inner: Representation | None = None
    channel_axis: int = -3

    def __post_init__(self) -> None:
        if self.padding not in _PADDINGS:
            raise RepresentationError("unknown padding", got=repr(self.padding), expected=", ".join(_PADDINGS))
        if self.channel_axis > -3:
            raise RepresentationError(
                "the channels of an image lie before its rows and columns",
                got={"channel_axis": self.channel_axis},
                expected="-3 or less",
            )

    def apply(self, group: Group, g: Element, x: Shaped[Tensor, "*shape"]) -> Shaped[Tensor, "*shape"]:
        """Return the moved images.

        Raises:
            ShapeError: if there are fewer axes than stated, if the element is a batch or does not act on the
                plane, or if integer pixels would have to be interpolated.
        """
        if x.ndim < (2 if self.inner is None else -self.channel_axis):
            raise ShapeError(f"the data do not fit {self}", got=tuple(x.shape), expected="(..., H, W)")
        if self.inner is not None:
            channels_last = x.movedim(self.channel_axis, -1)
            x = self.inner.apply(group, g, channels_last).movedim(-1, self.channel_axis)
        linear, translation = group.linear(g), group.translation(g)
        if linear is None and translation is None:
            return x
        rows, columns = _sources(linear, translation, x, group)
        if _whole(rows) and _whole(columns):
            return _gather(x, rows.long(), columns.long(), self.padding)
        if not (x.is_floating_point() or x.is_complex()):
            raise ShapeError(
                f"this element of {group} falls between pixels, and integers cannot be interpolated",
                got=str(x.dtype),
                expected="floating-point pixels",
            )
        return _interpolate(x, rows, columns, self.padding)


def _sources(
    linear: Tensor | None, translation: Tensor | None, x: Tensor, group: Group
) -> tuple[Float[Tensor, "H W"], Float[Tensor, "H W"]]:
    """Return the row and column that each pixel comes from, in float64 so that whole pixels stay whole."""
    height, width = x.shape[-2:]
    matrix = torch.eye(2) if linear is None else linear
    shift = torch.zeros(2) if translation is None else translation
    if matrix.shape != (2, 2) or shift.shape != (2,):
        raise ShapeError(
            f"images need one element of a group of the plane, not of {group}",
            got={"linear": tuple(matrix.shape), "translation": tuple(shift.shape)},
            expected="shapes (2, 2) and (2,)",
        )
    matrix = matrix.to(device=x.device, dtype=torch.float64)
    back = matrix.mT if group.orthogonal else torch.linalg.inv(matrix)
    across = torch.arange(width, dtype=torch.float64, device=x.device) - (width - 1) / 2
    up = (height - 1) / 2 - torch.arange(height, dtype=torch.float64, device=x.device)
    place = torch.stack(torch.broadcast_tensors(across, up.unsqueeze(-1)), dim=-1) - shift.to(back)
    source = place @ back.mT
    return (height - 1) / 2 - source[..., 1], source[..., 0] + (width - 1) / 2


def _whole(coordinates: Tensor) -> bool:
    return bool((coordinates == coordinates.round()).all())


def _interpolate(x: Tensor, rows: Tensor, columns: Tensor, padding: Padding) -> Tensor:
    """Return the bilinear mean of the four pixels around each source; differentiable to any order."""
    top, left = rows.floor(), columns.floor()
    down, right = (rows - top).to(x), (columns - left).to(x)
    top, left = top.long(), left.long()
    return (
        (1 - down) * (1 - right) * _gather(x, top, left, padding)
        + (1 - down) * right * _gather(x, top, left + 1, padding)
        + down * (1 - right) * _gather(x, top + 1, left, padding)
        + down * right * _gather(x, top + 1, left + 1, padding)
    )


def _gather(x: Tensor, rows: Int64[Tensor, "H W"], columns: Int64[Tensor, "H W"], padding: Padding) -> Tensor:
    """Return the pixels at these rows and columns, which may lie outside the frame."""
    height, width = x.shape[-2:]
    pixels = x[..., _fold(rows, height, padding), _fold(columns, width, padding)]
    if padding != "zeros":
        return pixels
    outside = (rows < 0) | (rows >= height) | (columns < 0) | (columns >= width)
    return pixels.masked_fill(outside, 0)


def _fold(index: Tensor, size: int, padding: Padding) -> Tensor:
    """Return the index inside the frame that ``padding`` puts in the place of one outside."""
    if padding == "circular":
        return index % size
    if padding == "reflection" and size > 1:
        index = index % (2 * size - 2)
        return torch.minimum(index, 2 * size - 2 - index)
    return index.clamp(0, size - 1)
