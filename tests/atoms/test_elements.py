import sys

import numpy as np
import pytest

from intertwine.atoms import naming, species_of, symbols_of
from intertwine.errors import DataError


def test_places_in_a_list_of_elements():
    assert species_of(np.array([8, 1, 1]), (1, 6, 8)).tolist() == [2, 0, 0]
    with pytest.raises(DataError) as caught:
        species_of(np.array([8, 29, 7]), (1, 6, 8))
    assert (caught.value.got, caught.value.expected) == ("N, Cu", "only H, C, O")


def test_elements_can_be_named_without_ase(monkeypatch):
    assert symbols_of([29, 8, 29]) == "O, Cu"
    monkeypatch.setitem(sys.modules, "ase.data", None)
    assert symbols_of([29, 8, 29]) == "Z8, Z29"


def test_an_error_inside_is_raised_again_with_its_place_and_its_fields():
    with pytest.raises(DataError) as caught, naming("a.xyz, frame 3"):
        raise DataError("no neighbours", got=1, expected=2, fix="move")
    error = caught.value
    assert (error.message, error.got, error.expected, error.fix) == ("a.xyz, frame 3: no neighbours", 1, 2, "move")
