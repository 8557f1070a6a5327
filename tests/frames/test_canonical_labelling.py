"""Canonical labellings and automorphisms of nauty, against a slow search through all permutations."""

import itertools
import math

import pytest
import torch

from intertwine.errors import DataError
from intertwine.frames import GraphFrame, MinimalGraphFrame, automorphisms, canonical_labelling
from intertwine.graphs import Graph, circular_skip_links, pad_graphs, read_graph6, rook, shrikhande
from intertwine.groups import SymmetricGroup
from intertwine.training import find_data


@pytest.fixture(scope="module")
def graph8c():
    """The adjacency matrices of all connected graphs on eight nodes."""
    return pad_graphs(read_graph6(find_data("fa_graphs/graph8c.g6"))).adjacency


def random_graph(nodes, rng, values=(0.0, 1.0), colours=1):
    choice = torch.randint(len(values), (nodes, nodes), generator=rng)
    upper = torch.tensor(values, dtype=torch.float64)[choice].triu(1)
    features = torch.randint(colours, (nodes, 1), generator=rng).double()
    return upper + upper.T, features


def all_permutations(nodes):
    return torch.tensor(list(itertools.permutations(range(nodes))))


def slow_automorphisms(matrix, features):
    """All permutations that change nothing, by trying each."""
    every = all_permutations(len(matrix))
    moved = matrix[every[:, :, None], every[:, None, :]]
    keeps = (moved == matrix).all((1, 2)) & (features[every] == features).all((1, 2))
    return {tuple(p) for p in every[keeps].tolist()}


def slow_canonical_form(matrix, features):
    """The smallest of all renamed matrices, read row by row after the features."""
    every = all_permutations(len(matrix))
    words = torch.cat([features[every].flatten(1), matrix[every[:, :, None], every[:, None, :]].flatten(1)], dim=1)
    return min(map(tuple, words.tolist()))


def form(matrix, features, labelling):
    return (features[labelling].tolist(), matrix[labelling][:, labelling].tolist())


def test_numbers_of_all_connected_graphs_on_eight_nodes(graph8c):
    orders = torch.tensor([automorphisms(matrix).order for matrix in graph8c], dtype=torch.float64)
    assert int((math.factorial(8) / orders).sum()) == 251548592
    assert int((orders == 1).sum()) == 3552
    frames = MinimalGraphFrame().partition(graph8c).elements()
    assert frames.counts.tolist() == [1] * len(graph8c)
    forms = frames.canonical(graph8c, (1, 2)).flatten(1)
    assert len(torch.unique(forms, dim=0)) == 11117
    assert torch.equal(orders, torch.from_numpy(load_facts()).double())


def load_facts():
    import numpy as np

    return np.load(find_data("fa_graphs/graph8c_facts.npz"))["automorphisms"]


def test_renamed_graphs_have_the_same_canonical_form(graph8c, rng):
    permutations = SymmetricGroup(8).sample(len(graph8c), rng=rng)
    back = permutations.argsort(-1)
    rows = torch.arange(len(graph8c))[:, None, None]
    forms = [
        MinimalGraphFrame().partition(matrices).elements().canonical(matrices, (1, 2))
        for matrices in (graph8c, graph8c[rows, back[:, :, None], back[:, None, :]])
    ]
    assert torch.equal(*forms)


@pytest.mark.parametrize(
    ("values", "colours"), [((0.0, 1.0), 1), ((0.0, 1.0), 2), ((0.0, 1.0, 2.5), 1), ((0.0, -1.0, 0.5, 3.0, 7.0), 2)]
)
def test_coloured_and_weighted_graphs_against_a_slow_search(values, colours, rng):
    """Forms are equal exactly where the smallest renamed matrices are, and automorphisms are those that exist."""
    ours, theirs = [], []
    for nodes in (1, 2, 3, 4, 5, 5, 5, 6):
        matrix, features = random_graph(nodes, rng, values, colours)
        group = automorphisms(matrix, features)
        expected = slow_automorphisms(matrix, features)
        assert {tuple(p) for p in group.elements().tolist()} == expected
        assert group.order == len(expected)
        for _ in range(2):
            p = torch.randperm(nodes, generator=rng)
            moved, marked = matrix[p][:, p], features[p]
            ours.append(form(moved, marked, canonical_labelling(moved, marked)))
            theirs.append(slow_canonical_form(moved, marked))
    for i, j in itertools.combinations(range(len(ours)), 2):
        assert (ours[i] == ours[j]) == (theirs[i] == theirs[j])


