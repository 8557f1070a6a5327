"""EquiformerV2 with direct forces: energies and forces of structures of atoms.

E = mean + sum of references(species) + unit * sum over atoms of network / mean number of atoms. Forces are written by
an attention layer of their own, as vectors, and are not the gradient of the energy: they cost no backward pass, and a
simulation with them does not conserve energy. The network has no parity: its group is SE(3), not E(3). With activations
on a grid it keeps rotations approximately (see `intertwine.systems.equiformer.model.activation`); translations and the
names of atoms it keeps exactly. Where an atom enters or leaves a neighbour list, outputs jump. Units: eV, Å.
(Liao, Wood, Das, Smidt, ICLR 2024. What differs is in the system's card.)
"""

from collections.abc import Mapping
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from intertwine.errors import ConfigError, ShapeError
from intertwine.graphs import edge_vectors, segment_sum
from intertwine.groups import SE, SymmetricGroup
from intertwine.products.so2.edge_frames import EdgeFrames
from intertwine.representations import Irreps
from intertwine.representations.actions import Invariant, NodeIndices, Permuted, Point, Vector
from intertwine.symmetry import Symmetry
from intertwine.systems.equiformer.model.attention import GraphAttention
from intertwine.systems.equiformer.model.block import Block
from intertwine.systems.equiformer.model.edges import EdgeDegreeEmbedding, EdgeInvariants
from intertwine.systems.equiformer.model.layers import Dense, features, make_norm
from intertwine.systems.equiformer.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["Equiformer"]


@final
class Equiformer(Pretrained, nn.Module):
    """A network that can be saved, loaded and called on batches of structures.

    Law: energies are invariant under SE(3) and under renaming atoms; forces turn as vectors and move with their atoms.

    Args:
        settings: sizes and kinds.
        references: energy (eV) that an atom of an element counts for, by atomic number; zero for elements left out.
        energy_mean: energy (eV) that the network's zero stands for.
        energy_std: energy (eV) that its unit stands for.
        force_std: force (eV/Å) that its unit stands for.
        mean_neighbours: mean number of neighbours in the training data.
        mean_atoms: mean number of atoms of a structure in the training data.
        rng: generator of the initial weights.

    Example:
        >>> small = ModelSettings(layers=1, lmax=2, channels=4, edge_channels=8, distance_basis=8, elements=8)
        >>> Equiformer(small).species
        (1, 2, 3, 4, 5, 6, 7, 8)
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        references: Mapping[int, float] | None = None,
        energy_mean: float = 0.0,
        energy_std: float = 1.0,
        force_std: float = 1.0,
        mean_neighbours: float = 20.0,
        mean_atoms: float = 64.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.references = {int(z): float(e) for z, e in (references or {}).items()}
        unknown = [z for z in self.references if not 1 <= z <= settings.elements]
        if unknown:
            raise ConfigError(
                "references for elements that the network does not know",
                got=unknown,
                expected=f"atomic numbers from 1 to {settings.elements}",
            )
        self.energy_mean, self.energy_std = float(energy_mean), float(energy_std)
        self.force_std, self.mean_atoms = float(force_std), float(mean_atoms)
        irreps = features(settings.channels, settings.lmax)
        self.channels = settings.channels
        self.embedding = nn.Parameter(torch.randn(settings.elements, settings.channels, generator=rng))
        self.edges = EdgeInvariants(settings, rng)
        self.frames = EdgeFrames(settings.lmax)
        size = self.edges.size
        self.edge_degree = EdgeDegreeEmbedding(settings, size, float(mean_neighbours), rng)
        self.blocks = nn.ModuleList(Block(settings, size, rng) for _ in range(settings.layers))
        self.norm = make_norm(settings.norm, irreps)
        # the energy is a scalar: of a feed-forward network only the scalars' part would count
        self.energy_head = nn.Sequential(
            Dense(settings.channels, settings.feed_forward, rng=rng),
            nn.SiLU(),
            Dense(settings.feed_forward, 1, rng=rng),
        )
        self.force_head = GraphAttention(settings, Irreps("1o"), size, rng)

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers the model knows; the argument ``species`` of a call indexes them."""
        return tuple(range(1, self.settings.elements + 1))

    @property
    def symmetry(self) -> Symmetry:
        """SE(3) acts on space, S_n on the names of the atoms."""
        return Symmetry(
            SE(3) * SymmetricGroup(None),
            inputs={
                "positions": Permuted((0,), Point()),
                "species": Permuted((0,)),
                "edge_index": NodeIndices(),
                "graph_index": Permuted((0,)),
                "cell": Vector(),
            },
            output={
                "energy": Invariant(),
                "node_energy": Permuted((0,)),
                "forces": Permuted((0,), Vector()),
            },
        )

    def forward(
        self,
        positions: Float[Tensor, "atoms 3"],
        species: Int[Tensor, " atoms"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, " atoms"],
        cell: Float[Tensor, "graphs 3 3"],
        cell_shifts: Float[Tensor, "edges 3"],
    ) -> dict[str, Tensor]:
        """Return ``energy`` (graphs,), ``node_energy`` (atoms,), whose sums lack the mean, and ``forces`` (atoms, 3).

        Energies are float64 whatever the dtype of the network: with references they may be large.

        Raises:
            ShapeError: if the arguments do not describe one batch of structures.
        """
        if positions.shape != (*species.shape, 3) or graph_index.shape != species.shape:
            raise ShapeError(
                "a network of atoms needs one position, species and graph number an atom",
                got={"positions": tuple(positions.shape), "species": tuple(species.shape)},
                expected="(atoms, 3), (atoms,), (atoms,)",
            )
        count, num_graphs = species.shape[0], cell.shape[0]
        vectors = edge_vectors(positions, edge_index, cell_shifts, cell, graph_index)
        frame, invariants = self.frames(vectors), self.edges(vectors, species, edge_index)
        x = self.edge_degree(invariants, frame, edge_index, count)
        x = x + nn.functional.pad(self.embedding.index_select(0, species), (0, x.shape[-1] - self.channels))
        for block in self.blocks:
            x = block(x, invariants, frame, edge_index, graph_index, num_graphs)
        x = self.norm(x)
        network = self.energy_head(x[:, : self.channels]).squeeze(-1).double()
        node_energy = network * (self.energy_std / self.mean_atoms) + self.reference_energy(species)
        forces = self.force_head(x, invariants, frame, edge_index)
        return {
            "energy": segment_sum(node_energy, graph_index, num_graphs) + self.energy_mean,
            "node_energy": node_energy,
            "forces": forces * self.force_std,
        }

    def reference_energy(self, species: Int[Tensor, " atoms"]) -> Float[Tensor, " atoms"]:
        """Return the energy (eV) that each atom counts for by its element alone, in float64."""
        values = [self.references.get(z, 0.0) for z in self.species]
        return torch.tensor(values, dtype=torch.float64, device=species.device)[species]
