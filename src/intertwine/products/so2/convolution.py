"""Convolutions with an edge in the SO(2) form of eSCN: turn the edge onto the polar axis, and m couples to +-m only.

`SO2Convolution` is the channel-wise Clebsch-Gordan product with the harmonics of the edge, path for path the same
numbers as `ChannelwiseTensorProduct`. `SO2Linear` is the general layer that mixes channels and degrees in the frame
(EquiformerV2). `so2_from_paths` and `paths_from_so2` translate the weights of one into those of the other.
(Passaro and Zitnick, ICML 2023; Liao, Wood, Das, Smidt, ICLR 2024.)
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.channelwise import ChannelwiseTensorProduct
from intertwine.products.so2.edge_frames import EdgeFrame, EdgeFrames, check_degrees, kept_rows
from intertwine.products.so2.linear import SO2Linear, SO2LinearConvolution
from intertwine.products.so2.paths import (
    axis_harmonic,
    axis_slice,
    paths_from_so2,
    so2_from_paths,
    so2_matrix,
)
from intertwine.representations import Irrep, Irreps
from intertwine.representations.actions import IrrepsTensor, Vector
from intertwine.representations.layout import join_blocks, split_blocks
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = [
    "SO2Convolution",
    "SO2Linear",
    "SO2LinearConvolution",
    "paths_from_so2",
    "so2_from_paths",
    "so2_matrix",
]


@final
class SO2Convolution(TableModule):
    """The channel-wise product of features with the harmonics of an edge, computed in the frame of the edge.

    It takes the edge vector where `ChannelwiseTensorProduct` takes harmonics, and gives the same output from the same
    weights, numbered alike: one weight a path and channel, for every sample. A vector of length zero counts as it does
    there, by its scalar harmonic alone.

    Args:
        irreps_in: irreps of x, with channels.
        irreps_sh: the harmonics of the edge that are meant, multiplicity 1 and natural parity each.
        filter_out: keep only these output irreps.
        lmax_out: keep only output degrees up to this one.
        layout: memory layout of x and z.
        normalization: of the harmonics that are meant, ``component``, ``integral`` or ``norm``.
        sum_paths: add up the paths that join the same input entry to the same output irrep before turning back. The
            output then has one entry for each such pair, and the SO(2) form saves most.

    Raises:
        RepresentationError: if the harmonics are not those of a vector, or nothing is left to write.

    Example:
        >>> convolution = SO2Convolution("4x0e", "0e + 1o")
        >>> convolution.irreps_out, convolution.weight_numel
        (Irreps('4x0e + 4x1o'), 8)
    """

    of_scalar: Tensor

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_sh: "str | Irreps",
        filter_out: "str | Irreps | None" = None,
        lmax_out: int | None = None,
        layout: str = "ir_mul",
        normalization: str = "component",
        sum_paths: bool = False,
    ) -> None:
        super().__init__()
        meant = ChannelwiseTensorProduct(irreps_in, irreps_sh, filter_out, lmax_out, layout)
        self.irreps_in, self.irreps_sh, self.layout = meant.irreps_in, meant.irreps_sh, meant.layout
        self.problem, self.weight_numel = meant.problem, meant.weight_numel
        self.normalization, self.sum_paths = normalization, sum_paths
        if not all(ir.natural for ir in self.irreps_sh.irreps):
            raise RepresentationError(
                "the harmonics of an edge have natural parity",
                got=self.irreps_sh,
                expected="parity (-1)^l throughout, such as 0e + 1o + 2e",
                fix="use ChannelwiseTensorProduct for other parities",
            )
        paths = self.problem.paths
        groups: dict[tuple[int, Irrep], list[int]] = {}
        for number, path in enumerate(paths):
            groups.setdefault((path.in1, meant.irreps_out[path.out].ir), []).append(number)
        groups = dict(sorted(groups.items()))
        self._groups = [(entry, ir.l, numbers) for (entry, ir), numbers in groups.items()]
        summed = Irreps([(self.irreps_in[entry].mul, ir) for entry, ir in groups])
        self.irreps_out = summed if sum_paths else meant.irreps_out
        self.frames = EdgeFrames(max(self.irreps_in.lmax, self.irreps_out.lmax))
        for place, group in enumerate(self._groups):
            self.add_table(f"slices_{place}", self._table(*group))
        self._counts = [self.irreps_in[path.in1].mul for path in paths]
        scalar = [
            float(self.irreps_sh[path.in2].ir.l == 0)
            for path, count in zip(paths, self._counts, strict=True)
            for _ in range(count)
        ]
        self.add_table("of_scalar", torch.tensor(scalar, dtype=torch.float64))

    def _table(self, entry: int, l_out: int, numbers: list[int]) -> Tensor:
        """What each path of a group does to each component |m| <= min(l_in, l_out), with all its constants."""
        columns = []
        for number in numbers:
            path = self.problem.paths[number]
            degree = self.irreps_sh[path.in2].ir.l
            constant = self.problem.factor(path) * axis_harmonic(degree, self.normalization)
            columns.append(axis_slice(self.irreps_in[entry].ir.l, degree, l_out) * constant)
        return torch.stack(columns, dim=-1)

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
        weight: Float[Tensor, "edges numel"],
    ) -> Float[Tensor, "edges dim_out"]:
        """Return the convolution.

        Args:
            x: features, one row an edge.
            y: vectors of the edges, or their frames from `EdgeFrames`, which several layers can share.
            weight: one row an edge.

        Raises:
            ShapeError: if features, vectors or weights do not fit.
            RepresentationError: if the frames have too few degrees.
        """
        return join_blocks(self.blocks(x, y, weight), self.layout)

    def blocks(
        self,
        x: Float[Tensor, "edges dim_in"],
        y: "Float[Tensor, 'edges 3'] | EdgeFrame",
        weight: Float[Tensor, "edges numel"],
    ) -> list[Float[Tensor, "edges _ _"]]:
        """Return each output entry as a block (component, channel); arguments and errors as in `forward`."""
        frame = y if isinstance(y, EdgeFrame) else self.frames(y)
        check_degrees(frame, self.frames.lmax)
        edges = frame.present.shape
        if weight.shape != (*edges, self.weight_numel) or x.shape[:-1] != edges:
            raise ShapeError(
                "a convolution needs one row of features, one vector and one row of weights an edge",
                got={"x": tuple(x.shape), "edges": tuple(edges), "weight": tuple(weight.shape)},
                expected=f"(edges, {self.irreps_in.dim}), (edges, 3), (edges, {self.weight_numel})",
            )
        # without a direction only the scalar harmonic is left
        weight = weight * torch.where(frame.present.unsqueeze(-1) > 0, torch.ones_like(self.of_scalar), self.of_scalar)
        weights = weight.split(self._counts, dim=-1)
        seen = [
            kept_rows(frame.matrices, entry.ir.l, self.irreps_out.lmax) @ block
            for entry, block in zip(self.irreps_in, split_blocks(x, self.irreps_in, self.layout), strict=True)
        ]
        outputs: list[Tensor] = [x] * len(self.irreps_out)
        for place, (entry, l_out, numbers) in enumerate(self._groups):
            reach = min(self.irreps_in[entry].ir.l, l_out)
            rows = seen[entry].narrow(-2, seen[entry].shape[-2] // 2 - reach, 2 * reach + 1)
            if self._is_odd(place):
                rows = rows.flip(-2)
            table = getattr(self, f"slices_{place}")
            back = kept_rows(frame.matrices, l_out, reach).mT
            w = torch.stack([weights[number] for number in numbers], dim=-2)
            if self.sum_paths:
                outputs[place] = back @ (rows * (table @ w))
                continue
            parts = rows.unsqueeze(-2) * table.unsqueeze(-1) * w.unsqueeze(-3)
            turned = (back @ parts.flatten(-2)).split(w.shape[-1], dim=-1)
            for number, part in zip(numbers, turned, strict=True):
                outputs[self.problem.paths[number].out] = part
        return outputs

    def _is_odd(self, place: int) -> bool:
        entry, l_out, numbers = self._groups[place]
        degree = self.irreps_sh[self.problem.paths[numbers[0]].in2].ir.l
        return (self.irreps_in[entry].ir.l + degree + l_out) % 2 == 1
