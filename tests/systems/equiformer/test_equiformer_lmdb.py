"""The reader of the published OC20 layout, on files that the tests write in it."""

import pickle
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from intertwine.errors import DataError, MissingExtraError
from intertwine.systems.equiformer.data import LmdbStructures, read_structures

pytest.importorskip("lmdb", reason="the optional library lmdb")


@pytest.fixture
def three(surface):
    return [surface(0), surface(1, atoms=7), surface(2)]


@pytest.fixture
def database(tmp_path, geometric, write_lmdb, fields_of, three):
    contents = [
        geometric.old(**fields_of(three[0])),
        geometric.new(**fields_of(three[1])),
        pickle.dumps(fields_of(three[2])),
    ]
    return write_lmdb(tmp_path / "data.0000.lmdb", contents)


def same(found, wanted):
    np.testing.assert_array_equal(found.numbers, wanted.numbers)
    np.testing.assert_array_equal(found.positions, wanted.positions.astype(np.float32))
    np.testing.assert_array_equal(found.cell, wanted.cell.astype(np.float32))
    np.testing.assert_array_equal(found.tags, wanted.tags)
    np.testing.assert_array_equal(found.free, wanted.free)
    np.testing.assert_array_equal(found.forces, wanted.forces.astype(np.float32))
    assert found.energy == wanted.energy
    assert found.pbc == (True, True, True)
    assert found.numbers.dtype == np.int64
    assert found.positions.dtype == np.float64


def test_old_new_and_plain_graphs_are_read(database, three):
    found = LmdbStructures(database)
    assert len(found) == 3
    for structure, wanted in zip(found, three, strict=True):
        same(structure, wanted)
    assert found[-1].where == f"{database}, structure 2"
    assert [s.where for s in found[1:]] == [f"{database}, structure {n}" for n in (1, 2)]
    assert found[0].source == {"sid": 17, "fid": 4}
    with pytest.raises(IndexError):
        found[3]


def test_a_folder_is_read_in_the_order_of_names(tmp_path, write_lmdb, fields_of, surface):
    structures = [surface(seed) for seed in range(5)]
    for name, some in (("data.0001.lmdb", structures[3:]), ("data.0000.lmdb", structures[:3])):
        write_lmdb(tmp_path / name, [pickle.dumps(fields_of(s)) for s in some])
    (tmp_path / "metadata.npz").write_bytes(b"")
    found = read_structures(tmp_path)
    assert [s.energy for s in found] == [s.energy for s in structures]


def test_without_length_entries_are_counted(tmp_path, write_lmdb, fields_of, surface):
    path = write_lmdb(tmp_path / "a.lmdb", [pickle.dumps(fields_of(surface(n))) for n in range(4)], length=None)
    assert len(LmdbStructures(path)) == 4


def test_structures_without_labels_have_none(tmp_path, write_lmdb, fields_of, surface):
    fields = fields_of(surface(energy=False)) | {"y": None, "fixed": None}
    path = write_lmdb(tmp_path / "test.lmdb", [pickle.dumps(fields)])
    (found,) = LmdbStructures(path)
    assert found.energy is None
    assert found.forces is None
    assert found.free.all()
    with pytest.raises(DataError) as caught:
        read_structures(path, require=("energy", "forces"))
    assert "energy and no forces" in caught.value.message


