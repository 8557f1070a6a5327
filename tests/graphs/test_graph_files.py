"""Files of graphs: against networkx where it reads them too, and what happens to damaged ones."""

import networkx as nx
import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.graphs import (
    Graph,
    format_graph6,
    parse_graph6,
    read_graph6,
    read_graph_archive,
    read_graphs,
    write_graph6,
    write_graph_archive,
)
from intertwine.training import find_data


def same(graph, other):
    return torch.equal(graph.adjacency, torch.from_numpy(nx.to_numpy_array(other, nodelist=sorted(other.nodes))))


@pytest.mark.parametrize("nodes", [0, 1, 2, 5, 8, 40, 62, 63, 64, 300])
def test_graph6_is_that_of_networkx(nodes):
    theirs = nx.gnp_random_graph(nodes, 0.3, seed=nodes)
    text = nx.to_graph6_bytes(theirs, header=False).decode().strip()
    ours = parse_graph6(text)
    assert ours.num_nodes == nodes
    if nodes:
        assert same(ours, theirs)
    assert format_graph6(ours) == text
    with_header = nx.to_graph6_bytes(theirs, header=True).decode()
    assert torch.equal(parse_graph6(with_header).edge_index, ours.edge_index)


def test_the_graphs_on_eight_nodes_are_read_and_written_as_they_are(tmp_path):
    path = find_data("fa_graphs/graph8c.g6")
    graphs = read_graph6(path)
    assert len(graphs) == 11117
    assert {graph.num_nodes for graph in graphs} == {8}
    assert write_graph6(tmp_path / "again.g6", graphs).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("G?B@x", "its length does not fit"),  # cut
        ("G?B@xwG?B@xw", "its length does not fit"),  # two lines joined
        ("G?B@x!", "is not graph6"),  # a letter that the format does not have
        ("G?B@xé", "is not graph6"),
        ("Bx", "beyond its nodes"),  # a bit after the last pair
        ("~", "its length does not fit|number of nodes is cut"),
        ("~?@", "number of nodes is cut"),
        (":Fa@x^", "sparse6"),
        ("&DI?AO?", "digraph6"),
        ("", "is not graph6"),
    ],
)
def test_a_damaged_line_says_what_is_wrong_with_it(line, words):
    with pytest.raises(DataError, match=words):
        parse_graph6(line)


def test_a_damaged_line_of_a_file_is_named(tmp_path):
    path = tmp_path / "some.g6"
    path.write_text(">>graph6<<Bw 1\n\nBg two\nBwww\n")
    with pytest.raises(DataError, match=r"some\.g6, line 4"):
        read_graph6(path)
    path.write_text(">>graph6<<Bw 1\n\nBg two\n")
    assert [graph.label for graph in read_graphs(path)] == ["1", "two"]
    assert [graph.name for graph in read_graphs(path)] == ["some.g6, line 1", "some.g6, line 3"]
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="not a graph6 file"):
        read_graphs(path)


def test_what_graph6_does_not_have_is_not_written():
    loop = Graph.build(torch.tensor([[0, 0]]), 1)
    weighted = Graph.build(torch.tensor([[0, 1]]), 2, weights=torch.tensor([2.0]))
    for graph in (loop, weighted):
        with pytest.raises(DataError, match="cannot be written"):
            format_graph6(graph)


def make_graphs():
    return [
        Graph.build(
            torch.tensor([[0, 1], [1, 2], [2, 2]]),
            4,
            features=torch.arange(8.0).reshape(4, 2).double(),
            weights=torch.tensor([1.0, 2.0, 3.0]).double(),
            label=label,
        )
        for label in ("1", "0")
    ]


def test_an_archive_is_what_was_written(tmp_path):
    path = write_graph_archive(tmp_path / "some.npz", make_graphs())
    found = read_graphs(path)
    for before, after in zip(make_graphs(), found, strict=True):
        assert torch.equal(before.adjacency, after.adjacency)
        assert torch.equal(before.features, after.features)
        assert before.label == after.label
    assert np.load(path)["label"].tolist() == [1, 0]
    with pytest.raises(DataError, match="only some"):
        write_graph_archive(path, [*make_graphs(), Graph.build(torch.tensor([[0, 1]]), 2)])


@pytest.mark.data("fa_graphs/exp_planar_sat.npz", "equivariant-polynomials/exp1200.npz")
def test_exp_is_the_same_in_both_layouts():
    ours, theirs = (
        read_graph_archive(find_data(name))
        for name in ("fa_graphs/exp_planar_sat.npz", "equivariant-polynomials/exp1200.npz")
    )
    assert len(ours) == len(theirs) == 1200
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a.edge_index, b.edge_index)
        assert torch.equal(a.features, b.features)
        assert a.label == b.label
    sizes = [graph.num_nodes for graph in ours]
    assert (min(sizes), max(sizes), round(float(np.mean(sizes)), 1)) == (32, 64, 44.4)
    assert all(a.label != b.label for a, b in zip(ours[::2], ours[1::2], strict=True))


