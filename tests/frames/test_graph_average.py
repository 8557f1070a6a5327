"""Averages of networks over frames of graphs: their laws, the quotient, sampling, and what is not possible."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, DataError
from intertwine.frames import FrameAverageGraph, FullGraphFrame, GraphFrame, MinimalGraphFrame
from intertwine.graphs import Graph, circular_skip_links, pad_graphs, read_graph6
from intertwine.groups import SymmetricGroup
from intertwine.symmetry import equivariance_error
from intertwine.training import find_data

NODES, OUT = 5, 3


class Mixer(nn.Module):
    """A network without any symmetry: all numbers of a graph in one layer."""

    def __init__(self, output, channels=1, rng=None):
        super().__init__()
        shape = {"graph": (OUT,), "nodes": (NODES, OUT), "pairs": (NODES, NODES)}[output]
        size = torch.Size(shape).numel()
        self.weight = nn.Parameter(torch.randn(size, NODES * (NODES + channels + 1), generator=rng).double())
        self.shape, self.calls = shape, []

    def forward(self, adjacency, features=None, mask=None):
        self.calls.append(len(adjacency))
        features = adjacency.new_zeros(*adjacency.shape[:2], 1) if features is None else features
        mask = torch.ones_like(adjacency[..., 0]) if mask is None else mask
        numbers = torch.cat([adjacency.flatten(1), features.flatten(1), mask.to(adjacency)], dim=1)
        return (numbers @ self.weight.to(numbers).T).tanh().reshape(-1, *self.shape)


@pytest.fixture
def batch(rng):
    """Graphs of five nodes and fewer, many with automorphisms, with features."""
    edges = [[[0, 1], [1, 2], [2, 3], [3, 4]], [[0, 1], [0, 2], [0, 3]], [[0, 1], [1, 2], [2, 0]], [[0, 1]]]
    sizes = [5, 4, 4, 2]
    features = [torch.randint(2, (size, 1), generator=rng).double() for size in sizes]
    return pad_graphs(
        [
            Graph.build(torch.tensor(pairs), size, features=rows)
            for pairs, size, rows in zip(edges, sizes, features, strict=True)
        ]
    )


def arguments(batch):
    return {"adjacency": batch.adjacency, "features": batch.features, "mask": batch.mask}


@pytest.mark.parametrize("output", ["graph", "nodes", "pairs"])
@pytest.mark.parametrize("frame", [GraphFrame(), MinimalGraphFrame(), FullGraphFrame(), GraphFrame(use_features=False)])
def test_the_law_holds_for_every_frame_and_output(frame, output, batch, rng):
    fa = FrameAverageGraph(Mixer(output, rng=rng), frame, output=output)
    report = equivariance_error(fa, arguments(batch), trials=6, rng=rng)
    assert report.passed(), report.explain()
    assert fa(**arguments(batch)).shape == (4, *fa.backbone.shape)


@pytest.mark.parametrize("output", ["graph", "nodes"])
@pytest.mark.parametrize("frame", [GraphFrame(), MinimalGraphFrame(), FullGraphFrame()])
def test_drawn_elements_keep_the_law_with_their_keys(frame, output, batch, rng):
    fa = FrameAverageGraph(Mixer(output, rng=rng), frame, output=output, mode="stochastic", samples=2)
    keys = torch.rand(4, 2, NODES, generator=rng, dtype=torch.float64)
    report = equivariance_error(fa, arguments(batch) | {"keys": keys}, trials=6, rng=rng)
    assert report.passed(), report.explain()


def test_the_checker_finds_a_network_without_average_and_keys_that_stay(batch, rng):
    mixer = Mixer("graph", rng=rng)
    law = FrameAverageGraph(mixer).symmetry
    law = replace(law, inputs={name: law.inputs[name] for name in ("adjacency", "features", "mask")})
    plain = arguments(batch)
    report = equivariance_error(mixer, plain, symmetry=law, trials=6, rng=rng)
    assert report.worst.verdict == "broken"
    fa = FrameAverageGraph(mixer, FullGraphFrame(), mode="stochastic")
    stay = torch.rand(4, 1, NODES, generator=rng, dtype=torch.float64)

    def forgets(adjacency, features, mask):
        return fa(adjacency, features, mask, keys=stay)

    assert equivariance_error(forgets, plain, symmetry=law, trials=6, rng=rng).worst.verdict == "broken"


def test_the_full_frame_is_the_mean_over_the_group(batch, rng):
    mixer = Mixer("nodes", rng=rng)
    fa = FrameAverageGraph(mixer, FullGraphFrame(), output="nodes")
    adjacency, features = batch.adjacency[:1], batch.features[:1]
    total = torch.zeros(NODES, OUT).double()
    group = SymmetricGroup(NODES)
    for g in group.elements():
        back = group.inverse(g)
        # rho(g) Phi(rho(g)^-1 X): node i of the canonical graph is node g[i]
        outputs = mixer(adjacency[:, g][:, :, g], features[:, g])
        total += outputs[0, back]
    torch.testing.assert_close(fa(adjacency, features)[0], total / 120, atol=1e-12, rtol=0)


def test_averages_of_networks_that_keep_the_symmetry_are_the_networks(batch):
    class Degrees(nn.Module):
        def forward(self, adjacency, features, mask):
            return (adjacency @ (1 + features)).tanh() * mask.unsqueeze(-1)

    fa = FrameAverageGraph(Degrees(), output="nodes")
    mean, variance = fa.moments(**arguments(batch))
    torch.testing.assert_close(mean, Degrees()(**arguments(batch)), atol=1e-12, rtol=0)
    assert variance.abs().max() < 1e-24


def test_one_of_each_orbit_gives_the_same_invariants(rng):
    """Every fifth graph on eight nodes, features included: less than 1e-12 apart."""
    adjacency = pad_graphs(read_graph6(find_data("fa_graphs/graph8c.g6"))[::5]).adjacency
    features = torch.ones(len(adjacency), 8, 1).double()
    weight = torch.randn(64 + 8, 4, generator=rng).double()

    class Network(nn.Module):
        def forward(self, adjacency, features, mask):
            return (torch.cat([adjacency.flatten(1), features.flatten(1)], dim=1) @ weight).sin()

    whole, orbits = (FrameAverageGraph(Network(), mode=mode) for mode in ("all", "orbits"))
    counts = [fa.frames(adjacency, features).counts for fa in (whole, orbits)]
    assert (counts[1] < counts[0]).sum() > 1400
    difference = whole(adjacency, features) - orbits(adjacency, features)
    assert difference.abs().max() < 1e-12


def test_minimal_frames_and_whole_ones_need_no_more_than_a_stored_partition(batch, rng):
    for frame in (GraphFrame(), MinimalGraphFrame(), FullGraphFrame()):
        fa = FrameAverageGraph(Mixer("graph", rng=rng), frame)
        partition = frame.partition(**arguments(batch))
        torch.testing.assert_close(fa(**arguments(batch), partition=partition), fa(**arguments(batch)))


def test_draws_are_unbiased_and_their_variance_is_that_of_the_frame(rng):
    adjacency = circular_skip_links(5, 2).adjacency[None]
    adjacency = adjacency + torch.diag(torch.tensor([1.0, 0, 0, 0, 2.0])).double()
    mixer = Mixer("graph", rng=rng)
    whole = FrameAverageGraph(mixer, FullGraphFrame())
    mean, variance = whole.moments(adjacency)
    drawn = FrameAverageGraph(mixer, FullGraphFrame(), mode="stochastic", samples=4096)
    found, spread = drawn.moments(adjacency, rng=rng)
    assert ((found - mean).abs() < 5 * (variance / 4096).sqrt()).all()
    torch.testing.assert_close(spread, variance, rtol=0.15, atol=0)
    assert (variance > 0).all()


def test_chunks_change_nothing_and_bound_the_batch_of_the_backbone(batch, rng):
    mixer = Mixer("nodes", rng=rng)
    whole, parts = (FrameAverageGraph(mixer, FullGraphFrame(), output="nodes", chunk=chunk) for chunk in (None, 7))
    expected = whole(**arguments(batch))
    mixer.calls.clear()
    torch.testing.assert_close(parts(**arguments(batch)), expected, atol=1e-14, rtol=0)
    assert max(mixer.calls) == 7


def test_gradients_reach_the_weights_and_the_graph(rng):
    mixer = Mixer("graph", rng=rng)
    adjacency = Graph.build(torch.tensor([[0, 1], [1, 2], [3, 4]]), 5).adjacency[None]
    keys = torch.rand(1, 2, NODES, generator=rng, dtype=torch.float64)
    fa = FrameAverageGraph(mixer, mode="stochastic", samples=2)
    partition = GraphFrame().partition(adjacency)
    upper = torch.rand(1, 10, generator=rng, dtype=torch.float64).requires_grad_()

    def network(values, weight):
        matrix = torch.zeros(1, 5, 5).double()
        rows, columns = torch.triu_indices(5, 5, 1)
        matrix = matrix.index_put((torch.zeros(10, dtype=torch.int64), rows, columns), values[0])
        mixer.weight.data.copy_(weight.detach())
        return fa(matrix + matrix.mT, partition=partition, keys=keys)

    assert torch.autograd.gradcheck(lambda v: network(v, mixer.weight), (upper,))
    fa(adjacency, keys=keys).sum().backward()
    assert mixer.weight.grad.abs().sum() > 0


def test_settings_and_graphs_that_cannot_be_are_refused(batch, rng):
    mixer = Mixer("graph", rng=rng)
    for wrong in ({"output": "edges"}, {"mode": "some"}, {"mode": "orbits", "output": "nodes"}, {"samples": 0}):
        with pytest.raises(ConfigError):
            FrameAverageGraph(mixer, **wrong)
    with pytest.raises(DataError, match="too many elements"):
        FrameAverageGraph(mixer, FullGraphFrame(), limit=100)(**arguments(batch))
    with pytest.raises(DataError, match="one entry for each copy"):
        FrameAverageGraph(lambda_module(lambda adjacency, features, mask: adjacency[:1]))(**arguments(batch))


def lambda_module(function):
    class Module(nn.Module):
        def forward(self, *inputs):
            return function(*inputs)

    return Module()


def test_float32_and_float64_agree(batch, rng):
    mixer = Mixer("graph", rng=rng)
    fa = FrameAverageGraph(mixer)
    exact, rounded = fa(**arguments(batch)), fa(**arguments(batch.to(torch.float32)))
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.double(), exact, atol=1e-5, rtol=1e-5)
