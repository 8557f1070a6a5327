"""What is checked of each entry of the catalogue: the operation, inputs for it, and another way to the same numbers.

Products take all degrees up to L of natural parity in both inputs and write all that they can; convolutions and
many-body products take two channels of the same and write degrees up to L. The reference is another operation with the
same weights, whose code is another: dense instead of sparse or fast, one edge frame instead of none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.products.channelwise import ChannelwiseTensorProduct
from intertwine.products.gaunt.convolution import GauntConvolution
from intertwine.products.gaunt.coupling_constants import curl_constant, gaunt_constant
from intertwine.products.gaunt.many_body import GauntManyBody
from intertwine.products.product import Product
from intertwine.products.so2.convolution import SO2Convolution
from intertwine.products.survey.catalogue import ProductEntry
from intertwine.products.survey.registry import make_product
from intertwine.products.symmetric_contraction import SymmetricContraction
from intertwine.products.wigner_symbols import matrix_constant
from intertwine.representations import Irreps, SphericalHarmonics

__all__ = ["Subject", "closed_constant", "make_subject"]

_BATCH = 4


@dataclass(frozen=True)
class Subject:
    """One operation to be checked, in float64.

    Args:
        module: it declares its symmetry.
        inputs: of `_BATCH` samples, by the names of its arguments.
        reference: another way to its output from the same inputs; None where there is none.
        against: what the reference is, in words.
    """

    module: nn.Module
    inputs: Mapping[str, Tensor]
    reference: Callable[..., Tensor] | None = None
    against: str = ""


def make_subject(entry: ProductEntry, lmax: int, rng: torch.Generator) -> Subject:
    """Return the operation of an entry with all degrees up to ``lmax``, and inputs drawn for it."""
    if entry.kind == "product":
        return _of_product(entry.name, lmax, rng)
    return _LAYERS[entry.name](Irreps([(2, ir) for _, ir in Irreps.spherical_harmonics(lmax)]), lmax, rng)


def closed_constant(name: str, product: Product) -> Callable[[int, int, int], float] | None:
    """Return the size of a product's coupling constants by the three degrees, from its closed form; None without one.

    Args:
        name: in the catalogue.
        product: built; the constants of matrix products depend on the size of the matrices.
    """
    if name.startswith("clebsch_gordan"):
        return lambda l1, l2, l3: sqrt(2 * l3 + 1)
    if name == "gaunt_curl":
        return curl_constant
    if name == "gaunt_complete":
        return lambda l1, l2, l3: gaunt_constant(l1, l2, l3) + curl_constant(l1, l2, l3)
    if name.startswith("gaunt_"):
        return gaunt_constant
    if name.startswith("matrix"):
        size: int = cast("Any", product).matrix_degree  # both kinds have it, their contract does not
        return lambda l1, l2, l3: matrix_constant(l1, l2, l3, size)
    return None


# --- products ------------------------------------------------------------------------------------------------

_REFERENCES: dict[str, tuple[str, ...]] = {
    "clebsch_gordan_sparse": ("clebsch_gordan_dense",),
    "gaunt_dense": ("gaunt_grid",),
    "gaunt_grid": ("gaunt_dense",),
    "gaunt_grid_separable": ("gaunt_dense",),
    "gaunt_fourier": ("gaunt_dense",),
    "gaunt_fourier_fft": ("gaunt_dense",),
    "gaunt_complete": ("gaunt_dense", "gaunt_curl"),
}
"""Products that together write the same outputs."""


def _of_product(name: str, lmax: int, rng: torch.Generator) -> Subject:
    irreps = Irreps.spherical_harmonics(lmax)
    product = make_product(name, irreps, irreps).double()
    inputs = {key: irreps.random(_BATCH, rng=rng, dtype=torch.float64) for key in ("x", "y")}
    parts = [make_product(part, irreps, irreps).double() for part in _REFERENCES.get(name, ())]
    if not parts:
        return Subject(product, inputs)
    return Subject(product, inputs, _joined(product.irreps_out, parts), " and ".join(_REFERENCES[name]))


def _joined(out: Irreps, parts: list[Product]) -> Callable[..., Tensor]:
    """The outputs of some products, taken entry by entry from the one that writes the irrep."""

    def reference(x: Float[Tensor, "batch dim1"], y: Float[Tensor, "batch dim2"]) -> Float[Tensor, "batch dim"]:
        found = [part(x, y) for part in parts]
        if parts[0].irreps_out == out:
            return found[0]
        blocks = {
            ir: value[..., place]
            for part, value in zip(parts, found, strict=True)
            for ir, place in zip(part.irreps_out.irreps, part.irreps_out.slices(), strict=True)
        }
        return torch.cat([blocks[ir] for ir in out.irreps], dim=-1)

    return reference


# --- layers --------------------------------------------------------------------------------------------------


def _edges(irreps: Irreps, weights: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Features, edge vectors (the first along the polar axis, where frames are easily wrong) and weights."""
    vectors = torch.randn(_BATCH, 3, generator=rng, dtype=torch.float64)
    vectors[0] = torch.tensor([0.0, -2.0, 0.0])
    return {
        "x": irreps.random(_BATCH, rng=rng, dtype=torch.float64),
        "y": vectors,
        "weight": torch.randn(_BATCH, weights, generator=rng, dtype=torch.float64),
    }


