"""Frames of graphs: the exact numbers of all connected graphs on eight nodes, and an oracle that lists all orders."""

import itertools
import math

import numpy as np
import pytest
import torch

from intertwine.errors import DataError, NumericsError, ShapeError
from intertwine.frames import (
    FullGraphFrame,
    GraphFrame,
    OrderedPartition,
    cluster_rows,
    laplacian_signatures,
    orbit_representatives,
)
from intertwine.graphs import Graph, circular_skip_links, pad_graphs, read_graph6, read_graphs, rook, shrikhande
from intertwine.groups import SymmetricGroup
from intertwine.training import find_data


@pytest.fixture(scope="module")
def graph8c():
    """All connected graphs on eight nodes, and the orders of their automorphism groups."""
    batch = pad_graphs(read_graph6(find_data("fa_graphs/graph8c.g6")))
    orders = np.load(find_data("fa_graphs/graph8c_facts.npz"))["automorphisms"]
    return batch.adjacency, torch.from_numpy(orders).double()


@pytest.fixture(scope="module")
def exp():
    """The graphs of EXP as a batch."""
    return pad_graphs(read_graphs(find_data("fa_graphs/exp_planar_sat.npz")))


def random_graph(nodes, rng, weighted=False):
    upper = torch.rand(nodes, nodes, generator=rng, dtype=torch.float64)
    matrix = torch.where(upper < 0.5, 1 + weighted * upper, 0.0).triu(1)
    return matrix + matrix.T


def sorting_orders(signature, tolerance=1e-6):
    """All orders of the rows that are lexicographic up to a tolerance, by trying all of them."""
    rows = signature.tolist()

    def before_or_equal(a, b):
        difference = next((x - y for x, y in zip(a, b, strict=True) if abs(x - y) > tolerance), 0)
        return difference <= 0

    return {
        order
        for order in itertools.permutations(range(len(rows)))
        if all(before_or_equal(rows[a], rows[b]) for a, b in itertools.pairwise(order))
    }


def projector_diagonals(matrix):
    """Signatures by definition, a graph at a time: projectors of numpy's eigenvectors, grouped one by one."""
    values, vectors = np.linalg.eigh(np.diag(matrix.sum(0)) - matrix)
    groups = [[0]]
    for place in range(1, len(values)):
        if values[place] - values[place - 1] > 1e-8 * max(abs(values)):
            groups.append([])
        groups[-1].append(place)
    return np.stack([np.diag(vectors[:, g] @ vectors[:, g].T) for g in groups], axis=1)


# --- exact numbers ---------------------------------------------------------------------------------------


def test_frames_of_all_graphs_on_eight_nodes_have_the_known_sizes(graph8c):
    adjacency, automorphisms = graph8c
    partition = GraphFrame().partition(adjacency)
    orders = partition.orders
    assert partition.valid.all()
    assert int((orders == 1).sum()) == 3070
    assert int((orders == automorphisms).sum()) == 7062
    assert float(orders.mean()) == pytest.approx(52.95, abs=0.005)
    assert (float(orders.median()), float(orders.max())) == (2, 40320)
    quotients = orders / automorphisms
    assert torch.equal(quotients, quotients.round()), "the automorphisms divide the frame"
    counts = torch.bincount(quotients.long())
    assert {m: int(counts[m]) for m in (1, 2, 3, 4, 6, 8, 12)} == {
        1: 7062, 2: 2266, 3: 286, 4: 734, 6: 266, 8: 192, 12: 132,
    }  # fmt: skip
    assert float(partition.log_orders.max()) == pytest.approx(math.log(40320))