def arrays(**changes):
    return {
        "num_nodes": np.array([2, 3]),
        "edge_index": np.array([[0, 1, 0, 1], [1, 0, 1, 0]]),
        "edge_offset": np.array([0, 2, 4]),
        "label": np.array([0, 1]),
        "node_type": np.zeros(5),
    } | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edge_index": np.array([[0, 1, 0, 1], [1, 0, 3, 0]])}, "a node that does not exist"),
        ({"edge_index": np.array([[0, 1, 0, 1], [1, 0, 1, 2]])}, "graph 1 is there in one direction only"),
        ({"edge_index": np.zeros((2, 4))}, "do not fit together"),
        ({"edge_offset": np.array([0, 2, 5])}, "do not fit together"),
        ({"edge_offset": np.array([0, 4])}, "do not fit together"),
        ({"edge_offset": np.array([0, 3, 2])}, "do not fit together"),
        ({"label": np.array([0])}, "do not fit together"),
        ({"node_type": np.zeros(4)}, "do not fit together"),
        ({"node_type": np.array([0, 0, np.nan, 0, 0])}, "not a finite number"),
        ({"num_nodes": np.array([2, -1])}, "do not fit together"),
    ],
)
def test_archives_that_are_not_graphs_are_refused(tmp_path, changes, words):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays())
    assert len(read_graphs(path)) == 2
    np.savez(path, **arrays(**changes))
    with pytest.raises(DataError, match=words):
        read_graphs(path)


def test_archives_without_arrays_or_cut_off_are_refused(tmp_path):
    path = tmp_path / "bad.npz"
    np.savez(path, edges=np.zeros((2, 2)))
    with pytest.raises(DataError, match="lacks num_nodes"):
        read_graphs(path)
    np.savez(path, **arrays())
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cut off"):
        read_graphs(path)


def test_graphml_is_read_as_networkx_wrote_it(tmp_path):
    graph = nx.Graph(nx.path_graph(4), label="chain", name="mine")
    nx.set_node_attributes(graph, {i: {"mass": 1.5 * i, "element": "C", "charge": i} for i in graph})
    graph.edges[1, 2]["weight"] = 2.5
    path = tmp_path / "chain.graphml"
    nx.write_graphml(graph, path)
    (found,) = read_graphs(path)
    assert (found.label, found.name, found.num_nodes) == ("chain", "mine", 4)
    assert found.features.tolist() == [[i, 1.5 * i] for i in range(4)]
    assert found.adjacency[1].tolist() == [1, 0, 2.5, 0]
    nx.write_graphml(nx.DiGraph([(0, 1)]), path)
    with pytest.raises(DataError, match="directed"):
        read_graphs(path)
    path.write_text(path.read_text()[:200])
    with pytest.raises(DataError, match="damaged"):
        read_graphs(path)


def test_edge_lists_have_graphs_between_empty_lines(tmp_path):
    path = tmp_path / "some.edges"
    path.write_text("# name=first label=ring it's\n10 2\n2 7\n7 10\n99\n\n\n# label=pair\na b 0.5\n")
    first, second = read_graphs(path)
    assert (first.name, first.label, first.num_nodes) == ("first", "ring", 4)
    assert first.adjacency.sum(0).tolist() == [2, 2, 2, 0]  # nodes 2, 7, 10, and 99 without edges
    assert (second.name, second.label, second.adjacency.tolist()) == ("1", "pair", [[0, 0.5], [0.5, 0]])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 1\n1 2 3 4\n", "line 2"),
        ("0 1 heavy\n", "line 1"),
        ("0 1 nan\n", "line 1"),
        ("0 1 1.0\n1 0 2.0\n", "two weights"),
        ("\n# nothing\n", "holds no graphs"),
    ],
)
def test_edge_lists_that_cannot_be_read_are_refused(tmp_path, text, words):
    path = tmp_path / "bad.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=words):
        read_graphs(path)


@pytest.mark.parametrize("name", ["absent.g6", "absent.npz", "absent.graphml", "absent.edges", "absent.mol"])
def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"no file|cannot be read"):
        read_graphs(tmp_path / name)


def test_a_graph_without_nodes_is_refused(tmp_path):
    path = tmp_path / "some.g6"
    path.write_text("Bw\n?\n")
    with pytest.raises(DataError, match="line 2 has no nodes"):
        read_graphs(path)
