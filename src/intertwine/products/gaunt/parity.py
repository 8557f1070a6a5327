"""Gaunt products of features of any parity: functions of scalars and of pseudo-scalars, each with each.

Irreps of parity (-1)^l are coefficients of a function with scalar values, the others of one with pseudo-scalar values.
All four pairs of such functions multiply, the result has the product of their parities, and maps between channels stand
before and after. (Luo et al., ICLR 2024, the feature interaction; Xie et al., "The Price of Freedom", ICML 2025.)
"""

from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError
from intertwine.groups import O
from intertwine.products.gaunt.backends import make_sphere_product
from intertwine.products.gaunt.channel_mixing import ChannelMixing, copies_of
from intertwine.products.gaunt.sphere_product import SphereNormalization, SphereProduct
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.symmetry import Symmetry

__all__ = ["ParityGauntTensorProduct", "SelfMix"]


class ParityGauntTensorProduct(nn.Module):
    """Gaunt products between the natural and the unnatural parts of two features, mixed before and after.

    Law: O(3) acts on both inputs and on the output by their irreps, whatever their parities.

    Args:
        irreps_in1, irreps_in2, irreps_out: irreps, any multiplicities.
        channels: channels that multiply in each pair; by default the largest multiplicity of the output.
        couplings: ``even``, or ``all`` with the odd ones, on the grid only. With even ones alone, natural inputs never
            give unnatural outputs.
        backend, normalization: as for `GauntTensorProduct`.
        layout: memory layout of inputs and output.
        rng: generator of the initial weights.

    Raises:
        RepresentationError: if an irrep of the output is written by no pair.

    Example:
        >>> ParityGauntTensorProduct("2x0e + 2x1o", "0e + 0o", "4x1o + 4x1e").pairs
        [(1, 1), (1, -1)]
    """

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps",
        *,
        channels: int | None = None,
        couplings: str = "even",
        backend: str = "grid",
        normalization: SphereNormalization = "component",
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.irreps_in1, self.irreps_in2, self.irreps_out = Irreps(irreps_in1), Irreps(irreps_in2), Irreps(irreps_out)
        self.layout = check_layout(layout)
        self.channels = max((mul for mul, _ in self.irreps_out), default=1) if channels is None else channels
        if self.channels < 1 or not self.irreps_out.entries:
            raise RepresentationError(
                "a Gaunt product needs at least one channel and one irrep to write",
                got={"channels": channels, "out": self.irreps_out},
            )
        self.pairs: list[tuple[int, int]] = []
        """Parities of the values of the two functions that multiply."""
        self.products, self.mix_in1, self.mix_in2 = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        written = Irreps()
        make = partial(make_sphere_product, backend=backend, couplings=couplings, normalization=normalization)
        for parity1, first in _signals(self.irreps_in1).items():
            for parity2, second in _signals(self.irreps_in2).items():
                wanted = make(first, second).irreps_out.filter(self.irreps_out)
                if not wanted.entries:
                    continue
                self.pairs.append((parity1, parity2))
                self.products.append(make(first, second, wanted))
                self.mix_in1.append(ChannelMixing(self.irreps_in1, copies_of(first, self.channels), rng))
                self.mix_in2.append(ChannelMixing(self.irreps_in2, copies_of(second, self.channels), rng))
                written = written + copies_of(wanted, self.channels)
        missing = [str(ir) for ir in self.irreps_out.irreps if ir not in written]
        if missing:
            raise RepresentationError(
                f"no Gaunt product of these features writes {', '.join(missing)}",
                got={"in1": self.irreps_in1, "in2": self.irreps_in2, "out": self.irreps_out},
                expected=f"out within {written.regroup()}" if written.entries else None,
                fix='couplings="all" adds those with l1 + l2 + l3 odd' if couplings == "even" else None,
                code="E203",
            )
        self.mix_out = ChannelMixing(written, self.irreps_out, rng)
        self._dims = [ir.dim for ir in written.irreps]

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on both inputs and on the output by their irreps."""
        return Symmetry(
            O(3),
            inputs={
                "x": IrrepsTensor(self.irreps_in1, self.layout),
                "y": IrrepsTensor(self.irreps_in2, self.layout),
            },
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def forward(
        self, x: Float[Tensor, "*batch dim1"], y: Float[Tensor, "*batch dim2"]
    ) -> Float[Tensor, "*batch dim_out"]:
        """Return the product; leading axes of ``x`` and ``y`` broadcast.

        Raises:
            ShapeError: if the last axes do not fit the irreps.
        """
        first, second = split_blocks(x, self.irreps_in1, self.layout), split_blocks(y, self.irreps_in2, self.layout)
        written = []
        for product, mix1, mix2 in zip(self.products, self.mix_in1, self.mix_in2, strict=True):
            u, v = torch.cat(mix1(first), dim=-2), torch.cat(mix2(second), dim=-2)
            written.append(cast(SphereProduct, product).channels_last(u, v))
        blocks = list((written[0] if len(written) == 1 else torch.cat(written, dim=-2)).split(self._dims, dim=-2))
        return join_blocks(self.mix_out(blocks), self.layout)


class SelfMix(nn.Module):
    """Interaction of a feature with itself: ``x + mix(x) + gain * (mix1(x) times mix2(x))``, a residual layer.

    The two maps before the product differ, so that it is more than a square. `gain`, one number an entry of the irreps,
    begins at `initial_gain`: at 0 the layer begins as a linear one. (The paper's full interaction, called Selfmix.)
    Law: O(3) acts on input and output by their irreps.

    Args:
        irreps: irreps of the feature.
        residual: whether ``x`` itself is added.
        initial_gain: initial weight of the product.
        channels, couplings, backend, normalization, layout, rng: as for `ParityGauntTensorProduct`.

    Raises:
        RepresentationError: if the product of the feature with itself lacks one of its irreps.
    """

    entries: Tensor

    def __init__(
        self,
        irreps: "str | Irreps",
        *,
        residual: bool = True,
        initial_gain: float = 0.0,
        channels: int | None = None,
        couplings: str = "even",
        backend: str = "grid",
        normalization: SphereNormalization = "component",
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.irreps, self.layout, self.residual = Irreps(irreps), check_layout(layout), residual
        self.mix = ChannelMixing(self.irreps, self.irreps, rng)
        self.product = ParityGauntTensorProduct(
            self.irreps,
            self.irreps,
            self.irreps,
            channels=channels,
            couplings=couplings,
            backend=backend,
            normalization=normalization,
            layout=layout,
            rng=rng,
        )
        self.gain = nn.Parameter(torch.full((len(self.irreps),), float(initial_gain)))
        entries = torch.arange(len(self.irreps)).repeat_interleave(torch.tensor([entry.dim for entry in self.irreps]))
        self.register_buffer("entries", entries, persistent=False)

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by their irreps."""
        feature = IrrepsTensor(self.irreps, self.layout)
        return Symmetry(O(3), inputs={"x": feature}, output=feature)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the feature after it met itself."""
        mixed = join_blocks(self.mix(split_blocks(x, self.irreps, self.layout)), self.layout)
        mixed = mixed + self.product(x, x) * self.gain.index_select(0, self.entries)
        return x + mixed if self.residual else mixed


def _signals(irreps: Irreps) -> dict[int, Irreps]:
    """The irreps of the functions whose values have parity +1 and -1, one copy each; without those that are absent."""
    kinds = irreps.regroup().irreps
    parts = {parity: Irreps([ir for ir in kinds if ir.natural == (parity > 0)]) for parity in (1, -1)}
    return {parity: part for parity, part in parts.items() if part.entries}
