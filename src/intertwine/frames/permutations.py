"""Frames of the symmetric group: for each graph or set of a batch, permutations that move with it.

An element p is that of `intertwine.groups.SymmetricGroup`: item i of the canonical form is at place ``p[i]`` of the
input. So ``F(g X) = g F(X)``, and the canonical form ``p^-1 X`` has at place i what the input has at ``p[i]``.
Invariant averages are ``mean phi(p^-1 X)``, equivariant ones ``mean p Phi(p^-1 X)``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor

from intertwine.errors import ShapeError
from intertwine.graphs import TensorBatch, segment_sum

__all__ = ["PermutationFrames"]


@final
@dataclass(frozen=True)
class PermutationFrames(TensorBatch):
    """Elements of the frames of a batch; inputs may have different numbers of them.

    Args:
        elements: permutations; those of one input follow one another.
        index: the input of each element, ascending.
        weights: of the average, adding up to one for each input.
        valid: whether the frame moves with the input.
    """

    elements: Int64[Tensor, "elements items"]
    index: Int64[Tensor, " elements"]
    weights: Float[Tensor, " elements"]
    valid: Bool[Tensor, " batch"]

    @property
    def counts(self) -> Int64[Tensor, " batch"]:
        """The number of elements of each input."""
        return torch.bincount(self.index, minlength=len(self.valid))

    def canonical(self, x: Shaped[Tensor, "batch ..."], axes: Sequence[int] = (1,)) -> Shaped[Tensor, "elements ..."]:
        """Return the canonical forms ``p^-1 x`` of data of the inputs, one for each element.

        Args:
            x: data of each input.
            axes: the one or two axes that count items; axes 1, or 1 and 2.
        """
        self._check(x, axes, len(self.valid), "inputs")
        rows = self.index.unsqueeze(1)
        if len(axes) == 1:
            return x[rows, self.elements]
        return x[rows.unsqueeze(2), self.elements.unsqueeze(2), self.elements.unsqueeze(1)]

    def carried_back(
        self, y: Shaped[Tensor, "elements ..."], axes: Sequence[int] = (1,)
    ) -> Shaped[Tensor, "elements ..."]:
        """Return ``p y`` for data of each element: what is of item i of the canonical form goes to place ``p[i]``."""
        self._check(y, axes, len(self.index), "elements")
        rows, places = torch.arange(len(y), device=y.device).unsqueeze(1), self.elements.argsort(-1)
        if len(axes) == 1:
            return y[rows, places]
        return y[rows.unsqueeze(2), places.unsqueeze(2), places.unsqueeze(1)]

    def mean(self, y: Float[Tensor, "elements ..."]) -> Float[Tensor, "batch ..."]:
        """Return the weighted means over the frames."""
        return segment_sum(y * self._weights_like(y), self.index, len(self.valid))

    def variance(self, y: Float[Tensor, "elements ..."]) -> Float[Tensor, "batch ..."]:
        """Return the weighted variances over the frames: the penalty of the expected-equivariance regulariser.

        It is zero for every input if the network keeps the symmetry by itself.
        """
        away = y - self.mean(y).index_select(0, self.index)
        return segment_sum(away.square() * self._weights_like(y), self.index, len(self.valid))

    def _weights_like(self, y: Tensor) -> Tensor:
        return self.weights.to(y).reshape(-1, *[1] * (y.ndim - 1))

    def _check(self, x: Tensor, axes: Sequence[int], rows: int, what: str) -> None:
        items = self.elements.shape[1]
        fits = x.ndim > len(axes) and x.shape[0] == rows and set(x.shape[1 : 1 + len(axes)]) <= {items}
        if tuple(axes) not in ((1,), (1, 2)) or not fits:
            raise ShapeError(
                "these data do not fit the frames",
                got={"data": tuple(x.shape), "axes": tuple(axes)},
                expected=f"{rows} {what}, and {items} items along axis 1, or axes 1 and 2",
            )
