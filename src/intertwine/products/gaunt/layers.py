"""Gaunt products of features with channels, and with weights that keep the fast ways to compute them.

A weight of its own for each path would need each path on its own. Weights that factorise do not: each degree of x, of y
and of the output has a factor, w1_l1 w2_l2 w3_l3, for each channel. The constants K(l1, l2, l3) do not factorise, so no
choice of the factors gives plain Clebsch-Gordan products; maps between channels, before and after, give sums of such
terms. (Luo, Chen, Krishnapriyan, "Gaunt Tensor Products", ICLR 2024.)
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.gaunt.backends import make_sphere_product
from intertwine.products.gaunt.channel_mixing import ChannelMixing, copies_of
from intertwine.products.gaunt.parity import ParityGauntTensorProduct, SelfMix
from intertwine.products.gaunt.sphere_product import SphereNormalization
from intertwine.products.product import Interaction
from intertwine.representations import Irrep, Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.symmetry import Symmetry

__all__ = ["GauntTensorProduct", "ParityGauntTensorProduct", "SelfMix"]


class GauntTensorProduct(nn.Module):
    """The Gaunt product of two features with channels.

    Law: O(3) acts on both inputs and on the output by their irreps. Each input holds the coefficients of functions on
    the sphere, parity p (-1)^l throughout; features of both kinds of parity go to `ParityGauntTensorProduct`.

    Args:
        irreps_in1, irreps_in2: irreps; but for the mode ``uvw``, one multiplicity throughout each.
        irreps_out: irreps to write. None writes all that the product can, in the modes ``uuu`` and ``uv``.
        mode: how channels meet. ``uuu``: channel by channel, equally many in both inputs and the output. ``uv``: each
            with each, channel u C2 + v of the output is that of u and v. ``uvw``: channels are mixed before and after.
        weights: ``internal`` (factors are parameters, standard normal), ``sample`` (factors are given to every call,
            one set for each sample or one for all) or ``none``. In the mode ``uvw`` the maps between channels are
            parameters in any case, and ``internal`` adds none.
        backend: ``grid``, ``separable``, ``fourier``, ``fourier_fft`` or ``dense``; equal up to rounding.
        couplings: ``even``, or ``all``: with the odd ones of `GauntComplete`, on the grid only.
        normalization: ``component`` keeps unit variance, ``integral`` is the plain projection.
        channels: channels that multiply in the mode ``uvw``; by default the largest multiplicity of the output.
        layout: memory layout of inputs and output; ``ir_mul`` is the faster one.
        rng: generator of the initial weights.

    Raises:
        RepresentationError: if multiplicities do not fit the mode, or the product refuses the irreps.

    Example:
        >>> GauntTensorProduct("8x0e + 8x1o", "8x0e + 8x1o").irreps_out
        Irreps('8x0e + 8x1o + 8x2e')
    """

    def __init__(
        self,
        irreps_in1: "str | Irreps",
        irreps_in2: "str | Irreps",
        irreps_out: "str | Irreps | None" = None,
        *,
        mode: Literal["uuu", "uv", "uvw"] = "uuu",
        weights: Literal["none", "internal", "sample"] = "internal",
        backend: str = "grid",
        couplings: str = "even",
        normalization: SphereNormalization = "component",
        channels: int | None = None,
        layout: str = "mul_ir",
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if mode not in ("uuu", "uv", "uvw") or weights not in ("none", "internal", "sample"):
            raise RepresentationError(
                "unknown mode or kind of weights of a Gaunt product",
                got={"mode": mode, "weights": weights},
                expected="mode uuu, uv or uvw; weights none, internal or sample",
            )
        self.irreps_in1, self.irreps_in2 = Irreps(irreps_in1), Irreps(irreps_in2)
        self.mode, self.weights, self.layout = mode, weights, check_layout(layout)
        out = None if irreps_out is None else Irreps(irreps_out)
        self.channels = _channels(mode, self.irreps_in1, self.irreps_in2, out, channels)
        """Channels of both inputs and of the output where they multiply."""
        self.product = make_sphere_product(
            _single(self.irreps_in1, mode),
            _single(self.irreps_in2, mode),
            None if out is None else _single(out, mode),
            backend=backend,
            couplings=couplings,
            normalization=normalization,
        )
        sides = (self.product.irreps_in1, self.product.irreps_in2, self.product.irreps_out)
        signals = [copies_of(side, c) for side, c in zip(sides, self.channels, strict=True)]
        self.irreps_out = signals[2] if out is None else out
        if mode == "uvw":
            self.mix_in1 = ChannelMixing(self.irreps_in1, signals[0], rng)
            self.mix_in2 = ChannelMixing(self.irreps_in2, signals[1], rng)
            self.mix_out = ChannelMixing(signals[2], self.irreps_out, rng)
        self._dims = [[ir.dim for ir in side.irreps] for side in sides]
        for number, dims in enumerate(self._dims):
            entries = torch.arange(len(dims)).repeat_interleave(torch.tensor(dims))
            self.register_buffer(f"entries{number}", entries, persistent=False)
        shapes = [(len(side), c) for side, c in zip(sides, self.channels, strict=True)]
        self._shapes = [] if weights == "none" or (mode == "uvw" and weights == "internal") else shapes
        if weights == "internal" and self._shapes:
            self.weight = nn.Parameter(torch.randn(self.weight_numel, generator=rng))

    @property
    def weight_numel(self) -> int:
        """The number of factors: (entry, channel) of the first input, of the second, and of the output, flat."""
        return sum(entries * channels for entries, channels in self._shapes)

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
        self,
        x: Float[Tensor, "*batch dim1"],
        y: Float[Tensor, "*batch dim2"],
        weight: Float[Tensor, "*weight_batch numel"] | None = None,
    ) -> Float[Tensor, "*batch dim_out"]:
        """Return the product; leading axes of ``x``, ``y`` and ``weight`` broadcast.

        Raises:
            ShapeError: if features or weights do not fit.
        """
        factors = self._factors(weight)
        first = self._signal(x, self.irreps_in1, "mix_in1")
        second = self._signal(y, self.irreps_in2, "mix_in2")
        if factors:
            first, second = first * factors[0], second * factors[1]
        if self.mode == "uv":
            first = first.repeat_interleave(second.shape[-1], dim=-1)
            second = second.repeat(*[1] * (second.dim() - 1), self.channels[0])
        z = self.product.channels_last(first, second)
        if factors:
            z = z * factors[2]
        blocks = list(z.split(self._dims[2], dim=-2))
        return join_blocks(self.mix_out(blocks) if self.mode == "uvw" else blocks, self.layout)

    def paths(self) -> list[Interaction]:
        """Return the couplings of one channel that survive, with their constants before the factors."""
        return self.product.interactions()

    def dropped_paths(self) -> list[tuple[Irrep, Irrep, Irrep]]:
        """Return the couplings that O(3) allows between the inputs and that are not here: odd, or not in the output."""
        sides = (self.product.irreps_in1, self.product.irreps_in2, self.product.irreps_out)
        kept = {(path.ir1, path.ir2, path.ir_out) for path in self.paths()}
        allowed = [(a, b, c) for a in sides[0].irreps for b in sides[1].irreps for c in a * b]
        return [triple for triple in allowed if triple not in kept]

    def to_e3nn_instructions(self) -> list[tuple[int, int, int, str, bool, float]]:
        """Return the product without factors as instructions of e3nn's tensor product, in the mode ``uuu``.

        They are for ``irrep_normalization="none"`` and ``path_normalization="none"``. e3nn takes the square root of the
        last number, which is right because no constant of these products is negative.

        Raises:
            RepresentationError: if the mode is another one.
        """
        if self.mode != "uuu":
            raise RepresentationError("only products channel by channel have such instructions", got=self.mode)
        return [(path.in1, path.in2, path.out, "uuu", False, path.constant**2) for path in self.paths()]

    def flops(self) -> int:
        """Return the operations of the products of one sample, without those of weights."""
        return self.channels[2] * self.product.flops()

    def memory(self, dtype: torch.dtype = torch.float32) -> int:
        """Return the memory traffic of the products of one sample in bytes, if nothing is fused."""
        return self.channels[2] * self.product.bytes(dtype)

    def _signal(self, x: Tensor, irreps: Irreps, mixing: str) -> Tensor:
        """Features as (..., component, channel) with the irreps of the product."""
        if self.mode != "uvw" and self.layout == "ir_mul" and x.shape[-1] == irreps.dim:
            return x.unflatten(-1, (-1, irreps[0].mul))  # a view
        blocks = split_blocks(x, irreps, self.layout)
        return torch.cat(getattr(self, mixing)(blocks) if self.mode == "uvw" else blocks, dim=-2)

    def _factors(self, weight: Tensor | None) -> list[Tensor]:
        """The factors of both inputs and of the output, (..., component, channel)."""
        given = self.weight if self.weights == "internal" and self._shapes else weight
        if (self.weights == "sample") != (weight is not None) or (
            weight is not None and weight.shape[-1] != self.weight_numel
        ):
            raise ShapeError(
                "a Gaunt product got weights that do not fit",
                got=None if weight is None else tuple(weight.shape),
                expected=f"(..., {self.weight_numel})" if self.weights == "sample" else "none",
                fix=None if self.weights == "sample" else 'build it with weights="sample" to give them',
            )
        if given is None:
            return []
        parts = given.split([entries * channels for entries, channels in self._shapes], dim=-1)
        return [
            part.unflatten(-1, shape).index_select(-2, getattr(self, f"entries{number}"))
            for number, (part, shape) in enumerate(zip(parts, self._shapes, strict=True))
        ]


def _single(irreps: Irreps, mode: str) -> Irreps:
    """The irreps of one channel; where channels are mixed, equal entries are one."""
    return copies_of(irreps.regroup() if mode == "uvw" else irreps, 1)


def _channels(mode: str, in1: Irreps, in2: Irreps, out: Irreps | None, channels: int | None) -> tuple[int, int, int]:
    """The channels of both inputs and of the output where they multiply."""
    if mode == "uvw":
        if out is None or not out.entries or (channels is not None and channels < 1):
            raise RepresentationError(
                "a Gaunt product of mode uvw needs the irreps of its output and at least one channel",
                got={"out": out, "channels": channels},
            )
        width = max(mul for mul, _ in out) if channels is None else channels
        return width, width, width
    counts = [{mul for mul, _ in irreps} for irreps in (in1, in2)]
    single = all(len(found) == 1 and 0 not in found for found in counts)
    c1, c2 = (counts[0].pop(), counts[1].pop()) if single else (0, 0)
    written = c1 if mode == "uuu" else c1 * c2
    fits = single and (mode == "uv" or c1 == c2) and (out is None or all(mul == written for mul, _ in out))
    if not fits or channels is not None:
        raise RepresentationError(
            f"multiplicities do not fit the mode {mode} of a Gaunt product",
            got={"in1": in1, "in2": in2, "out": out, "channels": channels},
            expected="one multiplicity C throughout"
            if mode == "uuu"
            else "one multiplicity C1 and one C2 in the inputs, C1 C2 in the output",
            fix="use the mode uvw, which mixes channels before and after",
            code="E204",
        )
    return c1, c2, written
