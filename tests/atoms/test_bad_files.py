"""Files that cannot be trained on or predicted: refused in words, by file and key."""

import pytest

from intertwine.atoms import make_graphs, read_structures
from intertwine.errors import DataError

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