def test_the_slow_search_sees_a_graph_that_is_not_the_same(rng):
    """The oracle itself: a path is not a star, and a marked end is not a marked middle."""
    path = Graph.build(torch.tensor([[0, 1], [1, 2], [2, 3]]), 4).adjacency
    star = Graph.build(torch.tensor([[0, 1], [0, 2], [0, 3]]), 4).adjacency
    none = torch.zeros(4, 1).double()
    assert slow_canonical_form(path, none) != slow_canonical_form(star, none)
    assert len(slow_automorphisms(path, none)) == 2
    assert len(slow_automorphisms(star, none)) == 6
    marked = none.clone()
    marked[0] = 1
    assert len(slow_automorphisms(path, marked)) == 1


def test_known_automorphism_groups():
    assert automorphisms(rook().adjacency).order == 1152
    assert automorphisms(shrikhande().adjacency).order == 192
    assert automorphisms(circular_skip_links(41, 2).adjacency).order == 82
    assert automorphisms(torch.zeros(5, 5)).order == 120
    assert automorphisms(torch.zeros(0, 0)).order == 1
    assert len(automorphisms(rook().adjacency).elements()) == 1152
    with pytest.raises(DataError, match="too many automorphisms"):
        automorphisms(torch.zeros(12, 12)).elements()
    loop = torch.zeros(3, 3)
    loop[1, 1] = 1
    assert automorphisms(loop).order == 2


def test_a_minimal_frame_has_as_many_elements_as_the_graph_has_automorphisms_and_moves_with_it(rng):
    group = SymmetricGroup(6)
    for colours in (1, 2):
        for _ in range(10):
            matrix, features = random_graph(6, rng, colours=colours)
            frame = MinimalGraphFrame()
            before = frame.elements(matrix[None], features[None])
            assert len(before.index) == automorphisms(matrix, features).order
            assert len(torch.unique(before.canonical(matrix[None], (1, 2)), dim=0)) == 1
            g = group.sample(rng=rng)
            back = g.argsort()
            after = frame.elements(matrix[back][:, back][None], features[back][None]).elements
            assert {tuple(p) for p in group.compose(g, before.elements).tolist()} == {tuple(p) for p in after.tolist()}


def test_no_frame_is_smaller(graph8c):
    some = graph8c[::37]
    minimal = MinimalGraphFrame().elements(some).counts
    assert (minimal <= GraphFrame().partition(some).orders).all()


def test_draws_from_a_minimal_frame_are_uniform_and_move_with_their_keys(rng):
    cycle = Graph.build(torch.tensor([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]]), 5).adjacency[None]
    frame, group = MinimalGraphFrame(), SymmetricGroup(5)
    drawn = frame.sample(cycle, samples=5000, rng=rng).elements
    found, counts = torch.unique(drawn, dim=0, return_counts=True)
    assert {tuple(p) for p in found.tolist()} == {tuple(p) for p in frame.elements(cycle).elements.tolist()}
    assert len(counts) == 10
    assert float(((counts - 500.0) ** 2 / 500).sum()) < 27.9  # 99.9 % of 9 degrees of freedom
    keys, g = torch.rand(1, 4, 5, generator=rng).double(), group.sample(rng=rng)
    back = g.argsort()
    moved = frame.sample(cycle[:, back][:, :, back], keys=keys[..., back]).elements
    assert torch.equal(moved, group.compose(g, frame.sample(cycle, keys=keys).elements))


def test_padding_and_places_of_nodes_change_no_form(rng):
    matrix, features = random_graph(4, rng, colours=2)
    padded, rows = torch.zeros(1, 6, 6).double(), torch.zeros(1, 6, 1).double()
    places = torch.tensor([4, 1, 5, 2])
    padded[0, places[:, None], places] = matrix
    rows[0, places] = features
    mask = torch.zeros(1, 6, dtype=torch.bool).index_fill_(1, places, True)
    frame = MinimalGraphFrame()
    for frames in (
        frame.elements(padded, rows, mask),
        frame.partition(padded, rows, mask).elements(),
        frame.sample(padded, rows, mask, samples=3, rng=rng),
    ):
        forms = frames.canonical(padded, (1, 2))
        order = canonical_labelling(matrix, features)
        assert (forms[:, :4, :4] == matrix[order][:, order]).all()
        assert frames.canonical(mask)[:, :4].all()
    assert frame.elements(torch.zeros(0, 3, 3)).elements.shape == (0, 3)


def test_a_missing_library_is_named(monkeypatch):
    import sys

    from intertwine.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "pynauty", None)
    with pytest.raises(MissingExtraError, match=r"intertwine\[graphs\]"):
        canonical_labelling(torch.zeros(2, 2))
