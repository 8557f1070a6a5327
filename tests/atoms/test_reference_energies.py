from dataclasses import dataclass

import numpy as np
import pytest

from intertwine.atoms import fit_atomic_energies
from intertwine.errors import DataWarning


@dataclass(frozen=True)
class Labelled:
    numbers: np.ndarray
    energy: float | None


def labelled(*numbers, energy):
    return Labelled(np.array(numbers), energy)


def test_least_squares_finds_energies_that_explain_the_totals():
    structures = [
        labelled(6, 8, energy=-8.0),
        labelled(6, 8, 8, energy=-13.0),
        labelled(8, 6, 8, energy=-13.0),
        labelled(29, energy=None),
    ]
    assert fit_atomic_energies(structures) == pytest.approx({6: -3.0, 8: -5.0}, rel=1e-12)


def test_without_energies_nothing_is_fitted():
    assert fit_atomic_energies([labelled(6, 8, energy=None)]) == {}


def test_energies_that_the_compositions_do_not_fix_are_warned_of():
    structures = [labelled(6, 8, energy=-8.0)]
    with pytest.warns(DataWarning, match="1 structures do not fix the atomic energies of C, O: compare only"):
        found = fit_atomic_energies(structures)
    assert sum(found.values()) == pytest.approx(-8.0, rel=1e-12)
    assert found[6] == pytest.approx(found[8]), "the solution of least norm"
    with pytest.warns(DataWarning, match="C, O: give more, or compare only"):
        fit_atomic_energies(structures, advice="give more")
