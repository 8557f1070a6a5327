"""Sums, means and softmax over segments: rows of values that share an index.

Sums are `torch.Tensor.index_add`, which may be differentiated any number of times and compiles. They are
deterministic on the CPU; on a GPU they are so under ``torch.use_deterministic_algorithms(True)``.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import ShapeError

__all__ = ["segment_mean", "segment_softmax", "segment_sum"]


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
    _check_rows("segment_sum", values, index)
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


def segment_softmax(
    scores: Float[Tensor, "items *channels"], index: Int64[Tensor, " items"], count: int
) -> Float[Tensor, "items *channels"]:
    """Return the softmax of each channel over the rows that share an index: weights of a segment add up to one.

    Args:
        scores: one row per item.
        index: the segment of each row, in ``[0, count)``; in any order.
        count: number of segments.

    Raises:
        ShapeError: if there is not one index per row.

    Example:
        >>> segment_softmax(torch.tensor([5.0, 2.0, 2.0]), torch.tensor([0, 2, 2]), 3)
        tensor([1.0000, 0.5000, 0.5000])
    """
    _check_rows("segment_softmax", scores, index)
    place = index.reshape(-1, *[1] * (scores.ndim - 1)).expand_as(scores)
    # the largest score cancels: it keeps exponentials small, and has no gradient
    start = scores.new_full((count, *scores.shape[1:]), float("-inf"))
    top = start.scatter_reduce(0, place, scores.detach(), "amax")
    raised = torch.exp(scores - top.index_select(0, index))
    total = segment_sum(raised, index, count)
    return raised / total.index_select(0, index)


def _check_rows(name: str, values: Tensor, index: Tensor) -> None:
    if index.ndim != 1 or index.shape[0] != values.shape[0]:
        raise ShapeError(
            f"{name} needs one index per row of values",
            got={"values": tuple(values.shape), "index": tuple(index.shape)},
            expected="(items, ...) and (items,)",
        )