# newer Pythons warn of any fork beside threads; what is tested is that a reader survives one
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_other_processes_read_the_same(database):
    found = LmdbStructures(database)
    alone = [structure.energy for structure in found]
    loader = DataLoader(found, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert [structure.energy for structure in loader] == alone
    sent = pickle.loads(pickle.dumps(found))
    assert [structure.energy for structure in sent] == alone


def test_two_readers_of_one_file_do_not_disturb_each_other(database):
    first, second = LmdbStructures(database), LmdbStructures(database)
    assert first[0].energy == second[0].energy


# --- bad files -------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_off_is_refused_before_it_is_mapped(database):
    content = database.read_bytes()
    for size in (0, 100, 4096, 8192, len(content) // 2, len(content) - 4096):
        database.write_bytes(content[:size])
        with pytest.raises(DataError) as caught:
            LmdbStructures(database)
        assert str(database) in caught.value.message
    database.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="cut off"):
        LmdbStructures(database)
    database.write_bytes(content)
    assert len(LmdbStructures(database)) == 3


def test_what_is_no_database_is_refused(tmp_path):
    (tmp_path / "noise.lmdb").write_bytes(np.random.default_rng(0).bytes(30000))
    with pytest.raises(DataError, match="not an LMDB database"):
        LmdbStructures(tmp_path / "noise.lmdb")
    with pytest.raises(DataError, match="there is no database"):
        LmdbStructures(tmp_path / "absent.lmdb")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="holds no database"):
        LmdbStructures(tmp_path / "folder")


@pytest.mark.parametrize("length", [7, -1, "3", None.__class__])
def test_a_length_that_cannot_be_is_refused(tmp_path, write_lmdb, fields_of, surface, length):
    path = write_lmdb(tmp_path / "a.lmdb", [pickle.dumps(fields_of(surface()))] * 3, length=length)
    with pytest.raises(DataError):
        LmdbStructures(path)


def test_a_gap_in_the_numbers_is_named(tmp_path, write_lmdb, fields_of, surface):
    import lmdb

    path = write_lmdb(tmp_path / "a.lmdb", [pickle.dumps(fields_of(surface(n))) for n in range(3)])
    with lmdb.open(str(path), map_size=1 << 26, subdir=False) as environment, environment.begin(write=True) as change:
        change.delete(b"1")
        change.put(b"x", b"y")
    found = LmdbStructures(path)
    assert found[0].energy is not None
    with pytest.raises(DataError) as caught:
        found[1]
    assert "structure 1" in caught.value.message
    assert caught.value.got == "no key 1"


def test_a_program_in_a_file_is_refused(tmp_path, write_lmdb, fields_of, surface):
    class Runs:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'trace')!r}, 'w')",))

    path = write_lmdb(tmp_path / "a.lmdb", [pickle.dumps(fields_of(surface())), pickle.dumps(Runs())])
    found = LmdbStructures(path)
    assert found[0].energy is not None
    with pytest.raises(DataError) as caught:
        found[1]
    assert caught.value.got == "builtins.exec"
    assert not (tmp_path / "trace").exists()
    hidden = write_lmdb(tmp_path / "b.lmdb", [pickle.dumps(fields_of(surface()))], length=Runs())
    with pytest.raises(DataError):
        LmdbStructures(hidden)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"pos": None}, "pos"),
        ({"atomic_numbers": torch.tensor([29.5] * 9)}, "atomic numbers"),
        ({"atomic_numbers": torch.tensor([0.0] * 9)}, "atomic numbers"),
        ({"atomic_numbers": torch.tensor([29.0] * 8), "natoms": 8}, "pos"),
        ({"natoms": 8}, "natoms"),
        ({"cell": torch.zeros(2, 3)}, "cell"),
        ({"pos": torch.full((9, 3), torch.nan)}, "pos"),
        ({"force": torch.zeros(9, 2)}, "force"),
        ({"force": torch.full((9, 3), torch.inf)}, "force"),
        ({"y": float("nan")}, "y"),
        ({"y": "low"}, "y"),
        ({"fixed": torch.zeros(3)}, "fixed"),
    ],
)
def test_graphs_that_cannot_be_are_refused_by_field(tmp_path, write_lmdb, fields_of, surface, change, named):
    path = write_lmdb(tmp_path / "a.lmdb", [pickle.dumps(fields_of(surface()) | change)])
    with pytest.raises(DataError) as caught:
        LmdbStructures(path)[0]
    assert named in caught.value.message
    assert "structure 0" in caught.value.message


def test_without_the_library_the_extra_is_named(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(MissingExtraError) as caught:
        LmdbStructures(database)
    assert "oc20" in str(caught.value.fix)
