"""Accelerated implementations of the operations, each held against a plain PyTorch reference."""

from intertwine.kernels.channelwise import ChannelwisePath, channelwise, pack_paths
from intertwine.kernels.gpu import register
from intertwine.kernels.grid import grid_product
from intertwine.kernels.harmonics import harmonics
from intertwine.kernels.switch import kernels_wanted, use_reference
from intertwine.kernels.symmetric import symmetric_polynomials

__all__ = [
    "ChannelwisePath",
    "channelwise",
    "grid_product",
    "harmonics",
    "kernels_wanted",
    "pack_paths",
    "symmetric_polynomials",
    "use_reference",
]

register()
