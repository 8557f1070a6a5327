"""The command ``intertwine frames`` on files of graphs."""

import math

import pytest
import torch

from intertwine.cli.main import main
from intertwine.graphs import Graph, circular_skip_links, write_graph6, write_graph_archive


@pytest.fixture
def graphs():
    """A graph that looks alike everywhere, and a path with a tail that leaves one order."""
    spider = Graph.build(torch.tensor([[0, 1], [0, 2], [2, 3], [0, 4], [4, 5], [5, 6]]), 7, name="spider")
    return [circular_skip_links(9, 2), spider]


@pytest.mark.parametrize("write", [(write_graph6, "some.g6"), (write_graph_archive, "some.npz")])
def test_sizes_of_frames_are_shown(write, graphs, tmp_path, capsys):
    function, name = write
    assert main(["frames", str(function(tmp_path / name, graphs))]) == 0
    out = capsys.readouterr().out
    assert f"{math.factorial(9)}" in out
    assert "2 graphs: 1 with one order, 1 with more than 10000" in out
    assert "MinimalGraphFrame" in out


def test_graphs_and_clouds_are_not_mixed(graphs, tmp_path, capsys):
    path = str(write_graph6(tmp_path / "some.g6", graphs))
    (tmp_path / "cloud.csv").write_text("x,y,z\n0,0,0\n1,0,0\n0,2,0\n0,0,3\n")
    assert main(["frames", path, str(tmp_path / "cloud.csv")]) == 2
    assert main(["frames", path, "--output", str(tmp_path / "page.html")]) == 2
    (tmp_path / "cut.g6").write_text("G?B@x\n")
    assert main(["frames", str(tmp_path / "cut.g6")]) == 1
    assert "line 1 is damaged" in "".join(capsys.readouterr())
