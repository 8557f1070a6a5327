"""Non-linearities for irreps: gates (scalars multiply the rest) and norm activations."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.errors import RepresentationError
from intertwine.groups import O
from intertwine.nn.activation import NormalizedActivation
from intertwine.representations import Irrep, Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.representations.layout import check_layout, join_blocks, split_blocks
from intertwine.symmetry import Symmetry

__all__ = ["Gate", "NormActivation"]


class Gate(nn.Module):
    """Scalars pass an activation; every other irrep is multiplied by the activation of a scalar of its own.

    Law: gates are even scalars, so a gated irrep keeps its parity; odd scalars need an odd (or even) activation.
    The input holds scalars, then one gate a gated irrep, then the gated irreps: ask `irreps_in`.
    (Weiler et al., NeurIPS 2018.)

    Args:
        irreps_out: what to write; its degree-0 entries are the scalars.
        even, odd: activation of even and odd scalars.
        gate: activation of the gates.
        layout: memory layout of input and output.

    Example:
        >>> Gate("8x0e + 4x1o").irreps_in
        Irreps('8x0e + 4x0e + 4x1o')
    """

    def __init__(
        self,
        irreps_out: "str | Irreps",
        even: str = "silu",
        odd: str = "tanh",
        gate: str = "silu",
        layout: str = "mul_ir",
    ) -> None:
        super().__init__()
        irreps = Irreps(irreps_out)
        self.layout = check_layout(layout)
        scalars = Irreps([entry for entry in irreps if entry.ir.l == 0])
        gated = Irreps([entry for entry in irreps if entry.ir.l > 0])
        gates = Irreps([(sum(entry.mul for entry in gated), Irrep(0, 1))] if gated.entries else [])
        self.irreps_in = scalars + gates + gated
        self.even, self.odd, self.gate = (
            NormalizedActivation(even),
            NormalizedActivation(odd),
            NormalizedActivation(gate),
        )
        if Irrep(0, -1) in scalars and self.odd.parity is None:
            raise RepresentationError(
                f"odd scalars cannot pass {odd}: it is neither an odd nor an even function",
                got=irreps,
                expected="tanh, identity or abs",
            )
        out_parity = self.odd.parity or -1
        self._num_scalars, self._gated = len(scalars), gated
        self._has_gates = bool(gated.entries)
        self.irreps_out = Irreps([(mul, ir if ir.p == 1 else Irrep(0, out_parity)) for mul, ir in scalars]) + gated

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by their irreps."""
        return Symmetry(
            O(3),
            inputs={"x": IrrepsTensor(self.irreps_in, self.layout)},
            output=IrrepsTensor(self.irreps_out, self.layout),
        )

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        """Return the activated scalars and the gated irreps."""
        blocks = split_blocks(x, self.irreps_in, self.layout)
        outputs = [
            (self.even if entry.ir.p == 1 else self.odd)(block)
            for entry, block in zip(self.irreps_in, blocks[: self._num_scalars], strict=False)
        ]
        if self._has_gates:
            gates = self.gate(blocks[self._num_scalars]).split([entry.mul for entry in self._gated], dim=-1)
            outputs += [g * block for g, block in zip(gates, blocks[self._num_scalars + 1 :], strict=True)]
        return join_blocks(outputs, self.layout)


class NormActivation(nn.Module):
    """Every irrep is rescaled by an activation of its own norm: ``x -> x f(|x|) / |x|``.

    Args:
        irreps: irreps of input and output.
        activation: f; it must vanish at zero or the direction of a zero irrep is undefined (it is left zero).
        epsilon: added to the squared norm, which keeps all derivatives finite at zero.
        layout: memory layout.
    """

    def __init__(
        self, irreps: "str | Irreps", activation: str = "silu", epsilon: float = 1e-12, layout: str = "mul_ir"
    ) -> None:
        super().__init__()
        self.irreps_in = self.irreps_out = Irreps(irreps)
        self.layout, self.epsilon = check_layout(layout), epsilon
        self.activation = NormalizedActivation(activation)

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on input and output by the same irreps."""
        rep = IrrepsTensor(self.irreps_in, self.layout)
        return Symmetry(O(3), inputs={"x": rep}, output=rep)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the rescaled irreps."""
        outputs = []
        for block in split_blocks(x, self.irreps_in, self.layout):
            norm = torch.sqrt(block.square().sum(-2, keepdim=True) + self.epsilon)
            outputs.append(block * (self.activation(norm) / norm))
        return join_blocks(outputs, self.layout)
