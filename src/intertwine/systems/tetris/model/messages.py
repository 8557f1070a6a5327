"""Messages along edges by a tensor product of choice: what the experiment compares.

A message is the product of the source's features with the harmonics of the edge, every irrep of it times a factor that
the distance decides. The Clebsch-Gordan product takes the features as they are, and keeps every path. The others work
on one copy of each irrep and channel: linear maps fill the channels, the product meets the harmonics channel by
channel, and the linear map of the layer reads the channels again. (Xie et al., "The Price of Freedom", ICML 2025.)
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import O
from intertwine.nn import Linear, message_passing
from intertwine.products import ChannelwiseTensorProduct
from intertwine.products.product import Product
from intertwine.products.survey.registry import make_product
from intertwine.products.vector_harmonics import slots_of
from intertwine.products.vector_spherical import VectorSphericalProduct
from intertwine.representations import Irrep, Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.symmetry import Symmetry
from intertwine.systems.tetris.settings import ModelSettings

__all__ = ["LAYOUT", "ChannelMessages", "PathMessages", "make_messages"]

LAYOUT = "ir_mul"


class _Messages(nn.Module):
    """What both kinds share: their irreps, the number of their factors, and their law."""

    def __init__(self, irreps_in: Irreps, irreps_sh: Irreps, irreps_out: Irreps) -> None:
        super().__init__()
        self.irreps_in, self.irreps_sh, self.irreps_out = irreps_in, irreps_sh, irreps_out
        self.weight_numel = irreps_out.num_irreps
        """How many factors an edge needs: one for each irrep of the output and channel."""

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on features, harmonics and output by their irreps; the factors are invariant."""
        return Symmetry(
            O(3),
            inputs={
                "features": IrrepsTensor(self.irreps_in, LAYOUT),
                "harmonics": IrrepsTensor(self.irreps_sh, LAYOUT),
            },
            output=IrrepsTensor(self.irreps_out, LAYOUT),
        )


