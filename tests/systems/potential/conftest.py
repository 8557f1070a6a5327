"""A pair potential with the call of a trained network, and structures to try it on."""

import numpy as np
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


@pytest.fixture
def crystal():
    return make_crystal


@pytest.fixture
def write_crystals():
    return write_crystal_file


def make_crystal(kind="copper", seed=0, size=(2, 2, 2), stdev=0.08):
    """A crystal with displaced atoms and a sheared cell, and the classical calculator EMT."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    atoms = bulk("Cu", "fcc", a=3.63, cubic=True) if kind == "copper" else bulk("Al", "fcc", a=4.0, cubic=True)
    atoms = atoms * size
    rng = np.random.default_rng(seed)
    atoms.set_cell(atoms.cell[:] @ (np.eye(3) + 0.02 * rng.standard_normal((3, 3))), scale_atoms=True)
    atoms.positions += stdev * rng.standard_normal(atoms.positions.shape)
    atoms.calc = EMT()
    return atoms


def write_crystal_file(path, kind="copper", count=6, size=(1, 1, 1), prefix="", seed=0):
    """Write rattled crystals with energy, forces and stress to an extended XYZ file, and return the atoms."""
    from ase.calculators.singlepoint import SinglePointCalculator
    from ase.io import write
    from ase.stress import voigt_6_to_full_3x3_stress

    made, images = [], []
    for number in range(count):
        atoms = make_crystal(kind, seed=seed + number, size=size)
        labels = (atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress())
        image = atoms.copy()
        image.calc = None
        if prefix:
            image.info[f"{prefix}energy"], image.arrays[f"{prefix}forces"] = labels[:2]
            image.info[f"{prefix}stress"] = voigt_6_to_full_3x3_stress(labels[2]).ravel()
        else:
            image.calc = SinglePointCalculator(image, energy=labels[0], forces=labels[1], stress=labels[2])
        made.append((atoms, labels))
        images.append(image)
    write(path, images, format="extxyz")
    return made
