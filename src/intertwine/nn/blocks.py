"""Rows of many clouds in one tensor, cut into blocks that fit a cache: what the fused point layers share."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from intertwine.errors import ShapeError

__all__ = ["Buffers", "CloudShift", "Group", "check_rows", "cloud_groups", "row_blocks", "spread"]

_CPU_ROWS = 4096
"""Rows of a block on a CPU: some megabytes with the widths of point networks, so that passes over a block are cheap."""

_GPU_FACTOR = 64
"""A GPU wants few large steps instead."""


@dataclass(frozen=True)
class Group:
    """Neighbouring clouds of one size.

    Args:
        clouds: their numbers.
        rows: where their points are.
        size: points of each.
    """

    clouds: slice
    rows: slice
    size: int


class Buffers:
    """Memory of large tensors on a CPU that is used again in the next step: fresh pages cost as much as filling them.

    It keeps what one step needs; tensors with another number of rows make it forget the rest. A copy of a module begins
    with none. On a GPU torch does this itself, and nothing is kept.
    """

    def __init__(self) -> None:
        self._rows = -1
        self._free: list[Tensor] = []

    def take(self, rows: int, width: int, like: Tensor) -> Tensor:
        """Return a tensor (rows, width) with arbitrary content, with dtype and device of another."""
        if rows != self._rows:
            self._rows, self._free = rows, []
        for place, buffer in enumerate(self._free):
            if buffer.shape == (rows, width) and buffer.dtype == like.dtype and buffer.device == like.device:
                return self._free.pop(place)
        return like.new_empty(rows, width)

    def give(self, buffers: Sequence[Tensor]) -> None:
        """Take buffers back; nothing may refer to them any more, except to `reclaim` them."""
        self._free += [buffer for buffer in buffers if buffer.device.type == "cpu" and len(buffer) == self._rows]

    def reclaim(self, buffers: Sequence[Tensor]) -> bool:
        """Take out what was given, with its content; False where some of it is in use again."""
        places = [next((i for i, own in enumerate(self._free) if own is buffer), -1) for buffer in buffers]
        if buffers and buffers[0].device.type != "cpu":
            return True
        if -1 in places:
            return False
        self._free = [own for i, own in enumerate(self._free) if i not in places]
        return True

    def __deepcopy__(self, memo: object) -> "Buffers":
        return Buffers()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return Buffers, ()


def row_blocks(count: int, device: torch.device, multiple: int = 1) -> Iterator[slice]:
    """Cut rows into blocks; where possible, each is a multiple of a number of rows."""
    size = _CPU_ROWS * (1 if device.type == "cpu" else _GPU_FACTOR)
    size = max(size // multiple, 1) * multiple
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def cloud_groups(sizes: Sequence[int], limit: int) -> Iterator[Group]:
    """Cut clouds into runs of equal size with at most ``limit`` rows, or one cloud; empty ones are left out."""
    row = cloud = 0
    while cloud < len(sizes):
        size, count = sizes[cloud], 1
        while cloud + count < len(sizes) and sizes[cloud + count] == size and (count + 1) * size <= limit:
            count += 1
        if size:
            yield Group(slice(cloud, cloud + count), slice(row, row + count * size), size)
        row, cloud = row + count * size, cloud + count


class CloudShift:
    """Adding what the points of a cloud have in common to their rows, and its transpose, without a copy where possible.

    Args:
        sizes: points of each cloud.
        device: where rows are.
    """

    def __init__(self, sizes: Sequence[int], device: torch.device) -> None:
        self.sizes = sizes
        uniform = len(set(sizes)) == 1 and sizes[0] > 0
        self.multiple = sizes[0] if uniform else 1
        """Blocks of rows must be a multiple of this."""
        self._index = None if uniform else spread(torch.arange(len(sizes), device=device), sizes)

    def rows(self, shift: Tensor, block: slice) -> Tensor:
        """Return the shift of each row of a block."""
        if self._index is not None:
            return shift.index_select(0, self._index[block])
        clouds = shift[block.start // self.multiple : block.stop // self.multiple]
        return clouds.unsqueeze(1).expand(-1, self.multiple, -1).flatten(0, 1)

    def add(self, total: Tensor, rows: Tensor, block: slice) -> None:
        """Add the sums over the points of each cloud of a block to ``total``."""
        if self._index is not None:
            total.index_add_(0, self._index[block], rows)
        else:
            clouds = slice(block.start // self.multiple, block.stop // self.multiple)
            total[clouds] = rows.unflatten(0, (-1, self.multiple)).sum(1)


def spread(values: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return rows that repeat what each cloud has, once for each of its points."""
    return values.repeat_interleave(torch.tensor(sizes, dtype=torch.int64, device=values.device), dim=0)


def check_rows(rows: Tensor, channels: int, sizes: Sequence[int] | None = None) -> None:
    """Raise ShapeError unless rows have the channels of a layer and fill the clouds."""
    if rows.ndim != 2 or rows.shape[1] != channels or (sizes is not None and sum(sizes) != len(rows)):
        raise ShapeError(
            "these rows do not fit the layer",
            got={"rows": tuple(rows.shape), "points of the clouds": None if sizes is None else sum(sizes)},
            expected=f"({'rows' if sizes is None else sum(sizes)}, {channels})",
        )
