"""Nonlinearities of features: functions on a grid of the sphere, and gates.

On the grid, features are the coefficients of functions f = sum of x_lm Y_lm; a nonlinearity of their values commutes
with rotations, and the projection back to degrees up to lmax does, if integrals are exact. They are exact for
polynomials up to the grid's degree, and SiLU of f is none: what lies above is aliased, so that equivariance is
approximate, better for finer grids. Gates multiply whole irreps, and are exact. In the frame of an edge only turns
about the edge have to commute. (Liao et al., "EquiformerV2", ICLR 2024, section 4.2.)
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.groups import SO
from intertwine.products.gaunt.sphere_grid import SphereGrid
from intertwine.products.so2.edge_frames import EdgeFrameMap
from intertwine.representations import Irreps
from intertwine.representations.actions import IrrepsTensor, Representation
from intertwine.representations.so2 import SO2IrrepsTensor
from intertwine.representations.tables import TableModule
from intertwine.symmetry import Symmetry
from intertwine.systems.equiformer.model.layers import LAYOUT, Dense

__all__ = ["Activation", "GridNetwork", "SphereTransform", "frame_components", "node_components"]


def node_components(lmax: int) -> list[tuple[int, int]]:
    """Return (l, m) of the components of features, in their order."""
    return [(degree, m) for degree in range(lmax + 1) for m in range(-degree, degree + 1)]


def frame_components(lmax: int, mmax: int) -> list[tuple[int, int]]:
    """Return (l, m) of the components of features in the frame of an edge, in the order of `EdgeFrameMap`."""
    signs = [(m, sign) for m in range(mmax + 1) for sign in ((1, -1) if m else (1,))]
    return [(degree, sign * m) for m, sign in signs for degree in range(m, lmax + 1)]


class SphereTransform(TableModule):
    """Coefficients of functions on the sphere to their values on a grid, and back.

    Args:
        components: (l, m) of the coefficients, in their order.
        degree: of the polynomials that the grid integrates exactly; from twice the largest l on, the way back is the
            inverse of the way to.
    """

    to_grid: Tensor
    from_grid: Tensor

    def __init__(self, components: list[tuple[int, int]], degree: int) -> None:
        super().__init__()
        lmax = max(degree for degree, _ in components)
        columns = [place * place + place + m for place, m in components]
        grid = SphereGrid(degree)
        self.add_table("to_grid", grid.values(lmax)[:, columns])
        self.add_table("from_grid", grid.project(lmax)[:, columns].mT.contiguous())

    def values(self, x: Float[Tensor, "*batch components channels"]) -> Float[Tensor, "*batch points channels"]:
        """Return the values of functions on the grid."""
        return self.to_grid @ x

    def coefficients(self, values: Float[Tensor, "*batch points channels"]) -> Float[Tensor, "*batch components c"]:
        """Return the coefficients of functions of these values."""
        return self.from_grid @ values


@final
class Activation(nn.Module):
    """Features with a nonlinearity, steered by invariants that come with them.

    ``separable_s2``: scalars are SiLU of the invariants, higher degrees those of SiLU on the sphere grid.
    ``gate``: scalars are SiLU of the scalars, higher degrees are multiplied by the sigmoid of an invariant each.

    Args:
        kind: one of the two.
        channels: copies of every degree.
        lmax: largest degree.
        mmax: largest |m| where features are in the frame of an edge; None where they are not.
        grid_degree: of the sphere grid.
    """

    degree_of: Tensor

    def __init__(self, kind: str, channels: int, lmax: int, mmax: int | None, grid_degree: int) -> None:
        super().__init__()
        self.kind, self.channels, self.lmax, self.mmax = kind, channels, lmax, mmax
        components = node_components(lmax) if mmax is None else frame_components(lmax, mmax)
        self.num_gates = channels * lmax if kind == "gate" else channels
        """How many invariants a sample brings."""
        if kind == "gate":
            degrees = torch.tensor([degree - 1 for degree, _ in components[1:]])
            self.register_buffer("degree_of", degrees, persistent=False)
        else:
            self.sphere = SphereTransform(components, grid_degree)
        self._irreps = Irreps([(channels, ir) for _, ir in Irreps.spherical_harmonics(lmax)])

    @property
    def symmetry(self) -> Symmetry:
        """SO(3) acts on features by their irreps; in the frame of an edge SO(2) does, the turns about it."""
        if self.mmax is None:
            rep: Representation = IrrepsTensor(self._irreps, LAYOUT)
            return Symmetry(SO(3), inputs={"x": rep}, output=rep)
        rep = SO2IrrepsTensor(EdgeFrameMap(self._irreps, self.mmax, LAYOUT).so2_irreps, LAYOUT)
        return Symmetry(SO(2), inputs={"x": rep}, output=rep)

    def forward(
        self, x: Float[Tensor, "*batch dim"], gates: Float[Tensor, "*batch gates"]
    ) -> Float[Tensor, "*batch dim"]:
        """Return the features after the nonlinearity."""
        blocks = x.unflatten(-1, (-1, self.channels))
        if self.kind == "gate":
            factors = torch.sigmoid(gates).unflatten(-1, (self.lmax, self.channels)).index_select(-2, self.degree_of)
            scalars, rest = nn.functional.silu(blocks[..., :1, :]), blocks[..., 1:, :] * factors
        else:
            scalars = nn.functional.silu(gates).unsqueeze(-2)
            rest = self.sphere.coefficients(nn.functional.silu(self.sphere.values(blocks)))[..., 1:, :]
        return torch.cat([scalars, rest], dim=-2).flatten(-2)


@final
class GridNetwork(nn.Module):
    """A small perceptron on every point of the sphere grid; scalars are SiLU of the invariants beside it.

    Args:
        channels: copies of every degree.
        lmax: largest degree.
        grid_degree: of the sphere grid.
        rng: generator of the initial weights.
    """

    def __init__(self, channels: int, lmax: int, grid_degree: int, rng: torch.Generator | None = None) -> None:
        super().__init__()
        self.channels, self.num_gates = channels, channels
        self.sphere = SphereTransform(node_components(lmax), grid_degree)
        self.maps = nn.ModuleList(Dense(channels, channels, bias=False, rng=rng) for _ in range(3))
        self._irreps = Irreps([(channels, ir) for _, ir in Irreps.spherical_harmonics(lmax)])

    @property
    def symmetry(self) -> Symmetry:
        """SO(3) acts on features by their irreps."""
        rep = IrrepsTensor(self._irreps, LAYOUT)
        return Symmetry(SO(3), inputs={"x": rep}, output=rep)

    def forward(
        self, x: Float[Tensor, "*batch dim"], gates: Float[Tensor, "*batch channels"]
    ) -> Float[Tensor, "*batch dim"]:
        """Return the features after the network."""
        values = self.sphere.values(x.unflatten(-1, (-1, self.channels)))
        for layer in list(self.maps)[:-1]:
            values = nn.functional.silu(layer(values))
        rest = self.sphere.coefficients(self.maps[-1](values))[..., 1:, :]
        return torch.cat([nn.functional.silu(gates).unsqueeze(-2), rest], dim=-2).flatten(-2)
