"""Channel-wise tensor product with per-edge weights: the product of equivariant message passing.

Every channel u of x meets the one set of harmonics y:  z_{p u} = factor * weight_{p u} C_p(x_u, y)  for each path p.
Per input entry, the couplings of all its paths with y are gathered into one small matrix an edge, which then
multiplies all channels at once; the per-channel weights come last. This is the reference path.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.errors import RepresentationError, ShapeError
from intertwine.groups import O
from intertwine.products.paths import Path, Problem
from intertwine.representations import Irreps, wigner_3j
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry

__all__ = ["ChannelwiseTensorProduct"]


class ChannelwiseTensorProduct(TableModule):
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
        # an input entry without paths has no table
        self._dims = [[self.irreps_out[p.out].ir.dim for p in paths if p.in1 == i] for i in range(len(self.irreps_in))]
        for i, dims in enumerate(self._dims):
            if dims:
                self.add_table(f"couplings_{i}", self._table(i))

    def _table(self, entry: int) -> Tensor:
        """All couplings of one input entry: (harmonic component, path component, input component)."""
        columns = []
        offsets = self.irreps_sh.slices()
        dim = self.irreps_in[entry].ir.dim
        for path in (p for p in self.problem.paths if p.in1 == entry):
            a, b, c = self.problem.entries(path)
            block = torch.zeros(self.irreps_sh.dim, c.ir.dim, dim, dtype=torch.float64)
            coupling = wigner_3j(a.ir.l, b.ir.l, c.ir.l, dtype=torch.float64) * self.problem.factor(path)
            block[offsets[path.in2]] = coupling.permute(1, 2, 0)
            columns.append(block)
        return torch.cat(columns, dim=1).flatten(1)

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
        return join_blocks(self.blocks(x, y, weight), self.layout)

    def blocks(
        self,
        x: Float[Tensor, "batch dim_in"],
        y: Float[Tensor, "batch dim_sh"],
        weight: Float[Tensor, "batch numel"],
    ) -> list[Float[Tensor, "batch _ _"]]:
        """Return the product of each path as a block (component, channel); arguments and errors as in `forward`.

        A sum over edges takes the blocks one by one: joining them first would move every message once more, and the
        second derivative of joining fills a whole array of zeros for every path.
        """
        if weight.shape != (*x.shape[:-1], self.weight_numel) or y.shape != (*x.shape[:-1], self.irreps_sh.dim):
            raise ShapeError(
                "a channel-wise product needs one row of harmonics and of weights a sample",
                got={"x": tuple(x.shape), "y": tuple(y.shape), "weight": tuple(weight.shape)},
                expected=f"(batch, {self.irreps_in.dim}), (batch, {self.irreps_sh.dim}), (batch, {self.weight_numel})",
            )
        counts = [len(dims) * entry.mul for dims, entry in zip(self._dims, self.irreps_in, strict=True)]
        outputs: list[Tensor] = []
        for i, (block, part) in enumerate(
            zip(split_blocks(x, self.irreps_in, self.layout), weight.split(counts, dim=-1), strict=True)
        ):
            dims, channels = self._dims[i], self.irreps_in[i].mul
            if not dims:
                continue
            matrix = (y @ getattr(self, f"couplings_{i}")).unflatten(-1, (sum(dims), -1))
            products = matrix @ block if block.shape[-2] > 1 else matrix * block
            weights = part.unflatten(-1, (len(dims), channels)).split(1, dim=-2)
            outputs += [z * w for z, w in zip(products.split(dims, dim=-2), weights, strict=True)]
        return outputs
