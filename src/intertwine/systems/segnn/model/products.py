"""Steerable layers: products of features with attributes, with weights, in the three kinds that can be chosen.

`clebsch_gordan` is the fully connected product, one weight for each path and pair of channels. `gaunt` mixes channels
before and after a channel-wise Gaunt product, whose couplings have even l1 + l2 + l3; `gaunt_complete` adds the odd
ones. There the weight of a path is a product of factors of its three degrees, summed over channels.
(Brandstetter et al., ICLR 2022; Luo, Chen, Krishnapriyan, ICLR 2024.)
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import O
from intertwine.nn import Gate
from intertwine.products import FullyConnectedTensorProduct, ParityGauntTensorProduct
from intertwine.representations import Irrep, Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.symmetry import Symmetry
from intertwine.systems.segnn.settings import ModelSettings

__all__ = ["LAYOUT", "GatedProduct", "SteerableProduct"]

LAYOUT = "ir_mul"
_SCALAR = Irrep(0, 1)


class SteerableProduct(nn.Module):
    """A map of features that is steered by attributes: a product of both with learned weights, and biases of scalars.

    Law: O(3) acts on features, attributes and output by their irreps. An irrep that no coupling writes is zero.

    Args:
        irreps_in: irreps of the features, one entry an irrep.
        irreps_attributes: irreps of the attributes, one copy each.
        irreps_out: irreps to write.
        settings: the kind of product and its sizes.
        channels: channels in which a Gaunt product multiplies.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_attributes: Irreps,
        irreps_out: Irreps,
        settings: ModelSettings,
        channels: int,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_attributes, self.irreps_out = irreps_in, irreps_attributes, irreps_out
        couplings = "even" if settings.product == "gaunt" else "all"
        written = irreps_out.filter(_reachable(irreps_in, irreps_attributes, couplings))
        if settings.product == "clebsch_gordan":
            self.product = FullyConnectedTensorProduct(irreps_in, irreps_attributes, written, layout=LAYOUT, rng=rng)
        else:
            self.product = ParityGauntTensorProduct(
                irreps_in, irreps_attributes, written,
                channels=channels, couplings=couplings, backend=settings.backend, layout=LAYOUT, rng=rng,
            )  # fmt: skip
        self._written = [(entry.dim, entry.ir in written) for entry in irreps_out]
        self._scalars = [entry.ir == _SCALAR for entry in irreps_out]
        numel = sum(entry.mul for entry in irreps_out if entry.ir == _SCALAR)
        self.bias = nn.Parameter(torch.zeros(numel)) if numel else None

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on features, attributes and output by their irreps."""
        return _symmetry(self.irreps_in, self.irreps_attributes, self.irreps_out)

    def forward(
        self, x: Float[Tensor, "*batch dim_in"], attributes: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """Return the steered features."""
        out = self.product(x, attributes)
        if not all(written for _, written in self._written):
            parts = iter(out.split([dim for dim, written in self._written if written], dim=-1))
            zeros = out.new_zeros(1).expand(*out.shape[:-1], 1)
            filled = [next(parts) if written else zeros.expand(*out.shape[:-1], dim) for dim, written in self._written]
            out = torch.cat(filled, dim=-1)
        return out if self.bias is None else out + self._spread(self.bias)

    def _spread(self, bias: Tensor) -> Tensor:
        """The biases of scalars at their places among all components."""
        parts = iter(bias.split([dim for (dim, _), scalar in zip(self._written, self._scalars, strict=True) if scalar]))
        places = zip(self._written, self._scalars, strict=True)
        return torch.cat([next(parts) if scalar else bias.new_zeros(dim) for (dim, _), scalar in places])


class GatedProduct(nn.Module):
    """A steerable product and a gate: SiLU of scalars, and a sigmoid of a scalar of its own for every other irrep.

    Args:
        irreps_in, irreps_attributes, irreps_out, settings, channels, rng: as for `SteerableProduct`.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_attributes: Irreps,
        irreps_out: Irreps,
        settings: ModelSettings,
        channels: int,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.gate = Gate(irreps_out, gate="sigmoid", layout=LAYOUT)
        self.steered = SteerableProduct(irreps_in, irreps_attributes, self.gate.irreps_in, settings, channels, rng)

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on features, attributes and output by their irreps."""
        return _symmetry(self.steered.irreps_in, self.steered.irreps_attributes, self.gate.irreps_out)

    def forward(
        self, x: Float[Tensor, "*batch dim_in"], attributes: Float[Tensor, "*batch dim"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """Return the gated features."""
        return self.gate(self.steered(x, attributes))


def _reachable(features: Irreps, attributes: Irreps, couplings: str) -> Irreps:
    """The irreps that the product of any two can write."""
    pairs = [(a, b, c) for a in features.irreps for b in attributes.irreps for c in a * b]
    return Irreps([c for a, b, c in pairs if couplings == "all" or (a.l + b.l + c.l) % 2 == 0])


def _symmetry(irreps_in: Irreps, irreps_attributes: Irreps, irreps_out: Irreps) -> Symmetry:
    return Symmetry(
        O(3),
        inputs={"x": IrrepsTensor(irreps_in, LAYOUT), "attributes": IrrepsTensor(irreps_attributes)},
        output=IrrepsTensor(irreps_out, LAYOUT),
    )