def test_spectra_of_all_graphs_on_eight_nodes(graph8c):
    found = laplacian_signatures(graph8c[0])
    assert int((found.distinct == 8).sum()) == 8363
    assert found.clear.all()
    order = found.eigenvalues.T.flip(0).numpy()
    values = found.eigenvalues[torch.from_numpy(np.lexsort(np.round(order, 6)))]
    # cospectral graphs are next to each other: runs of equal spectra give the pairs
    same = (values.diff(dim=0).abs() < 1e-6).all(-1).tolist()
    runs = [len(list(run)) + 1 for equal, run in itertools.groupby(same) if equal]
    assert sum(size * (size - 1) // 2 for size in runs) == 1022


def test_canonical_forms_over_a_frame_do_not_depend_on_the_names_of_the_nodes(graph8c, rng):
    """All 11 117 graphs: whole frames of the graph and of a renamed one give the same matrices, as often."""
    adjacency, _ = graph8c
    powers = 1 << torch.arange(64).remainder(62)
    images = []
    permutations = SymmetricGroup(8).sample(len(adjacency), rng=rng)
    back = permutations.argsort(-1)
    rows = torch.arange(len(adjacency))[:, None, None]
    for matrices in (adjacency, adjacency[rows, back[:, :, None], back[:, None, :]]):
        frames = GraphFrame().partition(matrices).elements()
        codes = (frames.canonical(matrices, (1, 2)).flatten(1).long() * powers).sum(-1)
        order = np.lexsort((codes.numpy(), frames.index.numpy()))
        images.append(np.stack([frames.index.numpy()[order], codes.numpy()[order]]))
    assert images[0].shape[1] == 588694
    np.testing.assert_array_equal(*images)


def test_orbits_of_all_graphs_on_eight_nodes(graph8c):
    adjacency, automorphisms = graph8c
    partition = GraphFrame().partition(adjacency)
    some = orbit_representatives(partition.elements(), adjacency)
    assert torch.equal(some.counts.double(), partition.orders / automorphisms)
    assert len(some.index) == 39725


def test_rounding_breaks_most_graphs_and_a_tolerance_none(graph8c, rng):
    """Every first column is 1/8 = 0.125, a boundary of rounding to two decimals."""
    adjacency, _ = graph8c
    permutations = SymmetricGroup(8).sample(len(adjacency), rng=rng)
    back = permutations.argsort(-1)
    rows = torch.arange(len(adjacency))[:, None, None]
    renamed = adjacency[rows, back[:, :, None], back[:, None, :]]
    before, after = (laplacian_signatures(matrices).columns for matrices in (adjacency, renamed))
    moved = before[torch.arange(len(before))[:, None], back]
    broken = (np.round(moved.numpy(), 2) != np.round(after.numpy(), 2)).any((1, 2))
    # 10 946 is the printed count of one draw of names
    assert abs(int(broken.sum()) - 10_946) < 40
    # entries |u| themselves are 0.3535..., which happens to survive
    assert np.array_equal(np.round(moved.sqrt().numpy(), 2), np.round(after.sqrt().numpy(), 2))
    assert float((moved - after).abs().max()) < 1e-10
    ranks = [GraphFrame().partition(matrices).ranks for matrices in (adjacency, renamed)]
    assert torch.equal(ranks[1].gather(1, permutations), ranks[0])


@pytest.mark.data("fa_graphs/exp_planar_sat.npz")
def test_the_graphs_of_exp(exp, rng):
    spectra = laplacian_signatures(exp.adjacency, exp.mask)
    sizes = exp.mask.sum(-1)
    assert not (spectra.distinct == sizes).any(), "no simple spectra"
    values = spectra.eigenvalues.nan_to_num(posinf=0)
    same_size = sizes[::2] == sizes[1::2]
    assert not ((values[::2] - values[1::2]).abs().amax(-1) < 1e-6)[same_size].any(), "no pair is cospectral"
    partition = GraphFrame().partition(exp.adjacency, exp.features, exp.mask)
    assert partition.valid.all()
    decimal = partition.log_orders / math.log(10)
    assert float(decimal.max()) == pytest.approx(26.9, abs=0.05)
    assert float(decimal.min()) > 4
    permutations = SymmetricGroup(64).sample(len(sizes), rng=rng)
    back = permutations.argsort(-1)
    rows = torch.arange(len(sizes))[:, None, None]
    moved = GraphFrame().partition(
        exp.adjacency[rows, back[:, :, None], back[:, None, :]],
        exp.features[rows[..., 0], back],
        exp.mask[rows[..., 0], back],
    )
    assert torch.equal(moved.ranks.gather(1, permutations)[exp.mask], partition.ranks[exp.mask])


# --- against definitions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("nodes", [1, 2, 3, 4, 5, 6])
def test_frames_are_all_orders_that_sort_the_signature(nodes, weighted, rng):
    for _ in range(6):
        matrix = random_graph(nodes, rng, weighted)
        found = GraphFrame().partition(matrix[None]).elements()
        expected = sorting_orders(projector_diagonals(matrix.numpy()))
        assert {tuple(p) for p in found.elements.tolist()} == expected
        assert len(found.index) == len(expected) == int(found.counts)
        assert float(found.weights.sum()) == pytest.approx(1)


def test_signatures_are_diagonals_of_projectors(rng):
    for nodes in (1, 4, 9):
        matrix = random_graph(nodes, rng)
        found = laplacian_signatures(matrix[None])
        expected = torch.from_numpy(projector_diagonals(matrix.numpy()))
        assert int(found.distinct) == expected.shape[1]
        torch.testing.assert_close(found.columns[0], expected, atol=1e-12, rtol=0)
        torch.testing.assert_close(found.columns[0].sum(-1), torch.ones(nodes).double(), atol=1e-12, rtol=0)


def test_a_frame_moves_with_the_graph_as_a_set(rng):
    """F(g X) = g F(X), with the product of the group's own elements."""
    group = SymmetricGroup(6)
    for _ in range(20):
        matrix, g = random_graph(6, rng), group.sample(rng=rng)
        back = group.inverse(g)
        before = GraphFrame().partition(matrix[None]).elements().elements
        after = GraphFrame().partition(matrix[back][:, back][None]).elements().elements
        assert {tuple(p) for p in group.compose(g, before).tolist()} == {tuple(p) for p in after.tolist()}


def test_features_are_further_columns(rng):
    cycle = circular_skip_links(5, 2).adjacency[None]  # all nodes alike
    features = torch.tensor([3.0, 1.0, 3.0, 2.0, 2.0]).double()[None, :, None]
    assert float(GraphFrame().partition(cycle).orders) == 120
    with_features = GraphFrame().partition(cycle, features)
    assert with_features.ranks.tolist() == [[2, 0, 2, 1, 1]]
    assert float(with_features.orders) == 4
    assert float(GraphFrame(use_features=False).partition(cycle, features).orders) == 120


def test_vertex_transitive_graphs_have_all_permutations():
    for graph in (rook(), shrikhande()):
        partition = GraphFrame().partition(graph.adjacency[None])
        assert float(partition.orders) == math.factorial(16)
        assert torch.equal(partition.ranks, FullGraphFrame().partition(graph.adjacency[None]).ranks)


def test_padding_changes_nothing(rng):
    matrices = [random_graph(nodes, rng) for nodes in (3, 7, 1, 5)]
    graphs = [Graph.build(matrix.nonzero(), len(matrix)) for matrix in matrices]
    batch = pad_graphs(graphs, nodes=9)
    partition = GraphFrame().partition(batch.adjacency, batch.features, batch.mask)
    frames = partition.elements()
    for place, matrix in enumerate(matrices):
        alone = GraphFrame().partition(matrix[None])
        assert torch.equal(alone.ranks[0], partition.ranks[place, : len(matrix)])
        mine = frames.elements[frames.index == place]
        assert torch.equal(mine[:, : len(matrix)], alone.elements().elements)
        assert (mine[:, len(matrix) :] == torch.arange(len(matrix), 9)).all()
        columns = laplacian_signatures(batch.adjacency, batch.mask).columns[place]
        expected = laplacian_signatures(matrix[None]).columns[0]
        torch.testing.assert_close(columns[: len(matrix), : expected.shape[1]], expected, atol=1e-12, rtol=0)
        assert columns[len(matrix) :].abs().max() < 1e-12


def test_nodes_may_stand_anywhere_in_a_padded_graph(rng):
    matrix = random_graph(4, rng)
    padded, mask = torch.zeros(1, 7, 7).double(), torch.zeros(1, 7, dtype=torch.bool)
    places = torch.tensor([5, 0, 3, 6])
    padded[0, places[:, None], places] = matrix
    mask[0, places] = True
    frames = GraphFrame().partition(padded, mask=mask).elements()
    forms = frames.canonical(padded, (1, 2))[:, :4, :4]
    alone = GraphFrame().partition(matrix[None]).elements().canonical(matrix[None], (1, 2))
    assert {tuple(m.flatten().tolist()) for m in forms} == {tuple(m.flatten().tolist()) for m in alone}
    assert frames.canonical(mask)[:, :4].all()
    assert not frames.canonical(mask)[:, 4:].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_isolated_nodes_several_components_loops_and_weights(dtype):
    edges = torch.tensor([[0, 1], [2, 3], [4, 4]])
    graph = Graph.build(edges, 6, weights=torch.tensor([2.0, -2.0, 1.0]))
    partition = GraphFrame().partition(graph.adjacency[None].to(dtype))
    ranks = partition.ranks[0].tolist()
    assert ranks[0] == ranks[1] != ranks[2] == ranks[3]
    assert ranks[4] != ranks[5], "an edge from a node to itself tells it from a node without"
    assert float(partition.orders) == 4
    assert partition.valid.all()


def test_a_graph_without_nodes_has_the_empty_permutation():
    partition = GraphFrame().partition(torch.zeros(2, 0, 0))
    assert partition.orders.tolist() == [1, 1]
    assert partition.elements().elements.shape == (2, 0)
    assert partition.sample(3).elements.shape == (6, 0)
    assert GraphFrame().partition(torch.zeros(0, 4, 4)).elements().elements.shape == (0, 4)


# --- clusters --------------------------------------------------------------------------------------------


def test_rows_are_compared_with_a_tolerance_first_column_first():
    columns = torch.tensor([[0.5, 2.0], [0.5 + 1e-9, 1.0], [0.1, 9.0], [0.5, 2.0 - 1e-9]]).double()
    ranks, clear = cluster_rows(columns[None], torch.ones(1, 4, dtype=torch.bool))
    assert ranks.tolist() == [[2, 1, 0, 2]]
    assert clear.all()


def test_what_rounding_could_decide_is_not_valid():
    """A pair of eigenvalues nearer than rounding allows to tell, and one that is clearly apart."""
    for split, valid in ((1e-8, False), (1e-3, True), (0.0, True)):
        # two edges whose weights differ by `split`, so that two eigenvalues do
        graph = Graph.build(
            torch.tensor([[0, 1], [2, 3]]), 4, weights=torch.tensor([1.0, 1 + split], dtype=torch.float64)
        )
        partition = GraphFrame(eigenvalue_tolerance=1e-8 / (1 + split)).partition(graph.adjacency[None])
        assert bool(partition.valid) is valid, split


# --- drawing and listing ---------------------------------------------------------------------------------


def make_partition(*ranks):
    table = torch.tensor(ranks)
    return OrderedPartition(table, torch.ones_like(table, dtype=torch.bool), torch.ones(len(table), dtype=torch.bool))


def test_all_elements_are_listed_once():
    partition = make_partition([1, 0, 1, 1, 0, 2], [0, 1, 2, 3, 4, 5], [0, 0, 0, 0, 0, 0])
    frames = partition.elements()
    assert frames.counts.tolist() == [12, 1, 720]
    for place in range(3):
        mine = [tuple(p) for p in frames.elements[frames.index == place].tolist()]
        assert len(set(mine)) == len(mine)
        ranks = partition.ranks[place].tolist()
        assert all([ranks[i] for i in p] == sorted(ranks) for p in mine)


def test_draws_are_uniform(rng):
    partition = make_partition([1, 0, 1, 1, 0])
    frames = partition.sample(24000, rng=rng)
    _, counts = torch.unique(frames.elements, dim=0, return_counts=True)
    assert len(counts) == 12
    chi_squared = float(((counts - 2000.0) ** 2 / 2000).sum())
    assert chi_squared < 31.3  # 99.9 % of 11 degrees of freedom


def test_draws_move_with_their_keys(rng):
    group = SymmetricGroup(6)
    partition = make_partition([1, 0, 1, 1, 0, 2])
    keys, g = torch.rand(1, 3, 6, generator=rng).double(), group.sample(rng=rng)
    back = group.inverse(g)
    moved = make_partition(partition.ranks[0, back].tolist()).sample(keys=keys[..., back]).elements
    assert torch.equal(moved, group.compose(g, partition.sample(keys=keys).elements))


def test_large_frames_are_refused_or_drawn_from(rng):
    partition = make_partition([0] * 6, [0, 1, 2, 3, 4, 4])
    with pytest.raises(DataError, match="too many elements") as caught:
        partition.elements(limit=100)
    assert "10^2.9" in caught.value.got
    frames = partition.elements(limit=100, samples=7, rng=rng)
    assert frames.counts.tolist() == [7, 2]
    assert frames.index.tolist() == [0] * 7 + [1] * 2
    torch.testing.assert_close(frames.weights, torch.tensor([1 / 7] * 7 + [0.5] * 2).double())


def test_the_order_of_a_huge_frame_is_a_logarithm():
    partition = make_partition([0] * 200)
    assert float(partition.log_orders) == pytest.approx(math.lgamma(201))
    assert float(partition.orders) == math.inf
    assert partition.sample(2).elements.shape == (2, 200)


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [GraphFrame(), FullGraphFrame()])
def test_what_is_no_graph_is_refused(frame):
    ones = torch.ones(2, 3, 3)
    directed = ones.clone()
    directed[1, 0, 1] = 0
    with pytest.raises(DataError, match="directed") as caught:
        frame.partition(directed)
    assert caught.value.got == {"graphs": [1]}
    with pytest.raises(NumericsError, match="weight of an edge"):
        frame.partition(ones.clone().index_fill_(0, torch.tensor(1), torch.nan))
    with pytest.raises(NumericsError, match="feature of a node") as caught:
        frame.partition(ones, torch.tensor([0.0, torch.nan]).reshape(2, 1, 1).expand(2, 3, 1))
    assert caught.value.got == {"graphs": [1]}
    with pytest.raises(DataError, match="outside of the mask"):
        frame.partition(ones, mask=torch.tensor([[True, True, False]]).expand(2, 3))
    for adjacency, features, mask in (
        (ones[0], None, None),
        (torch.ones(2, 3, 4), None, None),
        (ones, torch.ones(2, 4, 1), None),
        (ones, None, torch.ones(2, 4, dtype=torch.bool)),
        (ones, None, torch.ones(2, 3)),
    ):
        with pytest.raises(ShapeError):
            frame.partition(adjacency, features, mask)


def test_keys_and_data_that_do_not_fit_are_refused():
    partition = make_partition([0, 1, 1])
    with pytest.raises(ShapeError, match="keys"):
        partition.sample(keys=torch.zeros(1, 3))
    frames = partition.elements()
    with pytest.raises(ShapeError, match="do not fit the frames"):
        frames.canonical(torch.zeros(1, 4))
    with pytest.raises(ShapeError, match="do not fit the frames"):
        frames.carried_back(torch.zeros(1, 3))
    with pytest.raises(ShapeError, match="do not fit the frames"):
        frames.canonical(torch.zeros(1, 3, 3), (2,))
