"""Linear maps, normalisation and small networks that the parts of EquiformerV2 are made of.

Features have the layout ``ir_mul`` and equally many channels of every degree from 0 to lmax. Weights are standard
normal and divided at use by the square root of the incoming channels; the optimiser's settings account for that (see
`intertwine.systems.equiformer.training`).
"""

from itertools import pairwise
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import SO
from intertwine.nn import IrrepsNorm, Linear
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor
from intertwine.symmetry import Symmetry

__all__ = ["LAYOUT", "Dense", "EdgeNetwork", "IrrepsLinear", "SeparateNorm", "features", "make_norm"]

LAYOUT = "ir_mul"


def features(channels: int, lmax: int, lmin: int = 0) -> Irreps:
    """Return the irreps of features: ``channels`` of every degree from ``lmin`` to ``lmax``, of natural parity.

    The network mixes parities, so those written here play no part.
    """
    return Irreps([(channels, ir) for _, ir in Irreps.spherical_harmonics(lmax) if ir.l >= lmin])


@final
class Dense(nn.Module):
    """Affine map of invariants; the bias is zero at first.

    Args:
        size_in, size_out: widths.
        bias: whether there is one.
        rng: generator of the initial weights.
    """

    def __init__(self, size_in: int, size_out: int, bias: bool = True, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size_in, size_out, generator=rng))
        self.bias = nn.Parameter(torch.zeros(size_out)) if bias else None

    def forward(self, x: Float[Tensor, "*batch size_in"]) -> Float[Tensor, "*batch size_out"]:
        """Return the mapped values."""
        y = x @ (self.weight * self.weight.shape[0] ** -0.5)
        return y if self.bias is None else y + self.bias


@final
class EdgeNetwork(nn.Module):
    """Perceptron of an edge's invariants: affine, layer norm, SiLU; the last map is affine only.

    Args:
        sizes: widths from input to output.
        rng: generator of the initial weights.
    """

    def __init__(self, sizes: list[int], rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.maps = nn.ModuleList(Dense(a, b, rng=rng) for a, b in pairwise(sizes))
        self.norms = nn.ModuleList(nn.LayerNorm(size) for size in sizes[1:-1])

    def forward(self, x: Float[Tensor, "edges size_in"]) -> Float[Tensor, "edges size_out"]:
        """Return one row an edge."""
        for layer, norm in zip(self.maps, self.norms, strict=False):
            x = nn.functional.silu(norm(layer(x)))
        return self.maps[-1](x)


@final
class IrrepsLinear(nn.Module):
    """A linear map of channels, degree by degree, with a bias on scalars where there are some.

    Args:
        irreps_in, irreps_out: irreps; every irrep of the output must be in the input, scalars come first.
        rng: generator of the initial weights.
    """

    def __init__(self, irreps_in: Irreps, irreps_out: Irreps, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.linear = Linear(irreps_in, irreps_out, LAYOUT, rng)
        self.irreps_in, self.irreps_out = self.linear.irreps_in, self.linear.irreps_out
        scalars = self.irreps_out.count("0e")
        self.bias = nn.Parameter(torch.zeros(scalars)) if scalars else None

    @property
    def symmetry(self) -> Symmetry:
        """SO(3) acts on input and output by their irreps."""
        return self.linear.symmetry.restrict(SO(3))

    def forward(self, x: Float[Tensor, "*batch dim_in"]) -> Float[Tensor, "*batch dim_out"]:
        """Return the mixed channels."""
        y = self.linear(x)
        if self.bias is None:
            return y
        return y + nn.functional.pad(self.bias, (0, y.shape[-1] - self.bias.shape[0]))


@final
class SeparateNorm(nn.Module):
    """Layer norm of the scalars; higher degrees are divided by one size, in which every degree has the same share.

    Law: only norms of irreps enter. This is ``layer_norm_sh`` of EquiformerV2 (Liao et al., ICLR 2024, section 4.3).

    Args:
        irreps: irreps of input and output, scalars first.
        epsilon: added to the mean square.
    """

    def __init__(self, irreps: Irreps, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.irreps_in = self.irreps_out = irreps
        self.channels, self.epsilon = irreps[0].mul, epsilon
        self.scalars = nn.LayerNorm(self.channels, eps=epsilon)
        self.scale = nn.Parameter(torch.ones(len(irreps) - 1, self.channels))
        self._dims = [entry.ir.dim for entry in irreps][1:]

    @property
    def symmetry(self) -> Symmetry:
        """SO(3) acts on input and output by the same irreps."""
        rep = IrrepsTensor(self.irreps_in, LAYOUT)
        return Symmetry(SO(3), inputs={"x": rep}, output=rep)

    def forward(self, x: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Return the normalised features."""
        scalars, rest = x.split([self.channels, x.shape[-1] - self.channels], dim=-1)
        blocks = rest.unflatten(-1, (-1, self.channels)).split(self._dims, dim=-2)
        square = torch.stack([block.square().mean((-2, -1)) for block in blocks]).mean(0)
        size = torch.rsqrt(square + self.epsilon)[..., None, None]
        scaled = [block * (size * scale) for block, scale in zip(blocks, self.scale, strict=True)]
        return torch.cat([self.scalars(scalars), torch.cat(scaled, dim=-2).flatten(-2)], dim=-1)


def make_norm(kind: str, irreps: Irreps) -> nn.Module:
    """Return the normalisation that `ModelSettings.norm` names."""
    return SeparateNorm(irreps) if kind == "separate" else IrrepsNorm(irreps, over="all", layout=LAYOUT)
