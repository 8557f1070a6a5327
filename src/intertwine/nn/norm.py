"""Normalisation of irreps features that commutes with O(3): a sample is divided by the size of its own irreps."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError
from intertwine.groups import O
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.symmetry import Symmetry

__all__ = ["IrrepsNorm"]


class IrrepsNorm(nn.Module):
    """Divide by the root mean square over channels, per irrep entry or over all of them, and scale each channel.

    Law: only norms of irreps enter, and even scalars may be centred first, so the map is equivariant.

    Args:
        irreps: irreps of input and output.
        over: ``entry`` (every entry by its own size; as in Equiformer, Liao and Smidt 2023) or ``all`` (one size a
            sample, every degree with the same share; as ``rms_norm_sh`` of EquiformerV2).
        centre: subtract the channel mean of the even scalars.
        epsilon: added to the mean square.
        layout: memory layout.
    """

    def __init__(
        self,
        irreps: "str | Irreps",
        over: str = "entry",
        centre: bool = True,
        epsilon: float = 1e-5,
        layout: str = "mul_ir",
    ) -> None:
        super().__init__()
        if over not in ("entry", "all"):
            raise RepresentationError("unknown extent of an irreps norm", got=over, expected="entry or all")
        self.irreps_in = self.irreps_out = Irreps(irreps)
        self.over, self.centre, self.epsilon, self.layout = over, centre, epsilon, check_layout(layout)
        self.scale = nn.Parameter(torch.ones(self.irreps_in.num_irreps))
        self.shift = nn.Parameter(torch.zeros(self.irreps_in.count("0e")))

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by the same irreps."""
        rep = IrrepsTensor(self.irreps_in, self.layout)
        return Symmetry(O(3), inputs={"x": rep}, output=rep)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the normalised features."""
        blocks = split_blocks(x, self.irreps_in, self.layout)
        invariant = [entry.ir.l == 0 and entry.ir.p == 1 for entry in self.irreps_in]
        if self.centre:
            blocks = [b - b.mean(-1, keepdim=True) if inv else b for b, inv in zip(blocks, invariant, strict=True)]
        squares = [block.square().mean((-2, -1), keepdim=True) for block in blocks]
        if self.over == "all":
            squares = [torch.stack(squares).mean(0)] * len(squares)
        scales = self.scale.split([entry.mul for entry in self.irreps_in])
        shifts = iter(self.shift.split([e.mul for e, inv in zip(self.irreps_in, invariant, strict=True) if inv]))
        outputs = []
        for block, square, scale, inv in zip(blocks, squares, scales, invariant, strict=True):
            normed = block * (torch.rsqrt(square + self.epsilon) * scale)
            outputs.append(normed + next(shifts) if inv else normed)
        return join_blocks(outputs, self.layout)
