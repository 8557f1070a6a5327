import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from intertwine.atoms import (
    make_graphs,
    read_frames,
    read_isolated_atoms,
    read_structures,
)
from intertwine.errors import DataError

HEAD = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:forces:R:3 energy={energy} pbc="F F F"'


def frame(energy=-1.0, rows=("H 0 0 0 0.1 0 0", "O 0 0 1 -0.1 0 0"), count=None, head=HEAD):
    return "\n".join([str(len(rows) if count is None else count), head.format(energy=energy), *rows]) + "\n"


def reading(tmp_path, text, **options):
    path = tmp_path / "data.xyz"
    path.write_text(text)
    return read_structures(path, **options)


def refused(tmp_path, text, **options):
    with pytest.raises(DataError) as caught:
        reading(tmp_path, text, **options)
    assert "data.xyz" in caught.value.message
    return caught.value


def test_published_files(data_dir):
    folder = data_dir / "botnet-3bpa-acac" / "3bpa"
    structures = read_structures(folder / "train_300K.xyz")
    assert len(structures) == 500
    assert structures[0].energy == -17660.461737861464
    assert structures[0].forces[0].tolist() == [0.17092934, 0.13274200, 0.79555789]
    assert structures[0].pbc == (False, False, False)
    assert read_isolated_atoms(folder / "iso_atoms.xyz") == {
        1: -13.587222780835477,
        6: -1029.4889999855063,
        7: -1484.9814568572233,
        8: -2041.9816003861047,
    }


@pytest.mark.parametrize("prefix", ["", "REF_"])
@pytest.mark.parametrize("kind", ["copper", "aluminium"])
def test_periodic_labels_come_back_under_standard_and_custom_names(tmp_path, write_crystals, prefix, kind):
    made = write_crystals(tmp_path / "crystal.xyz", kind, count=2, prefix=prefix)
    got = read_structures(
        tmp_path / "crystal.xyz",
        energy_key=f"{prefix}energy",
        forces_key=f"{prefix}forces",
        stress_key=f"{prefix}stress",
        require=("energy", "forces", "stress"),
    )
    for structure, (atoms, (energy, forces, stress)) in zip(got, made, strict=True):
        assert structure.energy == energy
        np.testing.assert_allclose(structure.forces, forces, atol=6e-9)  # eight decimals in the file
        np.testing.assert_allclose(structure.stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], stress, rtol=1e-14)
        np.testing.assert_allclose(structure.cell, atoms.cell[:], rtol=1e-14)
        assert structure.pbc == (True, True, True)


def test_forces_under_another_name_are_not_read_as_absent(tmp_path, write_crystals):
    write_crystals(tmp_path / "data.xyz", count=2, prefix="DFT_")
    for require in (("energy", "forces"), ("energy",)):
        with pytest.raises(DataError) as caught:
            read_structures(tmp_path / "data.xyz", energy_key="DFT_energy", require=require)
        assert caught.value.fix == "set forces_key to `DFT_forces`"
        assert "DFT_stress" in caught.value.got["names in the frame"]


def test_labels_that_are_not_required_may_be_missing_from_all_frames_but_not_from_some(tmp_path):
    bare = HEAD.replace(":forces:R:3", "")
    without = frame(rows=("H 0 0 0", "O 0 0 1"), head=bare)
    assert reading(tmp_path, without, require=("energy",))[0].forces is None
    error = refused(tmp_path, frame() + without, require=("energy",))
    assert error.got["frames without it"] == "1 of 2"
    assert "frame 1 (line 5)" in error.message
    refused(tmp_path, without)


def test_a_single_atom_in_open_space_needs_no_forces(tmp_path):
    alone = frame(rows=("H 0 0 0",), head=HEAD.replace(":forces:R:3", ""))
    assert reading(tmp_path, frame() + alone)[1].forces.tolist() == [[0, 0, 0]]
    refused(tmp_path, alone.replace("F F F", "T T T"))


