import io

import ase.io
import numpy as np
import pytest
from ase import Atoms

from intertwine.atoms import attach_results, extxyz_text
from intertwine.errors import NumericsError

RESULTS = {"energy": -1.5, "forces": np.array([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])}


def test_results_come_back_from_the_text_of_a_file():
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    assert attach_results(atoms, RESULTS, "a.xyz, frame 0") is atoms
    (found,) = ase.io.read(io.StringIO(extxyz_text([atoms])), ":", format="extxyz")
    assert found.get_potential_energy() == -1.5
    np.testing.assert_array_equal(found.get_forces(), RESULTS["forces"])


@pytest.mark.parametrize(
    ("change", "got"),
    [({"energy": float("inf")}, "inf"), ({"forces": np.full((2, 3), np.nan)}, "forces with NaN or infinity")],
)
def test_a_result_that_is_no_number_is_refused_by_place_and_name(change, got):
    atoms = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]])
    with pytest.raises(NumericsError, match=f"frame 7: the predicted {next(iter(change))}") as caught:
        attach_results(atoms, RESULTS | change, "a.xyz, frame 7")
    assert str(caught.value.got) == got
    assert atoms.calc is None
