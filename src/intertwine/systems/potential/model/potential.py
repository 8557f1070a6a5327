"""Energy, forces and stress of a structure from a network of atomic energies.

E = sum over atoms of  E0(species) + shift + scale * network.  Forces are -dE/dr, stress is (dE/dstrain) / volume, both
by automatic differentiation, so that they belong to one energy. Units: eV, Å.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Module

from intertwine.errors import ConfigError, ShapeError
from intertwine.graphs import edge_vectors, segment_sum
from intertwine.groups import E, SymmetricGroup
from intertwine.representations.actions import Cartesian, Invariant, NodeIndices, Permuted, Point, Vector
from intertwine.symmetry import Symmetry
from intertwine.systems.potential.model.mace import MACE
from intertwine.systems.potential.model.nequip import NequIP
from intertwine.systems.potential.settings import ModelSettings
from intertwine.training.pretrained import Pretrained

__all__ = ["Potential"]

_NETWORKS = {"mace": MACE, "nequip": NequIP}


class Potential(Pretrained, Module):
    """An interatomic potential that can be saved, loaded and called on batches of structures.

    Law: energies are invariant under E(3) and under renaming atoms; forces rotate as vectors and move with their atoms;
    stress is a Cartesian tensor of rank 2.

    Args:
        settings: architecture and sizes.
        atomic_energies: energy (eV) of an isolated atom by atomic number; its keys are the elements the model knows.
        shift: energy (eV) added to every atom.
        scale: energy (eV) of one unit of the network.
        mean_neighbours: mean number of neighbours in the training data.
        rng: generator of the initial weights.

    Example:
        >>> model = Potential(ModelSettings(channels=4, harmonics_lmax=1), atomic_energies={1: -13.6, 8: -2041.8})
        >>> model.species
        (1, 8)
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        atomic_energies: Mapping[int, float],
        shift: float = 0.0,
        scale: float = 1.0,
        mean_neighbours: float = 16.0,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not atomic_energies:
            raise ConfigError(
                "a potential needs the elements it is for", got=atomic_energies, expected="{1: -13.6, ...}"
            )
        self.settings = settings
        self.atomic_energies = {int(z): float(e) for z, e in sorted(atomic_energies.items(), key=lambda i: int(i[0]))}
        self.shift, self.scale, self.mean_neighbours = float(shift), float(scale), float(mean_neighbours)
        network = _NETWORKS[settings.architecture]
        self.network = network(settings, len(self.atomic_energies), self.mean_neighbours, rng)

    @property
    def species(self) -> tuple[int, ...]:
        """Atomic numbers the model knows; the argument ``species`` of a call indexes them."""
        return tuple(self.atomic_energies)

    @property
    def cutoff(self) -> float:
        """Radius (Å) of the neighbour list that a call needs."""
        return self.settings.cutoff

    @property
    def symmetry(self) -> Symmetry:
        """E(3) acts on space, S_n on the names of the atoms."""
        return Symmetry(
            E(3) * SymmetricGroup(None),
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
                "stress": Cartesian(2),
            },
            optional=("stress",),
        )

    def forward(
        self,
        positions: Float[Tensor, "atoms 3"],
        species: Int[Tensor, " atoms"],
        edge_index: Int[Tensor, "2 edges"],
        graph_index: Int[Tensor, " atoms"],
        cell: Float[Tensor, "graphs 3 3"],
        cell_shifts: Float[Tensor, "edges 3"],
        compute_forces: bool = True,
        compute_stress: bool = False,
    ) -> dict[str, Tensor]:
        """Return ``energy`` (graphs,), ``node_energy`` (atoms,), ``forces`` (atoms, 3), ``stress`` (graphs, 3, 3).

        Stress is there only when asked for. Energies are float64 whatever the dtype of the network: in float32 a total
        energy of 10^4 eV is rounded by a meV. Outputs keep a graph (for training on forces) exactly when gradients are
        enabled around the call.

        Raises:
            ShapeError: if the arguments do not describe one batch of structures.
        """
        if positions.shape != (*species.shape, 3) or graph_index.shape != species.shape:
            raise ShapeError(
                "a potential needs one position, species and graph number an atom",
                got={"positions": tuple(positions.shape), "species": tuple(species.shape)},
                expected="(atoms, 3), (atoms,), (atoms,)",
            )
        differentiable = torch.is_grad_enabled()
        derivatives = compute_forces or compute_stress
        with torch.set_grad_enabled(differentiable or derivatives):
            if derivatives and not positions.requires_grad:
                positions = positions.detach().requires_grad_()
            wanted = [positions]
            if compute_stress:
                strain = positions.new_zeros(cell.shape).requires_grad_()
                wanted.append(strain)
                symmetric = (strain + strain.mT) / 2
                deformed = positions + torch.einsum("na,nab->nb", positions, symmetric[graph_index])
                cell = cell + cell @ symmetric
            else:
                deformed = positions
            vectors = edge_vectors(deformed, edge_index, cell_shifts, cell, graph_index)
            interaction = self.network(vectors, species, edge_index)
            interaction = interaction.double() * self.scale + self.shift
            reference = torch.tensor(list(self.atomic_energies.values()), dtype=torch.float64, device=positions.device)
            node_energy = interaction + reference[species]
            output = {
                "energy": segment_sum(node_energy, graph_index, cell.shape[0]),
                "node_energy": node_energy,
            }
            if derivatives:
                gradients = torch.autograd.grad(
                    interaction.sum(), wanted, create_graph=differentiable, materialize_grads=True
                )
                if compute_forces:
                    output["forces"] = -gradients[0]
                if compute_stress:
                    volume = torch.linalg.det(cell.detach()).abs()[:, None, None]
                    # an open structure has no volume: its stress is reported as zero
                    output["stress"] = torch.where(volume > 0, gradients[1] / volume.clamp(min=1e-12), 0.0)
        return output if differentiable else {name: value.detach() for name, value in output.items()}
