"""NequIP-type network: a stack of convolutions, each followed by a gate.

Batzner et al., "E(3)-equivariant graph neural networks for data-efficient and accurate interatomic potentials", Nature
Communications 13, 2453 (2022). The sum over neighbours is divided by the root of their mean number, as there.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.nn import Gate, TypedLinear
from intertwine.products import EdgeFrame
from intertwine.representations import Irrep, Irreps
from intertwine.systems.potential.model.blocks import LAYOUT, Convolution, EdgeEmbedding, Readout
from intertwine.systems.potential.settings import ModelSettings

__all__ = ["NequIP"]


class NequIP(nn.Module):
    """Atomic energies (dimensionless) from edge vectors and species; arguments as for `MACE`."""

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
        parities = (1, -1) if settings.odd_parity else (1,)
        hidden = Irreps(
            [
                (channels, Irrep(l, parity * (-1) ** l))
                for l in range(settings.hidden_lmax + 1)  # noqa: E741
                for parity in parities
            ]
        )
        irreps = Irreps([(channels, Irrep(0, 1))])
        layers = []
        for index in range(settings.layers):
            target = hidden if index < settings.layers - 1 else Irreps([(channels, Irrep(0, 1))])
            layer = _Layer(irreps, target, self.edges.irreps_sh, settings, num_species, mean_neighbours, rng)
            layers.append(layer)
            irreps = layer.gate.irreps_out
        self.layers = nn.ModuleList(layers)
        self.readout = Readout(irreps, settings.readout_width, rng)

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
        for layer in self.layers:
            features = layer(features, species, attributes, edges["radial"], edge_index)
        return self.readout(features)


class _Layer(nn.Module):
    def __init__(
        self,
        irreps_in: Irreps,
        target: Irreps,
        irreps_sh: Irreps,
        settings: ModelSettings,
        num_species: int,
        mean_neighbours: float,
        rng: torch.Generator | None,
    ) -> None:
        super().__init__()
        reachable = irreps_in.tensor_product(irreps_sh)
        self.gate = Gate(target.filter(reachable), layout=LAYOUT)
        wanted = self.gate.irreps_in
        self.convolution = Convolution(irreps_in, irreps_sh, wanted, settings, mean_neighbours**0.5, rng)
        kept = [entry for entry in wanted if entry.ir in irreps_in]
        self.skip = TypedLinear(irreps_in, Irreps(kept), num_species, LAYOUT, rng)
        self._places = [(entry.dim, entry.ir in irreps_in) for entry in wanted]

    def forward(
        self, features: Tensor, species: Tensor, attributes: "Tensor | EdgeFrame", radial: Tensor, edge_index: Tensor
    ) -> Tensor:
        update = self.convolution(features, attributes, radial, edge_index)
        skip = self.skip(features, species)
        parts = iter(skip.split([dim for dim, present in self._places if present], dim=-1))
        zeros = skip.new_zeros(len(skip), 1)
        padded = [next(parts) if present else zeros.expand(-1, dim) for dim, present in self._places]
        return self.gate(update + torch.cat(padded, dim=-1))
