"""MACE-type network: few layers, each building many-body features by symmetric contraction.

Batatia, Kovacs, Simm, Ortner, Csanyi, "MACE: higher order equivariant message passing neural networks", NeurIPS 2022;
settings of the 3BPA experiment as in Luo, Chen, Krishnapriyan, ICLR 2024. Differences from the published code, all of
them so that features start with unit variance: species are embedded with unit variance, the sum over neighbours is
divided by the root of their mean number, couplings are the linearly independent symmetric ones, and the product weights
of an output share its variance.
"""

from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn import Linear, TypedLinear
from intertwine.products import EdgeFrame
from intertwine.representations import Irrep, Irreps
from intertwine.systems.potential.model.blocks import LAYOUT, Convolution, EdgeEmbedding, Readout
from intertwine.systems.potential.model.products import many_body_product
from intertwine.systems.potential.settings import ModelSettings

__all__ = ["MACE"]


class MACE(nn.Module):
    """Atomic energies (dimensionless) from edge vectors and species.

    Args:
        settings: sizes.
        num_species: number of elements.
        mean_neighbours: mean number of neighbours; sums over neighbours are divided by its root.
        rng: generator of the initial weights.
    """

    def __init__(
        self,
        settings: ModelSettings,
        num_species: int,
        mean_neighbours: float,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        channels = settings.channels
        self.embedding = nn.Parameter(torch.randn(num_species, channels, generator=rng))
        self.edges = EdgeEmbedding(settings)
        scalars = Irreps([(channels, Irrep(0, 1))])
        hidden = Irreps([(channels, ir) for _, ir in Irreps.spherical_harmonics(settings.hidden_lmax)])
        mixed = settings.first_layer == "mixed"
        stages = [scalars] + [hidden] * (settings.layers - 1) + [scalars]
        self.layers = nn.ModuleList(
            _Layer(a, b, self.edges.irreps_sh, settings, num_species, mean_neighbours, rng, mixed=mixed and i == 0)
            for i, (a, b) in enumerate(pairwise(stages))
        )
        last = len(stages) - 1
        self.readouts = nn.ModuleList(
            Readout(stage, settings.readout_width if i == last else None, rng)
            for i, stage in enumerate(stages)
            if i > 0
        )

    def forward(
        self,
        vectors: Float[Tensor, "edges 3"],
        species: Int[Tensor, " atoms"],
        edge_index: Int[Tensor, "2 edges"],
    ) -> Float[Tensor, " atoms"]:
        """Return one number an atom."""
        edges = self.edges(vectors)
        attributes = self.edges.attributes(vectors, edges["harmonics"])
        features = self.embedding.index_select(0, species)
        energy = features.new_zeros(features.shape[0])
        for layer, readout in zip(self.layers, self.readouts, strict=True):
            features = layer(features, species, attributes, edges["radial"], edge_index)
            energy = energy + readout(features)
        return energy


class _Layer(nn.Module):
    """Convolution, symmetric contraction, linear, and what depends on the species.

    That is a skip connection, or (``mixed``) a linear map of what the convolution gathers.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_out: Irreps,
        irreps_sh: Irreps,
        settings: ModelSettings,
        num_species: int,
        mean_neighbours: float,
        rng: torch.Generator | None,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        gathered = Irreps([(settings.channels, ir) for _, ir in irreps_sh])
        self.convolution = Convolution(irreps_in, irreps_sh, gathered, settings, mean_neighbours**0.5, rng)
        self.contraction = many_body_product(
            settings.product, self.convolution.irreps_out, irreps_out, settings.correlation, num_species, rng
        )
        self.mix = Linear(irreps_out, irreps_out, LAYOUT, rng)
        kept = irreps_out.filter(irreps_in)
        gathered = self.convolution.irreps_out
        self.species_map = TypedLinear(gathered, gathered, num_species, LAYOUT, rng) if mixed else None
        self.skip = None if mixed else TypedLinear(irreps_in, kept, num_species, LAYOUT, rng)
        self._missing = irreps_out.dim - kept.dim  # irreps are in order of degree: what is missing comes last

    def forward(
        self, features: Tensor, species: Tensor, attributes: "Tensor | EdgeFrame", radial: Tensor, edge_index: Tensor
    ) -> Tensor:
        gathered = self.convolution(features, attributes, radial, edge_index)
        if self.species_map is not None:
            gathered = self.species_map(gathered, species)
        update = self.mix(self.contraction(gathered, species))
        if self.skip is None:
            return update
        return update + nn.functional.pad(self.skip(features, species), (0, self._missing))
