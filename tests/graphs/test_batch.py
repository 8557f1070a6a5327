import pytest
import torch

from intertwine.errors import DataError, ShapeError
from intertwine.graphs import AtomGraph, collate, edge_vectors


def graph(atoms, seed=0, periodic=False, **labels):
    rng = torch.Generator().manual_seed(seed)
    positions = 3 * torch.rand(atoms, 3, generator=rng, dtype=torch.float64)
    cell = 3 * torch.eye(3, dtype=torch.float64)
    species = torch.randint(3, (atoms,), generator=rng)
    return AtomGraph.build(positions, species, 2.5, cell=cell, pbc=(periodic,) * 3, **labels)


def labelled(atoms, seed):
    rng = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(shape, generator=rng, dtype=torch.float64)  # noqa: E731
    return graph(atoms, seed, periodic=seed % 2 == 0, energy=draw(), forces=draw(atoms, 3), stress=draw(3, 3))


def test_a_batch_holds_its_graphs_side_by_side():
    graphs = [labelled(atoms, seed) for seed, atoms in enumerate([4, 1, 6])]
    batch = collate(graphs)
    assert batch.num_graphs == 3
    assert batch.num_atoms.tolist() == [4, 1, 6]
    assert batch.graph_index.tolist() == [0] * 4 + [1] + [2] * 6
    inputs = batch.inputs()
    names = ("positions", "edge_index", "cell_shifts", "cell", "graph_index")
    vectors = edge_vectors(*[inputs[name] for name in names])
    single = [edge_vectors(g.positions, g.edge_index, g.cell_shifts, g.cell[None]) for g in graphs]
    assert torch.equal(vectors, torch.cat(single))
    assert bool((batch.edge_index[1].diff() >= 0).all())
    assert torch.equal(batch.graph_index[batch.edge_index[0]], batch.graph_index[batch.edge_index[1]])
    assert torch.equal(batch.energy, torch.stack([g.energy for g in graphs]))
    assert torch.equal(batch.forces, torch.cat([g.forces for g in graphs]))
    assert batch.stress.shape == (3, 3, 3)
    assert set(inputs) == {"positions", "species", "edge_index", "graph_index", "cell", "cell_shifts"}


def test_the_cell_of_an_open_graph_is_zero():
    assert not graph(3).cell.any()
    assert graph(3, periodic=True).cell.any()


def test_to_converts_floats_but_keeps_energies_exact():
    energy = torch.tensor(-17660.461737861464, dtype=torch.float64)
    batch = collate([graph(4, energy=energy)]).to(dtype=torch.float32)
    assert batch.positions.dtype == batch.cell.dtype == batch.cell_shifts.dtype == torch.float32
    assert batch.species.dtype == batch.edge_index.dtype == torch.int64
    assert batch.energy.dtype == torch.float64
    assert batch.energy.item() == energy.item()
    assert batch.forces is None
    assert batch.to(torch.float64).positions.dtype == torch.float64
    assert batch.to("meta").positions.device.type == "meta"


def test_labels_that_only_some_graphs_have_are_refused():
    with pytest.raises(DataError) as caught:
        collate([labelled(3, 0), graph(3)])
    assert caught.value.got == {"with": 1, "without": 1}
    with pytest.raises(DataError):
        collate([])


def test_one_species_per_atom():
    with pytest.raises(ShapeError) as caught:
        AtomGraph.build(torch.zeros(2, 3), torch.zeros(3, dtype=torch.int64), 2.0)
    assert caught.value.got["species"] == (3,)