@pytest.mark.parametrize(
    ("text", "message", "got"),
    [
        ("", "holds no structure", "an empty file"),
        ("\n\n", "holds no structure", "an empty file"),
        (frame() + frame()[:-6], "frame 1, atom 1 (line 8)", None),
        (frame() + "2\n" + HEAD.format(energy=1) + "\nH 0 0 0 0 0 0\n", "cut off in frame 1", "1 of 2 atoms"),
        (frame() + "2\n", "cut off in frame 1, which begins in line 5", "0 of 2 atoms"),
        (frame(count=1) + frame(), "frame 1 (line 4)", "O 0 0 1"),
        (frame(count=3) + frame(), "frame 0, atom 2 (line 5)", "1 columns"),
        (frame() + "\n" + frame(), "frame 1 (line 5)", "''"),
        (frame(rows=("H 0 0 zero 0 0 0", "O 0 0 1 0 0 0")), "frame 0, atom 0 (line 3): `pos`", "zero"),
        (frame(rows=("H 0 0 0 0 0 0", "O 0 0 1 0 O 0")), "atom 1 (line 4): `forces`", "O"),
        (frame(rows=("H 0 0 nan 0 0 0", "O 0 0 1 0 0 0")), "atom 0 (line 3): a position", "nan"),
        (frame() + frame(rows=("H 0 0 0 0 0 0", "O 0 0 1 0 inf 0")), "atom 1 (line 8): `forces`", "inf"),
        (frame(energy="nan"), "frame 0 (line 1): `energy`", "nan"),
        (frame(energy="low"), "`energy` does not have the form", "low"),
        (frame(rows=("X 0 0 0 0 0 0", "O 0 0 1 0 0 0")), "`species` is not an element", "X"),
        (frame(rows=("Qq 0 0 0 0 0 0", "O 0 0 1 0 0 0")), "`species` is not an element", "Qq"),
        (frame(head=HEAD.replace("pos:R:3", "pos:R:2")), "the header cannot be read", "Properties"),
        (frame(head=HEAD.replace("9 0 0 0 9", "9 0 0")), "the header cannot be read", "Lattice"),
        (frame(head=HEAD.replace("forces:R:3", "forces:Q:3")), "the header cannot be read", "Properties"),
        (frame(head=HEAD.replace("forces:R:3", "forces:R")), "the header cannot be read", "Properties"),
        ("0\n" + HEAD.format(energy=0) + "\n", "begins with its number of atoms", "0"),
    ],
)
def test_damaged_files_say_where(tmp_path, text, message, got):
    error = refused(tmp_path, text)
    assert message in error.message
    assert got is None or got in str(error.got)


def test_a_cut_file_says_how_to_keep_what_is_whole(tmp_path):
    error = refused(tmp_path, frame() + frame() + "2\n" + HEAD.format(energy=1) + "\n")
    assert "whole frames before it: 2" in error.fix
    kept = "".join((tmp_path / "data.xyz").read_text().splitlines(keepends=True)[:8])
    assert "`head -n 8`" in error.fix
    assert len(reading(tmp_path, kept)) == 2


def test_other_formats_and_files_that_are_none(tmp_path):
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    for name in ("co.traj", "co.json", "POSCAR"):
        periodic = Atoms(atoms, cell=[5, 5, 5], pbc=True)
        write(tmp_path / name, periodic)
        (only,) = read_frames(tmp_path / name)
        np.testing.assert_allclose(only.atoms.positions, atoms.positions, atol=1e-12)
        assert "line" not in only.where
    for name, content in (("a.xyz", b"\xff\xfe\x00"), ("a.traj", b"nothing"), ("a.unknown", b"1 2 3")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=name):
            read_frames(tmp_path / name)
    with pytest.raises(DataError, match="no file"):
        read_frames(tmp_path / "absent.xyz")


def test_isolated_atoms_come_one_by_one(tmp_path):
    bare = HEAD.replace(":forces:R:3", "")
    one = lambda element: frame(rows=(f"{element} 0 0 0",), head=bare)  # noqa: E731
    path = tmp_path / "iso.xyz"
    path.write_text(one("O") + one("H"))
    assert read_isolated_atoms(path) == {1: -1.0, 8: -1.0}
    for wrong in (one("H") + one("H"), frame()):
        path.write_text(wrong)
        with pytest.raises(DataError, match=r"iso\.xyz"):
            read_isolated_atoms(path)


def test_errors_of_graphs_name_the_structure(tmp_path):
    structures = reading(tmp_path, frame() + frame(rows=("H 0 0 0 0 0 0", "O 0 0 0 0 0 0")))
    with pytest.raises(DataError) as caught:
        make_graphs(structures, (1, 8), 3.0)
    assert "frame 1 (line 5): two atoms are at one place" in caught.value.message
    with pytest.raises(DataError) as caught:
        make_graphs(structures, (1, 6), 3.0)
    assert caught.value.got == "O"
    assert caught.value.expected == "only H, C"
