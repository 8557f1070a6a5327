"""The equivariant products that a potential can be built from, chosen by name.

``clebsch_gordan`` keeps every coupling. ``so2`` is the same convolution computed in the frame of each edge, with the
same weights and the same numbers. ``gaunt_grid`` and ``gaunt_fourier`` multiply functions on the sphere and equal each
other: they replace the many-body product of the MACE-type network (Luo, Chen, Krishnapriyan, ICLR 2024, whose
convolution stays Clebsch-Gordan) and the convolution of the NequIP-type network, and lose couplings with l1 + l2 + l3
odd.
"""

from typing import Literal

import torch
from torch import nn

from intertwine.products import (
    ChannelwiseTensorProduct,
    GauntConvolution,
    GauntManyBody,
    SO2Convolution,
    SymmetricContraction,
)
from intertwine.representations import Irreps

__all__ = ["LAYOUT", "ProductName", "edge_product", "many_body_product", "needs_frames"]

LAYOUT = "ir_mul"
ProductName = Literal["clebsch_gordan", "so2", "gaunt_grid", "gaunt_fourier"]


def needs_frames(product: ProductName, architecture: str) -> bool:
    """Return whether the convolution takes the frames of the edges instead of their harmonics."""
    return product == "so2" or (product.startswith("gaunt") and architecture == "nequip")


def edge_product(
    product: ProductName, architecture: str, irreps_in: Irreps, irreps_sh: Irreps, irreps_out: Irreps
) -> ChannelwiseTensorProduct | SO2Convolution | GauntConvolution:
    """Return the product of a convolution: features of the source with an edge, weights for every edge.

    Args:
        product, architecture: what the settings say.
        irreps_in: irreps of the features.
        irreps_sh: harmonics of the edge, in ``component`` normalisation.
        irreps_out: keep only these irreps of the output.
    """
    if not needs_frames(product, architecture):
        return ChannelwiseTensorProduct(irreps_in, irreps_sh, irreps_out, layout=LAYOUT)
    if product == "so2":
        return SO2Convolution(irreps_in, irreps_sh, irreps_out, layout=LAYOUT, normalization="component")
    channels = irreps_in[0].mul
    reachable = irreps_in.tensor_product(irreps_sh)
    kept = sorted({ir for ir in irreps_out.irreps if ir.natural and ir in reachable})
    return GauntConvolution(
        irreps_in,
        irreps_sh.lmax,
        Irreps([(channels, ir) for ir in kept]),
        variant="rotated_grid" if product == "gaunt_grid" else "rotated_fourier",
        layout=LAYOUT,
        normalization="component",
    )


def many_body_product(
    product: ProductName,
    irreps_in: Irreps,
    irreps_out: Irreps,
    correlation: int,
    num_types: int,
    rng: torch.Generator | None,
) -> nn.Module:
    """Return the product of one atom's features with themselves, weights by species."""
    if product.startswith("gaunt"):
        backend = "grid" if product == "gaunt_grid" else "fourier"
        return GauntManyBody(irreps_in, irreps_out, correlation, num_types, backend=backend, layout=LAYOUT, rng=rng)
    return SymmetricContraction(irreps_in, irreps_out, correlation, num_types, LAYOUT, rng)
