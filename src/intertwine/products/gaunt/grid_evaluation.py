"""How products on a sphere grid are computed: by matrix products, or by the fused kernel where one runs.

The kernel reads features as (component, channel) and never holds values on the grid. Features with components last are
the case of one channel.
"""

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.kernels import grid_product
from intertwine.products.gaunt.sphere_product import SphereProduct

__all__ = ["GridProduct", "fused_product"]


class GridProduct(SphereProduct):
    """A product of functions on the smallest exact grid, by the kernel where it runs."""

    def forward(self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]) -> Float[Tensor, "*batch dim"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        self.check_inputs(x, y)
        if x.dtype == y.dtype and grid_product.ready(x.device.type, x.dtype):
            return self.channels_last(x.unsqueeze(-1), y.unsqueeze(-1)).squeeze(-1)
        return self._by_matrices(x, y)

    @abstractmethod
    def _by_matrices(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the product by matrix products, components last."""


def fused_product(
    x: Float[Tensor, "*batch dim1 channels"],
    y: Float[Tensor, "*batch dim2 channels"],
    to_grid1: Float[Tensor, "points dim1"],
    to_grid2: Float[Tensor, "points dim2"],
    from_grid: Float[Tensor, "points dim3"],
) -> Float[Tensor, "*batch dim3 channels"]:
    """Return ``from_grid^T ((to_grid1 x) (to_grid2 y))``; leading axes and channels of ``x`` and ``y`` broadcast."""
    batch = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    (channels,) = torch.broadcast_shapes(x.shape[-1:], y.shape[-1:])
    x, y = (a.expand(*batch, -1, channels).reshape(-1, a.shape[-2], channels) for a in (x, y))
    return grid_product(x, y, to_grid1, to_grid2, from_grid).reshape(*batch, from_grid.shape[1], channels)
