"""The transform for PyTorch Geometric, with its own graphs, batches and loaders."""

import subprocess
import sys

import pytest
import torch

from intertwine.errors import ConfigError, DataError, NumericsError
from intertwine.frames import FrameAverage, FrameTransform, PCAFrame, WeightedFrame, faenet_framing
from intertwine.groups import E

geometric = pytest.importorskip("torch_geometric")
Data, Batch = geometric.data.Data, geometric.data.Batch
DataLoader = geometric.loader.DataLoader


def graphs(rng, sizes=(4, 6, 5), cell=True):
    return [
        Data(
            pos=torch.randn(n, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0]) + 10,
            edge_index=torch.stack([torch.arange(n), torch.arange(n).roll(1)]),
            **({"cell": torch.randn(1, 3, 3, generator=rng, dtype=torch.float64)} if cell else {}),
        )
        for n in sizes
    ]


class Uneven(torch.nn.Module):
    def forward(self, pos):
        weight = torch.tensor([[1.0, 0.5, 0.2], [0.3, -1.0, 0.8], [0.1, 0.4, -0.6]], dtype=pos.dtype)
        return torch.tanh(pos @ weight + 0.2)


@pytest.mark.parametrize(
    ("mode", "count"),
    [("all", 8), ("se3-all", 4), ("stochastic", 1), ("det", 1), ("se3-stochastic", 1), ("se3-det", 1)],
)
def test_graphs_get_positions_and_cells_seen_from_each_element(mode, count, rng):
    graph = graphs(rng)[0]
    done = FrameTransform(**faenet_framing(mode), rng=rng)(graph)
    assert len(done.fa_pos) == len(done.fa_rot) == len(done.fa_cell) == len(done.fa_weight) == count
    origin = graph.pos.mean(0)
    for seen, rotation, cell in zip(done.fa_pos, done.fa_rot, done.fa_cell, strict=True):
        assert rotation.shape == (1, 3, 3)
        torch.testing.assert_close(seen, (graph.pos - origin) @ rotation[0])
        torch.testing.assert_close(cell[0], graph.cell[0] @ rotation[0])
        torch.testing.assert_close(seen.mT @ seen, torch.diag((seen.mT @ seen).diagonal()), rtol=0, atol=1e-10)
    torch.testing.assert_close(done.fa_origin[0], origin)
    assert done.fa_valid.tolist() == ["det" not in mode]  # fixed signs do not move with the cloud


def test_inner_products_with_the_cell_are_kept(rng):
    """Fractional coordinates of the centred positions are the same in every element."""
    done = FrameTransform(PCAFrame("E(3)"))(graphs(rng)[0])
    fractional = [seen @ torch.linalg.inv(cell[0]) for seen, cell in zip(done.fa_pos, done.fa_cell, strict=True)]
    for other in fractional[1:]:
        torch.testing.assert_close(other, fractional[0])


def test_a_loader_joins_what_the_transform_wrote(rng):
    made = graphs(rng)
    transform = FrameTransform(PCAFrame("E(3)"))
    batch = next(iter(DataLoader([transform(graph) for graph in made], batch_size=3)))
    at_once = transform(Batch.from_data_list(graphs(torch.Generator().manual_seed(0), cell=True)))
    assert len(batch.fa_pos) == len(at_once.fa_pos) == 8
    assert batch.fa_pos[0].shape == (15, 3)
    assert batch.fa_rot[3].shape == (3, 3, 3)
    assert batch.fa_cell[7].shape == (3, 3, 3)
    assert batch.fa_weight[0].tolist() == [1 / 8] * 3
    assert batch.fa_origin.shape == (3, 3)
    for place, graph in enumerate(made):
        assert batch.fa_pos[5][batch.batch == place].equal(graph.fa_pos[5])
        assert batch.fa_rot[5][place].equal(graph.fa_rot[5][0])
    assert batch.edge_index.max() == 14


def test_a_finished_batch_is_transformed_as_its_graphs(rng):
    made = graphs(rng)
    transform = FrameTransform(PCAFrame("SE(3)"))
    batch = transform(Batch.from_data_list(made))
    for place, graph in enumerate(map(transform, made)):
        for element in range(4):
            torch.testing.assert_close(batch.fa_pos[element][batch.batch == place], graph.fa_pos[element])
            torch.testing.assert_close(batch.fa_cell[element][place], graph.fa_cell[element][0])


def test_averages_by_hand_are_those_of_frame_average(rng):
    """The loop that such pipelines have: points and vectors, mapped back and weighed."""
    network = Uneven()
    for frame in (PCAFrame("E(3)"), WeightedFrame("SE(3)")):
        batch = FrameTransform(frame)(Batch.from_data_list(graphs(rng)))
        total = sum(
            weight[batch.batch, None] * torch.einsum("nij,nj->ni", rotation[batch.batch], network(seen))
            for seen, rotation, weight in zip(batch.fa_pos, batch.fa_rot, batch.fa_weight, strict=True)
        )
        average = FrameAverage(network, frame, inputs={"pos": "point", "graph": "graphs"}, output="vector")
        average.backbone.forward = lambda pos, graph: Uneven.forward(network, pos)
        expected = average(pos=batch.pos, graph=batch.batch)
        del average.backbone.forward
        torch.testing.assert_close(total, expected)


def test_graphs_without_cell_or_batch(rng):
    done = FrameTransform(PCAFrame("E(3)"))(graphs(rng, cell=False)[0])
    assert not hasattr(done, "fa_cell")


def test_symmetric_graphs_are_marked(cube):
    batch = Batch.from_data_list([Data(pos=cube), Data(pos=cube * torch.tensor([1.0, 2.0, 3.0]))])
    done = FrameTransform(PCAFrame("E(3)", degenerate="ignore"))(batch)
    assert done.fa_valid.tolist() == [False, True]


def test_moved_graphs_are_seen_alike(rng):
    graph = graphs(rng)[0]
    g = E(3).sample(rng=rng, dtype=torch.float64)
    moved = Data(pos=E(3).apply(g, graph.pos))
    transform = FrameTransform(PCAFrame("E(3)"))
    before, after = torch.stack(transform(graph).fa_pos), torch.stack(transform(moved).fa_pos)
    distances = (before.unsqueeze(1) - after.unsqueeze(0)).abs().amax((-2, -1))
    assert distances.amin(1).max() < 1e-10


@pytest.mark.parametrize("number", [0, 1, 2])
def test_graphs_of_few_nodes(number):
    done = FrameTransform(PCAFrame("E(3)"))(Data(pos=torch.arange(3.0 * number).view(number, 3)))
    assert done.fa_pos[0].shape == (number, 3)
    assert all(seen.isfinite().all() for seen in done.fa_pos)


def test_what_is_missing_or_wrong_is_said(rng):
    transform = FrameTransform(PCAFrame("E(3)"))
    with pytest.raises(DataError) as caught:
        transform(Data(x=torch.zeros(3, 3)))
    assert caught.value.got == "no `pos`"
    with pytest.raises(DataError):
        transform(Data(pos=torch.randn(4, 3, generator=rng), cell=torch.zeros(2, 3, 3)))
    with pytest.raises(NumericsError):
        transform(Data(pos=torch.full((4, 3), torch.nan)))
    for wrong in ({"mode": "some"}, {"samples": 0}):
        with pytest.raises(ConfigError):
            FrameTransform(PCAFrame("E(3)"), **wrong)


def test_the_package_does_not_import_the_library():
    code = "import sys, intertwine.frames.pyg; sys.exit('torch_geometric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