def _atoms(irreps: Irreps, rng: torch.Generator) -> dict[str, Tensor]:
    return {"x": irreps.random(_BATCH, rng=rng, dtype=torch.float64), "types": torch.arange(_BATCH) % 2}


def _channelwise(irreps: Irreps, lmax: int, rng: torch.Generator) -> Subject:
    module = ChannelwiseTensorProduct(irreps, Irreps.spherical_harmonics(lmax), lmax_out=lmax).double()
    inputs = _edges(irreps, module.weight_numel, rng)
    inputs["y"] = module.irreps_sh.random(_BATCH, rng=rng, dtype=torch.float64)
    return Subject(module, inputs)


def _so2(irreps: Irreps, lmax: int, rng: torch.Generator) -> Subject:
    harmonics = Irreps.spherical_harmonics(lmax)
    module = SO2Convolution(irreps, harmonics, lmax_out=lmax).double()
    plain = ChannelwiseTensorProduct(irreps, harmonics, lmax_out=lmax, layout=module.layout).double()
    values = SphericalHarmonics(list(range(lmax + 1)), normalization=module.normalization)

    def reference(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return plain(x, values(y), weight)

    return Subject(module, _edges(irreps, module.weight_numel, rng), reference, "channelwise")


def _gaunt_convolution(irreps: Irreps, lmax: int, rng: torch.Generator) -> Subject:
    module = GauntConvolution(irreps, lmax, lmax_out=lmax).double()
    direct = GauntConvolution(irreps, lmax, lmax_out=lmax, variant="direct").double()
    return Subject(module, _edges(irreps, module.weight_numel, rng), direct, "its variant without frames")


def _symmetric_contraction(irreps: Irreps, lmax: int, rng: torch.Generator) -> Subject:
    return Subject(SymmetricContraction(irreps, irreps, 2, 2, rng=rng).double(), _atoms(irreps, rng))


def _gaunt_many_body(irreps: Irreps, lmax: int, rng: torch.Generator) -> Subject:
    module = GauntManyBody(irreps, irreps, 3, 2, rng=rng).double()
    fourier = GauntManyBody(irreps, irreps, 3, 2, backend="fourier").double()
    fourier.load_state_dict(module.state_dict())
    return Subject(module, _atoms(irreps, rng), fourier, "its Fourier backend")


_LAYERS: dict[str, Callable[[Irreps, int, torch.Generator], Subject]] = {
    "channelwise": _channelwise,
    "so2": _so2,
    "gaunt_convolution": _gaunt_convolution,
    "symmetric_contraction": _symmetric_contraction,
    "gaunt_many_body": _gaunt_many_body,
}
