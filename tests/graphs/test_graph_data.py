"""Graphs and their batches, exact families, and colour refinement, against networkx and closed forms."""

import itertools

import networkx as nx
import pytest
import torch

from intertwine.errors import DataError, ShapeError
from intertwine.graphs import (
    Graph,
    circular_skip_links,
    colour_refinement,
    graph_from_pyg,
    graph_to_pyg,
    pad_graphs,
    read_graph6,
    refinement_classes,
    rook,
    shrikhande,
)
from intertwine.training import find_data


def as_networkx(graph):
    built = nx.empty_graph(graph.num_nodes)
    built.add_edges_from(graph.edge_index.T.tolist())
    return built


def path(nodes, **more):
    return Graph.build(torch.tensor([[i, i + 1] for i in range(nodes - 1)]).reshape(-1, 2), nodes, **more)


def test_edges_are_there_in_both_directions_sorted_by_destination_and_once():
    graph = Graph.build(torch.tensor([[2, 0], [0, 2], [1, 2], [3, 3]]), 5)
    assert graph.edge_index.tolist() == [[2, 2, 0, 1, 3], [0, 1, 2, 2, 3]]
    assert torch.equal(graph.adjacency, graph.adjacency.T)
    assert graph.adjacency.sum() == 5
    assert graph.adjacency.dtype == torch.float64


def test_weights_are_those_of_the_edge_whatever_its_direction():
    graph = Graph.build(torch.tensor([[2, 0], [0, 2], [1, 2]]), 3, weights=torch.tensor([0.5, 0.5, -3.0]))
    assert graph.adjacency.tolist() == [[0, 0, 0.5], [0, 0, -3.0], [0.5, -3.0, 0]]
    with pytest.raises(DataError, match="two weights") as caught:
        Graph.build(torch.tensor([[2, 0], [0, 2]]), 3, weights=torch.tensor([0.5, 0.6]))
    assert caught.value.got["edge"] == (2, 0)


def test_relabelling_moves_node_i_to_its_new_place(rng):
    graph = Graph.build(
        torch.tensor([[0, 1], [1, 2], [1, 3]]),
        4,
        features=torch.arange(4.0)[:, None],
        weights=torch.tensor([1.0, 2, 3]),
    )
    permutation = torch.randperm(4, generator=rng)
    moved = graph.relabelled(permutation)
    for i in range(4):
        assert moved.features[permutation[i]] == i
        for j in range(4):
            assert moved.adjacency[permutation[i], permutation[j]] == graph.adjacency[i, j]


@pytest.mark.parametrize(
    ("edges", "nodes", "more", "error"),
    [
        ([[0, 3]], 3, {}, DataError),
        ([[-1, 0]], 3, {}, DataError),
        ([[0, 0]], 0, {}, DataError),
        ([[0, 1]], 2, {"features": torch.zeros(3, 1)}, ShapeError),
        ([[0, 1]], 2, {"weights": torch.zeros(2)}, ShapeError),
        ([[0, 1, 2]], 3, {}, ShapeError),
        ([[0.0, 1.0]], 3, {}, ShapeError),
        ([[0, 1]], 2, {"features": torch.tensor([[0.0], [torch.nan]])}, DataError),
        ([[0, 1]], 2, {"weights": torch.tensor([torch.inf])}, DataError),
    ],
)
def test_parts_that_do_not_fit_are_refused(edges, nodes, more, error):
    with pytest.raises(error):
        Graph.build(torch.tensor(edges), nodes, **more)


def test_padding_adds_zeros_and_says_where():
    batch = pad_graphs([path(3, features=torch.ones(3, 2)), path(1, features=torch.ones(1, 2))], nodes=5)
    assert batch.num_graphs == 2
    assert batch.mask.tolist() == [[True] * 3 + [False] * 2, [True] + [False] * 4]
    assert torch.equal(batch.adjacency[0, :3, :3], path(3).adjacency)
    assert batch.adjacency.sum() == 4
    assert batch.features.sum(-1).tolist() == [[2, 2, 2, 0, 0], [2, 0, 0, 0, 0]]
    assert batch.to(torch.float32).adjacency.dtype == torch.float32


def test_batches_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="at least one"):
        pad_graphs([])
    with pytest.raises(DataError, match="too many nodes"):
        pad_graphs([path(3)], nodes=2)
    with pytest.raises(DataError, match="differ in the features"):
        pad_graphs([path(3), path(2, features=torch.ones(2, 1))])


