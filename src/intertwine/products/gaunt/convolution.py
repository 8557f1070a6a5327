"""Gaunt convolution: features times the harmonics of an edge, as functions on the sphere multiplied point by point.

z_lo = w3_lo sum_{li, lf} K(li, lf, lo) C(w1_li x_li, w2_lf Y_lf(r)), Y in ``integral`` normalisation: the product of
f_x with a filter that is zonal about the edge. Channels stay apart; each edge and channel has weights of its own, one
for each degree of the input, of the filter and of the output, so that they cost nothing. In the frame of the edge the
filter depends on beta alone, and every m is multiplied on its own. (Luo, Chen, Krishnapriyan, ICLR 2024.)
"""

from math import pi
from typing import Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.gaunt.coupling_constants import gaunt_constant
from intertwine.products.gaunt.grid import GauntGrid
from intertwine.products.gaunt.sphere_product import value_parity
from intertwine.products.gaunt.zonal_product import ZonalProduct
from intertwine.products.so2.convolution import SO2Convolution
from intertwine.products.so2.edge_frames import EdgeFrame
from intertwine.representations import Irrep, Irreps, SphericalHarmonics
from intertwine.representations.actions import IrrepsTensor, Vector
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = ["ConvolutionVariant", "GauntConvolution"]

ConvolutionVariant = Literal["direct", "rotated_grid", "rotated_fourier", "so2", "so2_full"]


