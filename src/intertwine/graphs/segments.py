"""Sums and means over segments: values that share an index are reduced to one row.

Everything here is `torch.Tensor.index_add`, which may be differentiated any number of times and compiles. It
is deterministic on the CPU; on a GPU it is so under ``torch.use_deterministic_algorithms(True)``.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ShapeError

__all__ = ["segment_mean", "segment_sum"]


def segment_sum(
    values: Float[Tensor, "items *channels"], index: Int64[Tensor, " items"], count: int
) -> Float[Tensor, "count *channels"]:
    """Return the sums of the rows of ``values`` that share an index; a segment without rows gives zeros.

    Args:
        values: one row per item.
        index: the segment of each row, in ``[0, count)``; in any order.
        count: number of segments.

    Raises:
        ShapeError: if there is not one index per row.

    Example:
        >>> segment_sum(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0, 2, 2]), 3)
        tensor([1., 0., 5.])
    """
    if index.ndim != 1 or index.shape[0] != values.shape[0]:
        raise ShapeError(
            "segment_sum needs one index per row of values",
            got={"values": tuple(values.shape), "index": tuple(index.shape)},
            expected="(items, ...) and (items,)",
        )
    return values.new_zeros(count, *values.shape[1:]).index_add(0, index, values)


def segment_mean(
    values: Float[Tensor, "items *channels"], index: Int64[Tensor, " items"], count: int
) -> Float[Tensor, "count *channels"]:
    """Return the means of the rows of ``values`` that share an index; a segment without rows gives zeros.

    Args and errors are those of `segment_sum`.
    """
    total = segment_sum(values, index, count)
    sizes = segment_sum(torch.ones_like(index, dtype=values.dtype), index, count).clamp(min=1)
    return total / sizes.reshape(-1, *[1] * (values.ndim - 1))
