"""What the kernels for CUDA are made of, as far as it is plain Python and PyTorch: groups, tables, chunks of paths."""

import gc
import subprocess
import sys

import pytest
import torch
from problems import FAMILIES, draw

from intertwine.errors import ShapeError
from intertwine.kernels import ChannelwisePath, pack_paths
from intertwine.kernels import gpu as package
from intertwine.kernels.build import BuildError
from intertwine.kernels.gpu import tables
from intertwine.kernels.gpu.channelwise_paths import gradient_chunks, read_paths, value_chunks
from intertwine.kernels.gpu.groups import check_index, group_rows, tile_rows
from intertwine.kernels.gpu.tables import read_table


@pytest.mark.parametrize(("rows", "count"), [(0, 3), (1, 1), (50, 7), (5, 40)])
def test_groups_hold_every_row_once_in_order(rows, count, rng):
    index = torch.randint(count, (rows,), generator=rng)
    order, begin = group_rows(index, count)
    for group in range(count):
        members = order[begin[group] : begin[group + 1]].tolist()
        assert members == [row for row in range(rows) if index[row] == group]
    assert (begin[0].item(), begin[-1].item()) == (0, rows)


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize(("rows", "count"), [(0, 3), (1, 1), (50, 7), (5, 40)])
def test_tiles_cut_every_group_into_pieces(rows, count, size, rng):
    groups = group_rows(torch.randint(count, (rows,), generator=rng), count)
    tiles = tile_rows(groups, size)
    for group in range(count):
        mine = range(tiles.part[group], tiles.part[group + 1])
        places = [place for t in mine for place in range(tiles.first[t], tiles.last[t])]
        assert places == list(range(groups.begin[group], groups.begin[group + 1]))
        assert all(tiles.kind[t] == group and 0 < tiles.last[t] - tiles.first[t] <= size for t in mine)
    rest = slice(tiles.part[-1], None)
    assert torch.equal(tiles.first[rest], tiles.last[rest])


def test_indices_out_of_range_are_refused():
    check_index(None, 0, "nothing to check")
    check_index(torch.tensor([0, 2]), 3, "all there")
    for wrong in ([0, 3], [-1, 0]):
        with pytest.raises(ShapeError, match="not there") as caught:
            check_index(torch.tensor(wrong), 3, "a row that is not there")
        assert caught.value.got == {"smallest": wrong[0], "largest": wrong[1]}


def test_tables_are_read_once_and_again_after_a_change():
    table = torch.tensor([[1.0, 2.0]])
    first = read_table(table)
    assert first.rows == ((1.0, 2.0),)
    assert read_table(table) is first
    assert read_table(table.clone()) is first, "equal contents are one key"
    table[0, 0] = 5
    assert read_table(table).rows == ((5.0, 2.0),)


def test_tables_are_forgotten_with_their_tensors():
    before = len(tables._kept)
    table = torch.tensor([3, 1, 4])
    assert read_table(table).rows == (3, 1, 4)
    assert len(tables._kept) == before + 1
    del table
    gc.collect()
    assert len(tables._kept) == before


def test_a_table_made_in_inference_mode_is_read_every_time():
    with torch.inference_mode():
        table = torch.tensor([1.0])
        assert read_table(table).rows == (1.0,)
        table += 1  # leaves no trace in a version
        assert read_table(table).rows == (2.0,)


def paths(rng, blocks, channels=4, slow=False):
    """Paths whose blocks of x, z and w begin at the given multiples of the channels, dims 3 and 3."""
    rows = [
        ChannelwisePath(x * channels, 0, z * channels, w * channels, channels, draw(rng, 3, 2, 3)) for x, z, w in blocks
    ]
    packed, terms = pack_paths(rows)
    return read_paths(packed, terms.tolist(), slow)


@pytest.mark.parametrize("slow", [False, True])
def test_paths_that_write_one_row_are_in_one_chunk(slow, rng):
    read = paths(rng, [(0, 0, 0), (3, 0, 1), (0, 3, 2), (3, 6, 2)], slow=slow)
    assert [len(chunk) for chunk in gradient_chunks(read)] == [4], "x joins 0 with 2 and 1 with 3, w joins 2 with 3"
    many = paths(rng, [(0, 3 * (n // 2), n) for n in range(60)], slow=slow)
    for chunk in value_chunks(many):
        assert len({row for path in chunk for row in path.z}) <= 32
    written = [{row for path in chunk for row in path.z} for chunk in value_chunks(many)]
    assert sum(map(len, written)) == len(set().union(*written)) == 90


@pytest.mark.parametrize("slow", [False, True])
def test_paths_that_overlap_in_part_are_refused(slow, rng):
    shifted = [ChannelwisePath(0, 0, z, 4 * n, 4, draw(rng, 3, 2, 3)) for n, z in enumerate((0, 2))]
    packed, terms = pack_paths(shifted)
    read = read_paths(packed, terms.tolist(), slow)
    with pytest.raises(ShapeError, match="overlap"):
        value_chunks(read)
    assert len(gradient_chunks(read)) == 1


def test_importing_the_kernels_imports_no_triton():
    program = (
        "import sys, intertwine.kernels, intertwine.kernels.gpu as g; g.register(); "
        "import torch; sys.exit('triton' in sys.modules or torch.cuda.is_initialized())"
    )
    assert subprocess.run([sys.executable, "-W", "error", "-c", program], check=False).returncode == 0


def test_without_triton_the_reference_runs_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    package._load.cache_clear()
    for name in package._FAMILIES:
        with pytest.raises(BuildError, match="need the package `triton`"):
            package.implementation(name).value([], [])


def test_every_family_has_an_implementation_for_cuda():
    package.register()
    package.register()
    assert all("cuda" in family._implementations for family in FAMILIES.values())
    assert set(FAMILIES.values()) == set(package._FAMILIES.values())
