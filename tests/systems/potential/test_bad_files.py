"""Files that cannot be trained on or predicted: refused in words, by file and key."""

import pytest

from intertwine.errors import DataError
from intertwine.systems.potential.extxyz import make_graphs, read_structures

WATER = """3
{lattice}Properties=species:S:1:pos:R:3:forces:R:3 {energy}=-14.0 pbc="{pbc}"
O 0.0 0.0 0.0 0.0 0.0 0.1
H 0.96 0.0 0.0 0.0 0.0 -0.1
H -0.24 0.93 0.0 0.0 0.0 0.0
"""


def write(path, lattice="", energy="energy", pbc="F F F"):
    path.write_text(WATER.format(lattice=lattice, energy=energy, pbc=pbc))
    return path


def test_an_energy_under_another_name_is_refused_with_the_names_there_are(tmp_path):
    path = write(tmp_path / "a.extxyz", energy="REF_energy")
    with pytest.raises(DataError) as caught:
        read_structures(path)
    assert "REF_energy" in str(caught.value)
    assert read_structures(path, energy_key="REF_energy")[0].energy == -14.0


def test_a_singular_cell_under_periodic_boundaries_is_refused(tmp_path):
    lattice = 'Lattice="5.0 0.0 0.0 10.0 0.0 0.0 0.0 0.0 5.0" '
    path = write(tmp_path / "b.extxyz", lattice=lattice, pbc="T T T")
    with pytest.raises(DataError) as caught:
        make_graphs(read_structures(path), (1, 8), 4.0)
    assert "cell" in str(caught.value)


def test_a_frame_of_one_atom_is_predicted_without_forces_on_it(tmp_path):
    from ase.io import read

    from intertwine.systems.potential.model import Potential
    from intertwine.systems.potential.predict import predict_files
    from intertwine.systems.potential.settings import ModelSettings

    (tmp_path / "one.xyz").write_text("1\n\nO 1.0 2.0 3.0\n")
    model = Potential(
        ModelSettings(channels=2, harmonics_lmax=1, radial_widths=(4,)), atomic_energies={1: -13.6, 8: -2042.0}
    )
    (written,) = predict_files(model, [tmp_path / "one.xyz"], output=tmp_path / "out")
    assert (read(written).get_forces() == 0).all()