@final
class GauntConvolution(TableModule):
    """A convolution of features with an edge, up to rounding the same in four ways, and a fifth without restriction.

    ``direct`` multiplies on a grid of the sphere. The others turn the edge onto the axis first: ``rotated_grid``
    multiplies on rings, ``rotated_fourier`` convolves Fourier series in beta, ``so2`` forms the real SO(2) weights.
    ``so2_full`` is the convolution of eSCN: all Clebsch-Gordan paths, odd ones too, and a weight for each; without
    unnatural outputs or with equal weights it is no Gaunt convolution.

    Args:
        irreps_in: irreps of the features, one multiplicity C throughout, each irrep once, parity p (-1)^l with one p.
        lmax_filter: largest degree of the harmonics of the edge.
        irreps_out: what to write, each irrep once with multiplicity C; None writes everything up to ``lmax_out``.
        lmax_out: largest degree of the output, by default that of the input and the filter together.
        variant: which way.
        layout: memory layout of features and outputs.
        normalization: ``integral`` is the plain projection; ``component`` divides every output by its spread for
            standard normal features, unit weights and random directions.

    Raises:
        RepresentationError: if irreps do not fit together or an output cannot be written; the variant, the layout or
            the normalization is unknown.

    Example:
        >>> convolution = GauntConvolution("4x0e + 4x1o", 1)
        >>> convolution.irreps_out, convolution.weight_numel
        (Irreps('4x0e + 4x1o + 4x2e'), 28)
    """

    scales: Tensor
    constants: Tensor
    path_weights: Tensor
    core: GauntGrid | ZonalProduct | SO2Convolution
    harmonics: SphericalHarmonics
    weight_numel: int
    """Number of weights of an edge, channels fast; of ``so2_full`` those of the paths of `SO2Convolution`."""

    def __init__(
        self,
        irreps_in: "str | Irreps",
        lmax_filter: int,
        irreps_out: "str | Irreps | None" = None,
        lmax_out: int | None = None,
        variant: ConvolutionVariant = "rotated_grid",
        layout: str = "ir_mul",
        normalization: Literal["integral", "component"] = "integral",
    ) -> None:
        super().__init__()
        if variant not in get_args(ConvolutionVariant):
            raise RepresentationError(
                "there is no such variant of a Gaunt convolution",
                got=variant,
                expected=", ".join(get_args(ConvolutionVariant)),
            )
        if normalization not in ("integral", "component"):
            raise RepresentationError(
                "a Gaunt convolution has no such normalization", got=normalization, expected="integral or component"
            )
        self.irreps_in, self.lmax_filter, self.variant = Irreps(irreps_in), lmax_filter, variant
        self.layout = check_layout(layout)
        self.channels = _one_multiplicity(self.irreps_in)
        variances = self._variances()
        if irreps_out is None:
            irreps_out = Irreps([(self.channels, ir) for ir in sorted(variances)]).filter(lmax=lmax_out)
        self.irreps_out = Irreps(irreps_out)
        missing = [str(ir) for ir in self.irreps_out.irreps if ir not in variances]
        if missing or not len(self.irreps_out) or _one_multiplicity(self.irreps_out) != self.channels:
            raise RepresentationError(
                f"a Gaunt convolution ({variant}) cannot write {', '.join(missing) or 'these irreps'}",
                got={"in": self.irreps_in, "lmax_filter": lmax_filter, "out": self.irreps_out},
                expected=f"out within {Irreps([(self.channels, ir) for ir in sorted(variances)])}",
                fix="odd couplings need the variant so2_full",
                code="E203",
            )
        single = [Irreps([(1, ir) for ir in irreps.irreps]) for irreps in (self.irreps_in, self.irreps_out)]
        harmonics = Irreps.spherical_harmonics(lmax_filter)
        if variant == "direct":
            self.harmonics = SphericalHarmonics(range(lmax_filter + 1), normalization="integral")
            self.core = GauntGrid(single[0], harmonics, single[1])
        elif variant in ("rotated_grid", "rotated_fourier"):
            way = "grid" if variant == "rotated_grid" else "fourier"
            self.core = ZonalProduct(self.irreps_in, lmax_filter, self.irreps_out, way)
        else:
            self.core = SO2Convolution(
                self.irreps_in, harmonics, single[1], layout="ir_mul", normalization="integral", sum_paths=True
            )
            self._add_paths(self.core)
        scales = [1.0 if normalization == "integral" else variances[ir] ** -0.5 for ir in self.irreps_out.irreps]
        self.add_table("scales", torch.tensor(scales, dtype=torch.float64))
        self.counts = (len(self.irreps_in), lmax_filter + 1, len(self.irreps_out))
        """How many degrees of the input, the filter and the output have weights, in the order of the weights."""
        self.weight_numel = sum(self.counts) * self.channels
        if variant == "so2_full" and isinstance(self.core, SO2Convolution):
            self.weight_numel = self.core.weight_numel

    def _variances(self) -> dict[Irrep, float]:
        """For every irrep that can be written, the variance of its components that `normalization` speaks of."""
        full = self.variant == "so2_full"
        parity = 1 if full else value_parity(self.irreps_in, "gaunt_convolution")
        found: dict[Irrep, float] = {}
        for a in self.irreps_in.irreps:
            for degree in range(self.lmax_filter + 1):
                for ir in a * Irrep(degree, (-1) ** degree):
                    size = 1.0 if full else gaunt_constant(a.l, degree, ir.l) / ir.dim**0.5
                    if full or (size > 0 and ir.p == parity * (-1) ** ir.l):
                        found[ir] = found.get(ir, 0.0) + size**2 / (4 * pi)
        return found

    def _add_paths(self, core: SO2Convolution) -> None:
        """Note for each path which of the three weights it takes, and its constant."""
        places = {ir: place for place, ir in enumerate(self.irreps_out.irreps)}
        first, second, third, constants = [], [], [], []
        for path in core.problem.paths:
            a, b, c = core.problem.entries(path)
            first.append(path.in1)
            second.append(len(self.irreps_in) + b.ir.l)
            third.append(len(self.irreps_in) + self.lmax_filter + 1 + places[c.ir])
            constants.append(gaunt_constant(a.ir.l, b.ir.l, c.ir.l) / core.problem.factor(path))
        self.add_table("constants", torch.tensor(constants, dtype=torch.float64)[:, None])
        self.register_buffer("path_weights", torch.tensor([first, second, third]), persistent=False)
        self._sources = [
            [n for n, found in enumerate(core.irreps_out.irreps) if found == ir] for ir in self.irreps_out.irreps
        ]

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on x by its irreps and turns the vectors; the weights are invariant."""
        return Symmetry(
            O(3),
            inputs={"x": IrrepsTensor(self.irreps_in, self.layout), "y": Vector()},
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def forward(
        self,
        x: Float[Tensor, "edges dim_in"],
        y: "Float[Tensor, 'edges 3'] | EdgeFrame",
        weight: Float[Tensor, "edges numel"] | None = None,
    ) -> Float[Tensor, "edges dim_out"]:
        """Return the convolution.

        Args:
            x: features, one row an edge.
            y: vectors of the edges, or (for variants that turn the edge) their frames, which layers can share. A vector
                of length zero counts by its scalar harmonic alone.
            weight: one row an edge; ones if None.

        Raises:
            ShapeError: if features, vectors or weights do not fit.
            RepresentationError: if the frames have too few degrees, or ``direct`` is given frames.
        """
        w = x.new_ones((x.shape[0], self.weight_numel)) if weight is None else weight
        if x.shape[1:] != (self.irreps_in.dim,) or w.shape != (x.shape[0], self.weight_numel):
            raise ShapeError(
                "a Gaunt convolution needs one row of features and of weights an edge",
                got={"x": tuple(x.shape), "weight": tuple(w.shape)},
                expected=f"(edges, {self.irreps_in.dim}) for {self.irreps_in}, (edges, {self.weight_numel})",
            )
        blocks = split_blocks(x, self.irreps_in, self.layout)
        w = w.unflatten(-1, (-1, self.channels))
        if isinstance(self.core, SO2Convolution):
            outputs = self._by_paths(self.core, join_blocks(blocks, "ir_mul"), y, w)
        else:
            outputs = self._by_functions(blocks, y, w)
        scales = self.scales.unbind()
        return join_blocks([z * s for z, s in zip(outputs, scales, strict=True)], self.layout)

    def _by_paths(self, core: SO2Convolution, x: Tensor, y: "Tensor | EdgeFrame", weight: Tensor) -> list[Tensor]:
        if self.variant == "so2":
            parts = [weight.index_select(-2, rows) for rows in self.path_weights.unbind()]
            weight = parts[0] * parts[1] * parts[2] * self.constants
        blocks = core.blocks(x, y, weight.flatten(-2))
        return [torch.stack([blocks[n] for n in found]).sum(0) for found in self._sources]

    def _by_functions(self, blocks: list[Tensor], y: "Tensor | EdgeFrame", weight: Tensor) -> list[Tensor]:
        first, second, third = weight.split(self.counts, dim=-2)
        blocks = [block * w for block, w in zip(blocks, first.split(1, dim=-2), strict=True)]
        if isinstance(self.core, ZonalProduct):
            outputs = self.core(blocks, y, second)
        elif isinstance(y, EdgeFrame) or not isinstance(self.core, GauntGrid):
            raise RepresentationError(
                "the variant direct needs vectors, not frames", got="frames", expected="(edges, 3)"
            )
        else:
            filters = self._spread(second) * self.harmonics(y).unsqueeze(-1)
            product = self.core.channels_last(torch.cat(blocks, dim=-2), filters)
            outputs = product.split([ir.dim for ir in self.irreps_out.irreps], dim=-2)
        return [z * w for z, w in zip(outputs, third.split(1, dim=-2), strict=True)]

    def _spread(self, weight: Tensor) -> Tensor:
        """Repeat the weight of every degree of the filter for its components."""
        parts = weight.split(1, dim=-2)
        return torch.cat([part.expand(-1, 2 * degree + 1, -1) for degree, part in enumerate(parts)], dim=-2)


def _one_multiplicity(irreps: Irreps) -> int:
    multiplicities = {mul for mul, _ in irreps}
    if len(multiplicities) != 1 or len(set(irreps.irreps)) != len(irreps):
        raise RepresentationError(
            "a Gaunt convolution takes each irrep once, all with one multiplicity",
            got=irreps,
            expected="such as 8x0e + 8x1o + 8x2e",
            code="E204",
        )
    return multiplicities.pop()
