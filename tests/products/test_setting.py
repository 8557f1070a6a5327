"""The settings of the comparison: their irreps, their paths, and that an empty one is refused and not timed."""

import pytest

from intertwine.errors import ConfigError, RepresentationError
from intertwine.products.survey.comparison import bench_products, candidates
from intertwine.products.survey.expressivity import expressivity
from intertwine.products.survey.path_counts import count_paths
from intertwine.products.survey.setting import SETTINGS, given_setting, make_setting


@pytest.mark.parametrize("lmax", range(7))
def test_numbers_of_paths(lmax):
    """MIMO as in the table; SIMO L + 1 even ones of 2 L + 1; SISO one, of natural parity where 3 L is even."""
    mimo = make_setting("MIMO", lmax)
    assert len(mimo.paths) == count_paths(lmax, "even")
    assert len(make_setting("MIMO", lmax, outputs="all").paths) == count_paths(lmax)
    assert len(make_setting("MIMO", lmax, lmax).paths) == count_paths(lmax, "even", cut=True)
    assert len(make_setting("SIMO", lmax).paths) == lmax + 1
    assert len(make_setting("SIMO", lmax, outputs="all").paths) == 2 * lmax + 1
    assert len(make_setting("SISO", lmax).paths) == (lmax % 2 == 0)
    assert len(make_setting("SISO", lmax, outputs="all").paths) == 1


def test_irreps_are_single_and_of_natural_parity():
    for name in SETTINGS:
        setting = make_setting(name.lower(), 2)
        assert setting.name == name
        for irreps in (setting.irreps_in1, setting.irreps_in2, setting.irreps_out):
            assert all(mul == 1 and ir.natural for mul, ir in irreps)
    assert make_setting("MIMO", 1).irreps_out == "1x0e + 1x1o + 1x2e"
    assert make_setting("MIMO", 1, outputs="all").irreps_out == "1x0e + 1x1o + 1x1e + 1x2e"


@pytest.mark.parametrize("lmax", [1, 3])
def test_odd_degrees_alone_have_no_path_and_are_never_timed(lmax):
    setting = make_setting("SISO", lmax)
    with pytest.raises(RepresentationError) as caught:
        setting.require_paths()
    assert caught.value.code == "E203"
    assert "no allowed path" in caught.value.message
    assert "even degree" in str(caught.value.fix)
    sentences = []
    assert list(bench_products([setting], report=sentences.append)) == []
    assert sentences == [f"SISO with L = {lmax}: no allowed path, expressivity 0; nothing is timed"]
    for candidate in candidates(setting, ["clebsch_gordan_dense", "gaunt_grid", "matrix_parity"]):
        assert candidate.product is None
        assert candidate.expressivity.rank == candidate.interactions == 0


@pytest.mark.parametrize(("setting", "couplings"), [("SISO", 1), ("SIMO", 3)])
def test_single_irreps_have_the_published_freedom(setting, couplings):
    found = {
        item.entry.name: item.expressivity.rank
        for item in candidates(make_setting(setting, 2), ["clebsch_gordan_sparse", "gaunt_grid", "gaunt_curl"])
    }
    assert found == {"clebsch_gordan_sparse": couplings, "gaunt_grid": couplings, "gaunt_curl": 0}


def test_products_are_built_for_what_they_can_write():
    found = {item.entry.name: item for item in candidates(make_setting("MIMO", 2, outputs="all"))}
    assert found["gaunt_grid"].product.irreps_out == "1x0e + 1x1o + 1x2e + 1x3o + 1x4e"
    assert found["gaunt_curl"].product.irreps_out == "1x1e + 1x2o + 1x3e"
    assert found["matrix"].expressivity.group == "SO(3)"
    assert {item.expressivity.rank for item in found.values()} == {19, 9, 5, 12}
    assert "low_rank" not in found  # it is approximate
    every = found["gaunt_complete"]
    assert every.interactions == 19
    assert every.expressivity == expressivity(every.product)


def test_irreps_of_ones_own():
    setting = given_setting("0e + 1o", "1o")
    assert (setting.name, setting.lmax, len(setting.paths)) == ("given", 1, 4)
    assert setting.irreps_out == "1x0e + 1x1o + 1x1e + 1x2e"
    assert given_setting("1e").irreps_in2 == "1x1e"
    with pytest.raises(RepresentationError) as copies:
        given_setting("2x1o")
    assert copies.value.code == "E204"
    with pytest.raises(RepresentationError):
        given_setting("1o", "")
    with pytest.raises(RepresentationError) as empty:
        given_setting("1o", "1o", "1o").require_paths()
    assert (empty.value.code, empty.value.fix) == ("E203", None)


def test_unknown_settings_are_refused():
    for words in (("MISO", 2), ("MIMO", -1), ("MIMO", 2, -3), ("MIMO", 2, None, "odd")):
        with pytest.raises(ConfigError):
            make_setting(*words)
