"""Features sorted by the order m of their components, so that one angle at a time can be transformed.

For each m from 0 on, the entries of degree l >= m stand side by side: one row for m = 0, and two rows, of components m
and -m, for m > 0. A transform in the polar angle is then one small matrix product an order.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.representations import Irreps

__all__ = ["OrderSorting"]


class OrderSorting(nn.Module):
    """Gathers the components of features order by order, and puts them back.

    Args:
        irreps: irreps of the features, multiplicity 1 each.
        sine_first: orders whose first row is the component -m, which goes with the sine; else it is m.
    """

    to_orders: Tensor
    from_orders: Tensor

    def __init__(self, irreps: Irreps, sine_first: frozenset[int] = frozenset()) -> None:
        super().__init__()
        self.lmax = irreps.lmax
        middles = [place.start + ir.l for place, ir in zip(irreps.slices(), irreps.irreps, strict=True)]
        self.degrees = [[ir.l for ir in irreps.irreps if ir.l >= m] for m in range(self.lmax + 1)]
        """For each order the degrees of its columns."""
        self.signed_orders: list[int] = []
        """For each row its m."""
        places: list[int] = []
        self._rows: list[int] = []
        for m in range(self.lmax + 1):
            signs = (0,) if m == 0 else (-1, 1) if m in sine_first else (1, -1)
            self._rows.append(len(signs))
            self.signed_orders += [sign * m for sign in signs]
            for sign in signs:
                places += [middle + sign * m for middle, ir in zip(middles, irreps.irreps, strict=True) if ir.l >= m]
        order = torch.tensor(places)
        self.register_buffer("to_orders", order, persistent=False)
        self.register_buffer("from_orders", order.argsort(), persistent=False)
        self._sizes = [rows * len(found) for rows, found in zip(self._rows, self.degrees, strict=True)]

    def split(self, x: Float[Tensor, "*batch dim"]) -> "list[Float[Tensor, '*batch rows degrees']]":
        """Return for each order m its rows."""
        parts = x.index_select(-1, self.to_orders).split(self._sizes, dim=-1)
        return [part.unflatten(-1, (rows, -1)) for part, rows in zip(parts, self._rows, strict=True)]

    def join(self, parts: "list[Float[Tensor, '*batch rows degrees']]") -> Float[Tensor, "*batch dim"]:
        """Inverse of `split`."""
        return torch.cat([part.flatten(-2) for part in parts], dim=-1).index_select(-1, self.from_orders)

    def split_rows(self, x: Float[Tensor, "*batch rows _"]) -> "list[Float[Tensor, '*batch _ _']]":
        """Return the rows of each order out of all rows, stacked order after order."""
        return list(x.split(self._rows, dim=-2))
