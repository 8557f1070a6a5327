"""Channel-wise tensor product with per-edge weights: the product of equivariant message passing.

Every channel u of x meets the one set of harmonics y:  z_{p u} = factor * weight_{p u} C_p(x_u, y)  for each path p.
The work is done by `intertwine.kernels.channelwise`: a fused kernel, or its reference.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.kernels import ChannelwisePath, channelwise, pack_paths
from intertwine.products.paths import Path, Problem
from intertwine.representations import Irreps, convert_layout, wigner_3j
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout
from intertwine.symmetry import Symmetry

__all__ = ["ChannelwiseTensorProduct"]


class ChannelwiseTensorProduct(nn.Module):
    """Mode ``uvu`` with one weight a path and channel, given for every sample.

    The output has one entry a path, ordered by input entry, then harmonic, then output irrep; `irreps_out` says which.

    Args:
        irreps_in: irreps of x, with channels.
        irreps_sh: irreps of y, multiplicity 1 each (spherical harmonics).
        filter_out: keep only these output irreps.
        lmax_out: keep only output degrees up to this one.
        layout: memory layout of x and z.

    Raises:
        RepresentationError: if y has multiplicities other than 1, or nothing is left to write.

    Example:
        >>> product = ChannelwiseTensorProduct("4x0e", "0e + 1o")
        >>> product.irreps_out, product.weight_numel
        (Irreps('4x0e + 4x1o'), 8)
    """

    terms: Tensor

    def __init__(
        self,
        irreps_in: "str | Irreps",
        irreps_sh: "str | Irreps",
        filter_out: "str | Irreps | None" = None,
        lmax_out: int | None = None,
        layout: str = "mul_ir",
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_sh = Irreps(irreps_in), Irreps(irreps_sh)
        self.layout = check_layout(layout)
        if any(mul != 1 for mul, _ in self.irreps_sh):
            raise RepresentationError(
                "a channel-wise product takes one harmonic of each kind",
                got=self.irreps_sh,
                expected="multiplicity 1 throughout, such as 0e + 1o + 2e",
                fix="use TensorProduct with paths of mode uvu for several",
            )
        allowed = None if filter_out is None else set(Irreps(filter_out).irreps)
        paths, out = [], []
        for i, a in enumerate(self.irreps_in):
            for j, b in enumerate(self.irreps_sh):
                for ir in sorted(a.ir * b.ir):
                    if (allowed is None or ir in allowed) and (lmax_out is None or ir.l <= lmax_out):
                        paths.append(Path(i, j, len(out), "uvu"))
                        out.append((a.mul, ir))
        if not paths:
            raise RepresentationError(
                "a channel-wise product without any path",
                got={"in": self.irreps_in, "harmonics": self.irreps_sh, "filter": filter_out},
                code="E203",
            )
        self.irreps_out = Irreps(out)
        self.problem = Problem(self.irreps_in, self.irreps_sh, self.irreps_out, tuple(paths))
        self.weight_numel = self.problem.weight_numel
        # kept because a call reads them many times, and each is a sum over entries
        self._dims = (self.irreps_in.dim, self.irreps_sh.dim, self.irreps_out.dim)
        self._paths, terms = pack_paths(self._places())
        self.register_buffer("terms", terms, persistent=False)

    def _places(self) -> list[ChannelwisePath]:
        slices = (self.irreps_in.slices(), self.irreps_sh.slices(), self.irreps_out.slices())
        places, weight = [], 0
        for path in self.problem.paths:
            a, b, c = self.problem.entries(path)
            coupling = wigner_3j(a.ir.l, b.ir.l, c.ir.l, dtype=torch.float64) * self.problem.factor(path)
            starts = (slices[0][path.in1].start, slices[1][path.in2].start, slices[2][path.out].start)
            places.append(ChannelwisePath(*starts, weight, a.mul, coupling))
            weight += a.mul
        return places

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ChannelwiseTensorProduct":
        exact = self.terms
        super()._apply(fn, recurse)
        self.terms = exact.to(self.terms.device)  # couplings stay float64; kernels round them once
        return self

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on x and y by their irreps; the weights are invariant."""
        return Symmetry(
            O(3),
            inputs={
                "x": IrrepsTensor(self.irreps_in, self.layout),
                "y": IrrepsTensor(self.irreps_sh, self.layout),
            },
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def forward(
        self,
        x: Float[Tensor, "batch dim_in"],
        y: Float[Tensor, "batch dim_sh"],
        weight: Float[Tensor, "batch numel"],
    ) -> Float[Tensor, "batch dim_out"]:
        """Return the products of all paths.

        Raises:
            ShapeError: if features, harmonics or weights do not fit.
        """
        return self._run(x, y, weight, None, len(x))

    def gather(
        self,
        features: Float[Tensor, "nodes dim_in"],
        y: Float[Tensor, "edges dim_sh"],
        weight: Float[Tensor, "edges numel"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "nodes dim_out"]:
        """Return, for each node, the sum over the edges that end there of the product with the source's features.

        No message of an edge is kept, neither forward nor backward, where a fused kernel runs.

        Args:
            features: one row a node.
            y: harmonics of each edge.
            weight: weights of each edge.
            edge_index: row 0 the source, row 1 the destination of each edge.

        Raises:
            ShapeError: if features, harmonics, weights or edges do not fit.
        """
        return self._run(features, y, weight, edge_index, edge_index.shape[1])

    def _run(self, x: Tensor, y: Tensor, weight: Tensor, edge_index: Tensor | None, edges: int) -> Tensor:
        dim_in, dim_sh, dim_out = self._dims
        if x.shape[1:] != (dim_in,) or y.shape != (edges, dim_sh) or weight.shape != (edges, self.weight_numel):
            raise ShapeError(
                "a channel-wise product needs features that fit, and one row of harmonics and of weights a sample",
                got={"x": tuple(x.shape), "y": tuple(y.shape), "weight": tuple(weight.shape), "edges": edges},
                expected=f"(batch, {dim_in}), (batch, {dim_sh}), (batch, {self.weight_numel})",
            )
        source, destination = (None, None) if edge_index is None else edge_index
        # the kernel converts rows of its own on the fly; rows of nodes are read many times, so they are converted first
        slow = self.layout == "mul_ir" and edge_index is None
        inside = self.layout if slow else "ir_mul"
        x = convert_layout(x, self.irreps_in, self.layout, inside)
        static = (source, destination, self._paths, self.terms, x.shape[0], dim_out, slow)
        return convert_layout(channelwise(x, y, weight, *static), self.irreps_out, inside, self.layout)
