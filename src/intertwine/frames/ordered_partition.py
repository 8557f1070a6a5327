"""Ordered partitions: items in classes, one class before the next, and the permutations that sort them so.

A signature of the nodes of a graph gives one: nodes with equal rows are in one class. All permutations that sort the
classes are a frame of the symmetric group, with ``prod m!`` elements for classes of m items.
"""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataError, ShapeError
from intertwine.frames.permutations import PermutationFrames
from intertwine.graphs import TensorBatch

__all__ = ["LARGEST_FRAME", "OrderedPartition", "draw_keys"]

LARGEST_FRAME = 40320
"""The largest frame that is listed unless told otherwise: all permutations of eight items."""


@final
@dataclass(frozen=True)
class OrderedPartition(TensorBatch):
    """The class of each item of a batch, from 0 up without gaps; it may be stored with the data.

    Args:
        ranks: classes; entries without an item may hold anything.
        mask: which entries are items. Entries without one come last, in their order.
        valid: whether the classes move with the input.
    """

    ranks: Int64[Tensor, "batch items"]
    mask: Bool[Tensor, "batch items"]
    valid: Bool[Tensor, " batch"]

    @property
    def log_orders(self) -> Float[Tensor, " batch"]:
        """Natural logarithms of the numbers of elements of the frames."""
        return torch.lgamma(self._multiplicities().double() + 1).sum(-1)

    @property
    def orders(self) -> Float[Tensor, " batch"]:
        """Numbers of elements of the frames: exact below 2^53, and infinite where float64 ends."""
        sizes = self._multiplicities()
        factorials = torch.arange(sizes.shape[1] + 1, dtype=torch.float64).clamp(min=1).cumprod(0)
        return factorials.to(sizes.device)[sizes].prod(-1)

    def sample(
        self,
        samples: int = 1,
        *,
        keys: Float[Tensor, "batch samples items"] | None = None,
        rng: torch.Generator | None = None,
    ) -> PermutationFrames:
        """Draw elements, each of a frame with the same probability.

        Args:
            samples: elements for each input.
            keys: numbers of the items, uniform in [0, 1), by which items of one class are sorted. They move with the
                items: ``sample(g X, g keys) = g sample(X, keys)``.
            rng: source of the keys where they are not given.
        """
        batch, items = self.ranks.shape
        if keys is None:
            keys = draw_keys(batch, samples, items, rng=rng).to(self.ranks.device)
        if keys.ndim != 3 or (keys.shape[0], keys.shape[2]) != (batch, items):
            raise ShapeError(
                "keys do not fit the items", got=tuple(keys.shape), expected=f"({batch}, samples, {items})"
            )
        samples = keys.shape[1]
        order = keys.argsort(dim=-1, stable=True)
        ranks = self._sortable().unsqueeze(1).expand(-1, samples, -1).gather(-1, order)
        elements = order.gather(-1, ranks.argsort(dim=-1, stable=True)).flatten(0, 1)
        index = torch.arange(batch, device=elements.device).repeat_interleave(samples)
        weights = torch.full((len(elements),), 1 / samples, dtype=torch.float64, device=elements.device)
        return PermutationFrames(elements, index, weights, self.valid)

    def elements(
        self, limit: int = LARGEST_FRAME, *, samples: int | None = None, rng: torch.Generator | None = None
    ) -> PermutationFrames:
        """List the whole frames.

        Args:
            limit: number of elements up to which a frame is listed.
            samples: elements that are drawn from larger ones; None refuses them.
            rng: source of those.

        Raises:
            DataError: if a frame is larger than ``limit`` and ``samples`` is not given.
        """
        large = self.orders > limit
        if bool(large.any()):
            if samples is None:
                worst = int(self.log_orders.argmax())
                raise DataError(
                    f"the frame of input {worst} has too many elements to list",
                    got=f"10^{float(self.log_orders[worst]) / 2.302585:.1f} elements",
                    expected=f"at most {limit}",
                    fix="draw from it (mode='stochastic'), raise the limit, or use a minimal frame",
                )
            drawn, small = large.nonzero().flatten(), (~large).nonzero().flatten()
            parts = [(small, self._rows(small)._listed()), (drawn, self._rows(drawn).sample(samples, rng=rng))]
            return _joined(parts, self.valid)
        return self._listed()

    def _rows(self, rows: Tensor) -> "OrderedPartition":
        return OrderedPartition(self.ranks[rows], self.mask[rows], self.valid[rows])

    def _multiplicities(self) -> Int64[Tensor, "batch items"]:
        sizes = torch.zeros_like(self.ranks)
        return sizes.scatter_add(1, self.ranks.where(self.mask, 0), self.mask.to(sizes))

    def _sortable(self) -> Int64[Tensor, "batch items"]:
        """Ranks, with those of entries without an item after all others and different."""
        items = self.ranks.shape[1]
        return self.ranks.where(self.mask, items + torch.arange(items, device=self.ranks.device))

    def _listed(self) -> PermutationFrames:
        """Every element once, by counting in the mixed radix of the classes."""
        ranks, order = self._sortable().sort(dim=-1, stable=True)
        items = ranks.shape[1]
        place = torch.arange(items, device=ranks.device)
        begins = torch.ones_like(ranks, dtype=torch.bool)
        begins[:, 1:] = ranks.diff(dim=-1) != 0
        first = (place * begins).cummax(-1).values
        radix = place - first + 1
        strides = radix.cumprod(-1) // radix
        orders = radix.prod(-1)
        index = torch.arange(len(ranks), device=ranks.device).repeat_interleave(orders)
        number = torch.arange(len(index), device=ranks.device) - (orders.cumsum(0) - orders)[index]
        digits = number.unsqueeze(1) // strides[index] % radix[index]
        # item i of a class goes to place digits[i] among the items before it, which make room
        slots, starts = digits.clone(), first[index]
        for i in range(items):
            before = (place < i) & (starts == starts[:, i : i + 1])
            slots += (before & (slots >= digits[:, i : i + 1])).to(slots)
        elements = torch.empty_like(slots).scatter_(1, starts + slots, order[index])
        weights = orders.double().reciprocal()[index]
        return PermutationFrames(elements, index, weights, self.valid)


def draw_keys(batch: int, samples: int, items: int, *, rng: torch.Generator | None = None) -> Tensor:
    """Return uniform numbers (batch, samples, items) for `OrderedPartition.sample`, in float64 on the CPU."""
    device = rng.device if rng else None
    return torch.rand(batch, samples, items, generator=rng, dtype=torch.float64, device=device).cpu()


def _joined(parts: list[tuple[Tensor, PermutationFrames]], valid: Tensor) -> PermutationFrames:
    """Frames of parts of a batch as those of the batch."""
    index = torch.cat([rows[frames.index] for rows, frames in parts])
    order = index.argsort(stable=True)
    elements = torch.cat([frames.elements for _, frames in parts])[order]
    weights = torch.cat([frames.weights for _, frames in parts])[order]
    return PermutationFrames(elements, index[order], weights, valid)