class PathMessages(_Messages):
    """Every Clebsch-Gordan path on its own, all channels of the features.

    Args:
        irreps_in: irreps of the nodes, with channels.
        irreps_sh: irreps of the harmonics, multiplicity 1 each.
        lmax: largest degree of a message.
    """

    def __init__(self, irreps_in: Irreps, irreps_sh: Irreps, lmax: int) -> None:
        product = ChannelwiseTensorProduct(irreps_in, irreps_sh, lmax_out=lmax, layout=LAYOUT)
        super().__init__(irreps_in, irreps_sh, product.irreps_out)
        self.product = product

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_sh"],
        weights: Float[Tensor, "edges numel"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Return the sums of the messages that end at each node."""
        return message_passing(self.product, features, harmonics, weights, edge_index)


class ChannelMessages(_Messages):
    """Products of one copy of each irrep, in a number of channels; their outputs stand side by side.

    Args:
        irreps_in: irreps of the nodes, with channels.
        irreps_sh: irreps of the harmonics, multiplicity 1 each.
        products: what meets in a channel. Their first inputs are irreps of the nodes, their second ones irreps of the
            harmonics, either of them as often as the product has slots for them.
        channels: number of channels.
        rng: generator of the initial weights.
    """

    component: Tensor

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_sh: Irreps,
        products: list[Product],
        channels: int,
        rng: torch.Generator | None = None,
    ) -> None:
        written = [ir for product in products for ir in product.irreps_out.irreps]
        super().__init__(irreps_in, irreps_sh, Irreps([(channels, ir) for ir in written]))
        self.channels = channels
        self.products = nn.ModuleList(products)
        self._dims = [channels * product.irreps_in1.dim for product in products]
        self.fill = nn.ModuleList(
            Linear(irreps_in, _copies(product.irreps_in1, channels), LAYOUT, rng) for product in products
        )
        self.spread = nn.ModuleList(
            Linear(irreps_sh, _copies(product.irreps_in2, channels), LAYOUT, rng) for product in products
        )
        places = torch.arange(len(written)).repeat_interleave(torch.tensor([ir.dim for ir in written]))
        self.register_buffer("component", places, persistent=False)

    def forward(
        self,
        features: Float[Tensor, "nodes dim_in"],
        harmonics: Float[Tensor, "edges dim_sh"],
        weights: Float[Tensor, "edges numel"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Return the sums of the messages that end at each node."""
        filled = torch.cat([fill(features) for fill in self.fill], dim=-1)
        return message_passing(self._messages, filled, harmonics, weights, edge_index)

    def _messages(self, filled: Tensor, harmonics: Tensor, weights: Tensor) -> Tensor:
        parts = filled.split(self._dims, dim=-1)
        outputs = [
            product(self._by_channel(part), self._by_channel(spread(harmonics)))
            for product, spread, part in zip(self.products, self.spread, parts, strict=True)
        ]
        messages = torch.cat(outputs, dim=-1).mT
        factors = weights.unflatten(-1, (-1, self.channels)).index_select(-2, self.component)
        return (messages * factors).flatten(-2)

    def _by_channel(self, x: Tensor) -> Tensor:
        """From (component, channel) side by side to the axes (channel, component), which products take."""
        return x.unflatten(-1, (-1, self.channels)).mT


def make_messages(
    settings: ModelSettings, irreps_in: Irreps, irreps_sh: Irreps, rng: torch.Generator | None = None
) -> PathMessages | ChannelMessages:
    """Return the messages of a layer, by the product that the settings name, up to degree ``settings.lmax``.

    Args:
        settings: product, largest degree and number of channels.
        irreps_in: irreps of the nodes.
        irreps_sh: irreps of the harmonics.
        rng: generator of the initial weights.
    """
    if settings.product == "clebsch_gordan":
        return PathMessages(irreps_in, irreps_sh, settings.lmax)
    kinds = list(dict.fromkeys(ir for _, ir in irreps_in))
    products = _PRODUCTS[settings.product](kinds, irreps_sh, settings.lmax)
    return ChannelMessages(irreps_in, irreps_sh, products, settings.product_channels, rng)


def _copies(irreps: Irreps, channels: int) -> Irreps:
    return Irreps([(channels, ir) for ir in irreps.irreps])


def _on_functions(name: str) -> Callable[[list[Irrep], Irreps, int], list[Product]]:
    """Products of functions on the sphere: irreps of natural parity are one function, the others another."""

    def build(kinds: list[Irrep], irreps_sh: Irreps, lmax: int) -> list[Product]:
        functions = [[ir for ir in kinds if ir.natural is natural] for natural in (True, False)]
        return [_truncated(name, Irreps(function), irreps_sh, lmax) for function in functions if function]

    return build


def _on_matrices(kinds: list[Irrep], irreps_sh: Irreps, lmax: int) -> list[Product]:
    return [_truncated("matrix_parity", Irreps(kinds), irreps_sh, lmax)]


def _on_vector_fields(kinds: list[Irrep], irreps_sh: Irreps, lmax: int) -> list[Product]:
    """The cross product of vector fields, every irrep in all its slots, and scalar times scalar, which it lacks."""
    (first, slots1), (second, slots2) = _in_all_slots(kinds), _in_all_slots(irreps_sh.irreps)
    whole = VectorSphericalProduct(first, second, slots1=slots1, slots2=slots2)
    kept = [(ir, slot) for ir, (slot,) in zip(whole.irreps_out.irreps, whole.slots[2], strict=True) if ir.l <= lmax]
    out, slots_out = Irreps([(1, ir) for ir, _ in kept]), [slot for _, slot in kept]
    cross = VectorSphericalProduct(
        first, second, out, slots1=slots1, slots2=slots2, slots_out=slots_out, normalization="component"
    )
    scalars = [ir for ir in kinds if ir.l == 0]
    apart = [_truncated("clebsch_gordan_dense", Irreps(scalars), Irreps("0e"), lmax)] if scalars else []
    return [*apart, cross]


def _in_all_slots(kinds: list[Irrep]) -> tuple[Irreps, list[int]]:
    pairs = [(ir, slot) for ir in kinds for slot in slots_of(ir.l)]
    return Irreps([(1, ir) for ir, _ in pairs]), [slot for _, slot in pairs]


def _truncated(name: str, irreps_in1: Irreps, irreps_in2: Irreps, lmax: int) -> Product:
    """The product of a name with all its outputs up to a degree, at unit variance."""
    whole = make_product(name, irreps_in1, irreps_in2)
    kept = Irreps([ir for ir in whole.irreps_out.irreps if ir.l <= lmax])
    return make_product(name, irreps_in1, irreps_in2, kept, normalization="component")


_PRODUCTS: dict[str, Callable[[list[Irrep], Irreps, int], list[Product]]] = {
    "gaunt": _on_functions("gaunt_grid"),
    "gaunt_complete": _on_functions("gaunt_complete"),
    "matrix_parity": _on_matrices,
    "vector_spherical": _on_vector_fields,
}