def test_the_rook_and_the_shrikhande_graph_are_strongly_regular_and_different():
    for graph in (rook(), shrikhande()):
        assert nx.is_strongly_regular(as_networkx(graph))
        adjacency = graph.adjacency
        # srg(16, 6, 2, 2): A^2 = 6 I + 2 A + 2 (J - I - A)
        expected = 4 * torch.eye(16, dtype=torch.float64) + 2
        assert torch.equal(adjacency @ adjacency, expected)
    assert not nx.is_isomorphic(as_networkx(rook()), as_networkx(shrikhande()))
    # the neighbours of a square are two triangles, those of a node of the other a cycle of six
    cliques = [max(map(len, nx.find_cliques(as_networkx(graph)))) for graph in (rook(), shrikhande())]
    assert cliques == [4, 3]


def test_circular_skip_links_are_the_circulant_graphs():
    for skip in (2, 3, 4, 5, 6, 9, 11, 12, 13, 16):
        ours, theirs = as_networkx(circular_skip_links(41, skip)), nx.circulant_graph(41, [1, skip])
        assert nx.utils.graphs_equal(ours, theirs)
    with pytest.raises(DataError):
        circular_skip_links(41, 1)


def neighbour_refinement(graph, colours):
    """Colour refinement of one graph by its definition, with nested tuples as colours."""
    adjacency = graph.adjacency
    for _ in range(graph.num_nodes):
        colours = [
            (colours[i], tuple(sorted(colours[j] for j in range(graph.num_nodes) if adjacency[i, j])))
            for i in range(graph.num_nodes)
        ]
    return colours


def test_colour_refinement_is_that_of_its_definition(rng):
    graphs = [
        Graph.build(torch.tensor(list(nx.gnp_random_graph(6, 0.4, seed=seed).edges)).reshape(-1, 2), 6)
        for seed in range(30)
    ]
    graphs += [graph.relabelled(torch.randperm(6, generator=rng)) for graph in graphs[:5]]
    graphs.append(path(4))
    colours, classes = colour_refinement(pad_graphs(graphs)), refinement_classes(pad_graphs(graphs))
    slow = [neighbour_refinement(graph, [0] * graph.num_nodes) for graph in graphs]
    for i, j in itertools.combinations(range(len(graphs)), 2):
        assert (classes[i] == classes[j]) == (sorted(slow[i]) == sorted(slow[j]))
    for graph, ours, theirs in zip(graphs, colours.tolist(), slow, strict=True):
        pairs = list(itertools.combinations(range(graph.num_nodes), 2))
        assert [ours[i] == ours[j] for i, j in pairs] == [theirs[i] == theirs[j] for i, j in pairs]
        assert ours[graph.num_nodes :] == [-1] * (6 - graph.num_nodes)


def test_refinement_sees_features_weights_and_sizes():
    plain, marked = path(3, features=torch.zeros(3, 1)), path(3, features=torch.tensor([[1.0], [0.0], [0.0]]))
    assert refinement_classes(pad_graphs([plain, marked, plain])).tolist() in ([0, 1, 0], [1, 0, 1])
    heavy = path(3, weights=torch.tensor([2.0, 1.0]))
    assert len(refinement_classes(pad_graphs([path(3), heavy])).unique()) == 2
    empty = Graph.build(torch.zeros(0, 2, dtype=torch.int64), 2)
    larger = Graph.build(torch.zeros(0, 2, dtype=torch.int64), 3)
    assert len(refinement_classes(pad_graphs([empty, larger])).unique()) == 2
    assert len(refinement_classes(pad_graphs([rook(), shrikhande()])).unique()) == 1


def test_312_pairs_of_graphs_on_eight_nodes_cannot_be_told_apart():
    classes = refinement_classes(pad_graphs(read_graph6(find_data("fa_graphs/graph8c.g6"))))
    sizes = torch.bincount(classes)
    assert int((sizes * (sizes - 1) // 2).sum()) == 312


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # raised by what PyG imports
def test_graphs_go_to_pyg_and_back():
    graph = path(4, features=torch.arange(8.0).reshape(4, 2), weights=torch.tensor([1.0, 2.0, 3.0]), label="1")
    data = graph_to_pyg(graph)
    assert data.is_undirected()
    assert data.y.tolist() == [1]
    back = graph_from_pyg(data)
    assert torch.equal(back.adjacency, graph.adjacency)
    assert torch.equal(back.features, graph.features.double())
    assert back.label == "1"
    data.edge_index = data.edge_index[:, :1]
    data.edge_weight = None
    with pytest.raises(DataError, match="one direction only"):
        graph_from_pyg(data)
    with pytest.raises(DataError, match="no edges"):
        graph_from_pyg(object())
