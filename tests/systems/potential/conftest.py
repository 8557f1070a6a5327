"""A pair potential with the call of a trained network."""

import pytest
import torch

from intertwine.graphs import edge_vectors, segment_sum


class Morse(torch.nn.Module):
    """Morse pairs with a smooth cutoff: the ``forward`` of a `Potential`, with a physics one can check."""

    def __init__(self, species=(29,), cutoff=5.0, depth=0.3, width=1.4, length=2.6):
        super().__init__()
        self.species, self.cutoff = tuple(species), cutoff
        self.depth = torch.nn.Parameter(torch.tensor(depth, dtype=torch.float64))
        self.width, self.length = width, length

    def forward(
        self,
        positions,
        species,
        edge_index,
        graph_index,
        cell,
        cell_shifts,
        compute_forces=True,
        compute_stress=False,
    ):
        with torch.enable_grad():
            positions = positions.detach().requires_grad_()
            strain = torch.zeros_like(cell).requires_grad_()
            symmetric = (strain + strain.mT) / 2
            moved = positions + torch.einsum("na,nab->nb", positions, symmetric[graph_index])
            vectors = edge_vectors(moved, edge_index, cell_shifts, cell + cell @ symmetric, graph_index)
            r = vectors.norm(dim=-1)
            decay = torch.exp(-self.width * (r - self.length))
            window = torch.clamp(1 - (r / self.cutoff) ** 2, min=0) ** 3
            pair = 0.5 * self.depth * (decay**2 - 2 * decay) * window
            factor = 1 + 0.1 * species[edge_index].to(r).sum(0)  # elements differ
            node_energy = segment_sum(pair * factor, edge_index[1], len(positions)).double()
            force, virial = torch.autograd.grad(node_energy.sum(), [positions, strain], materialize_grads=True)
        output = {
            "energy": segment_sum(node_energy.detach(), graph_index, len(cell)),
            "node_energy": node_energy.detach(),
            "forces": -force,
        }
        if compute_stress:
            volume = torch.linalg.det(cell).abs()[:, None, None]
            output["stress"] = torch.where(volume > 0, virial / volume.clamp(min=1e-12), 0.0)
        return output


@pytest.fixture
def morse():
    """The class: ``morse(species=(29,), cutoff=5.0)`` makes a model."""
    return Morse
