"""Parts that the MACE-type and the NequIP-type network share: edges, convolution, readout.

Features have the layout ``ir_mul`` throughout.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.groups import O
from intertwine.nn import (
    BesselBasis,
    Linear,
    NormalizedActivation,
    PolynomialCutoff,
    RadialNetwork,
    message_passing,
)
from intertwine.products import EdgeFrame, EdgeFrames
from intertwine.representations import Irreps, SphericalHarmonics
from intertwine.representations.actions import Invariant, IrrepsTensor, Vector
from intertwine.symmetry import Symmetry
from intertwine.systems.potential.model.products import LAYOUT, edge_product, needs_frames
from intertwine.systems.potential.settings import ModelSettings

__all__ = ["LAYOUT", "Convolution", "EdgeEmbedding", "Readout"]


class EdgeEmbedding(nn.Module):
    """What a convolution knows of an edge: its harmonics or its frame, and radial functions of its length."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.irreps_sh = Irreps.spherical_harmonics(settings.harmonics_lmax)
        self.harmonics = SphericalHarmonics(self.irreps_sh, normalize=False, normalization="component")
        self.basis = BesselBasis(settings.cutoff, settings.radial_size)
        self.envelope = PolynomialCutoff(settings.cutoff, settings.radial_power)
        framed = needs_frames(settings.product, settings.architecture)
        self.frames = EdgeFrames(max(settings.hidden_lmax, settings.harmonics_lmax)) if framed else None

    @property
    def symmetry(self) -> Symmetry:
        """Vectors in; irreps and invariants out."""
        return Symmetry(
            O(3),
            inputs={"vectors": Vector()},
            output={"harmonics": IrrepsTensor(self.irreps_sh), "radial": Invariant()},
        )

    def forward(self, vectors: Float[Tensor, "edges 3"]) -> dict[str, Tensor]:
        """Return ``harmonics`` (edges, dim) and ``radial`` (edges, size)."""
        # no edge has length zero (the neighbour list refuses coincident atoms), so the root is smooth
        distance = vectors.square().sum(-1).sqrt()
        return {
            "harmonics": self.harmonics(vectors / distance.unsqueeze(-1)),
            "radial": self.basis(distance) * self.envelope(distance).unsqueeze(-1),
        }

    def attributes(
        self, vectors: Float[Tensor, "edges 3"], harmonics: Float[Tensor, "edges dim"]
    ) -> Tensor | EdgeFrame:
        """Return what the product of the convolution takes: the harmonics, or the frames of the edges."""
        return harmonics if self.frames is None else self.frames(vectors)


class Convolution(nn.Module):
    """Linear, channel-wise product with learned radial weights, sum over neighbours, linear.

    Args:
        irreps_in: irreps of the nodes.
        irreps_sh: irreps of the harmonics.
        irreps_out: irreps to write; those that cannot be reached are left out (see the attribute).
        settings: sizes of the radial network.
        norm: what the sum over neighbours is divided by.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_sh: Irreps,
        irreps_out: Irreps,
        settings: ModelSettings,
        norm: float,
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.irreps_in, self.irreps_sh, self.norm = irreps_in, irreps_sh, norm
        self.mix_in = Linear(irreps_in, irreps_in, LAYOUT, rng)
        self.product = edge_product(settings.product, settings.architecture, irreps_in, irreps_sh, irreps_out)
        widths = [settings.radial_size, *settings.radial_widths, self.product.weight_numel]
        self.radial = RadialNetwork(widths, rng)
        self.irreps_out = irreps_out.filter(self.product.irreps_out)
        self.mix_out = Linear(self.product.irreps_out, self.irreps_out, LAYOUT, rng)

    @property
    def symmetry(self) -> Symmetry:
        """O(3) acts on nodes and harmonics by their irreps (frames of edges turn in their own way)."""
        return Symmetry(
            O(3),
            inputs={
                "features": IrrepsTensor(self.irreps_in, LAYOUT),
                "attributes": IrrepsTensor(self.irreps_sh),
            },
            output=IrrepsTensor(self.irreps_out, LAYOUT),
        )

    def forward(
        self,
        features: Float[Tensor, "atoms dim_in"],
        attributes: "Float[Tensor, 'edges dim_sh'] | EdgeFrame",
        radial: Float[Tensor, "edges size"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, "atoms dim_out"]:
        """Return what each atom gathers from its neighbours."""
        messages = message_passing(self.product, self.mix_in(features), attributes, self.radial(radial), edge_index)
        return self.mix_out(messages) * (1 / self.norm)


class Readout(nn.Module):
    """Invariant energy of an atom from its scalars: linear, or through one hidden layer."""

    def __init__(self, irreps_in: Irreps, width: int | None, rng: torch.Generator | None) -> None:
        super().__init__()
        self.irreps_in = irreps_in
        if width is None:
            self.first, self.last = None, Linear(irreps_in, "1x0e", LAYOUT, rng)
        else:
            self.first = Linear(irreps_in, f"{width}x0e", LAYOUT, rng)
            self.activation = NormalizedActivation("silu")
            self.last = Linear(f"{width}x0e", "1x0e", LAYOUT, rng)

    @property
    def symmetry(self) -> Symmetry:
        """Irreps in, an invariant out."""
        return Symmetry(O(3), inputs={"features": IrrepsTensor(self.irreps_in, LAYOUT)}, output=Invariant())

    def forward(self, features: Float[Tensor, "atoms dim"]) -> Float[Tensor, " atoms"]:
        """Return one number an atom."""
        if self.first is not None:
            features = self.activation(self.first(features))
        return self.last(features).squeeze(-1)
