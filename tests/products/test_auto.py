"""The automatic choice: by measurement, cached, and never at the price of couplings that nobody gave away."""

import json
import time

import pytest
import torch

from intertwine.errors import ConfigError, RepresentationError
from intertwine.products.clebsch_gordan_products import ClebschGordanDense
from intertwine.products.product import Product
from intertwine.products.survey import auto
from intertwine.products.survey.auto import cache_file, choose_product
from intertwine.products.survey.registry import make_product
from intertwine.representations import Irreps

NATURAL = "0e + 1o + 2e"
SURE = {"clebsch_gordan_dense", "clebsch_gordan_sparse"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "intertwine" / "products.json"


@pytest.fixture
def fake(monkeypatch):
    """Replace the clock: every product takes as long as its name says; returns the table and the list of calls."""
    seconds, measured = {}, []

    def measure(kept, *rest):
        measured.append(sorted(kept))
        return {name: seconds.get(name, 1.0) for name in kept}

    monkeypatch.setattr(auto, "_measure", measure)
    return seconds, measured


def choose(*irreps, **options):
    return choose_product(*(irreps or (NATURAL, NATURAL)), **({"batch": 16, "repetitions": 5} | options))


def test_nothing_is_lost_or_tied_unless_allowed(fake):
    seconds, measured = fake
    seconds |= {"gaunt_grid": 1e-6, "gaunt_complete": 1e-5, "clebsch_gordan_dense": 1e-3}
    plain = choose()
    assert (plain.name, plain.lost, plain.tied) == ("clebsch_gordan_dense", (), 0)
    assert measured == [sorted(SURE)]
    assert "1o x 1o -> 1e" in plain.left_out["gaunt_grid"]
    assert "12 degrees of freedom of 19" in plain.left_out["gaunt_complete"]
    tied = choose(allow_tied_couplings=True)
    assert (tied.name, tied.lost, tied.tied) == ("gaunt_complete", (), 7)
    assert "gaunt_grid" in tied.left_out
    lossy = choose(allow_lost_couplings=True)
    assert (lossy.name, len(lossy.lost), lossy.tied) == ("gaunt_grid", 5, 5)
    assert "it loses 1o x 1o -> 1e" in lossy.text
    for choice in (plain, tied, lossy):
        assert choice.make().name == choice.name


def test_approximate_products_and_those_that_break_parity_must_be_named(fake):
    seconds, _ = fake
    seconds |= {"matrix": 1e-9, "low_rank": 1e-9}
    lossy = choose(allow_lost_couplings=True)
    assert lossy.name not in ("matrix", "low_rank")
    named = choose(names=["matrix", "clebsch_gordan"], allow_tied_couplings=True)
    assert named.name == "matrix"
    assert "SO(3) only" in named.text


@pytest.mark.parametrize("irreps", [("2e", "2e", "2e"), ("2e", "2e"), ("3o", "1o")])
def test_single_irreps_get_clebsch_gordan_whatever_is_allowed(fake, irreps):
    seconds, measured = fake
    seconds |= {"gaunt_grid": 1e-9, "gaunt_dense": 1e-9}
    choice = choose(*irreps, allow_lost_couplings=True)
    assert choice.name in SURE
    assert measured == [sorted(SURE)]


def test_what_was_named_but_would_lose_gives_way_to_clebsch_gordan(fake):
    choice = choose(names=["gaunt_grid"])
    assert choice.name in SURE
    assert "gaunt_grid" in choice.left_out


def test_only_what_is_needed_counts(fake):
    """Without odd couplings in the output a Gaunt product loses none, but ties them."""
    seconds, _ = fake
    seconds |= {"gaunt_grid": 1e-9}
    choice = choose("0e + 1o", "0e + 1o", "0e + 1o + 2e")
    assert choice.name == "gaunt_grid"  # five couplings, five degrees of freedom
    assert (choice.lost, choice.tied) == ((), 0)
    assert choose("0e + 1o", "0e + 1o").name in SURE


def test_irreps_of_mixed_parity_leave_only_what_takes_them(fake):
    choice = choose("0e + 1o + 1e", "0e + 1o")
    assert choice.name in SURE
    assert "gaunt_grid" in choice.left_out


def test_times_are_kept_and_reused(fake, cache):
    seconds, measured = fake
    seconds |= {"clebsch_gordan_dense": 2.0, "clebsch_gordan_sparse": 1.0}
    first, second = choose(), choose()
    assert (first.cached, second.cached) == (False, True)
    assert first.name == second.name == "clebsch_gordan_sparse"
    assert len(measured) == 1
    assert cache_file() == cache
    (table,) = json.loads(cache.read_text()).values()
    assert set(table) == SURE
    assert not choose(cache=False).cached
    assert not choose(batch=17).cached
    assert not choose(dtype=torch.float64).cached
    assert not choose(direction="backward").cached
    assert not choose(allow_tied_couplings=True).cached  # new candidates are timed beside the old ones
    assert measured[-1] != measured[0]
    assert [file.name for file in cache.parent.iterdir()] == [cache.name]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": 3}', '{"KEY": {"clebsch_gordan_dense": "fast"}}', "\x00"])
def test_a_damaged_cache_is_measured_again_and_mended(fake, cache, text):
    choose()
    key = next(iter(json.loads(cache.read_text())))
    cache.write_text(text.replace("KEY", key.replace('"', "")))
    again = choose()
    assert not again.cached
    assert choose().cached


def test_a_cache_that_cannot_be_written_is_no_error(fake, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert not choose().cached
    assert not choose().cached


def test_the_clock_decides(monkeypatch):
    """For once without the fake: one of two products that give the same is held up, and the other is chosen."""
    plain = ClebschGordanDense.forward

    def slow(self, x, y):
        time.sleep(5e-3)
        return plain(self, x, y)

    monkeypatch.setattr(ClebschGordanDense, "forward", slow)
    choice = choose("0e + 1o", "1o", names=sorted(SURE))
    assert choice.name == "clebsch_gordan_sparse"
    assert choice.seconds["clebsch_gordan_dense"] > 4e-3
    assert "clebsch_gordan_sparse" in choice.text.splitlines()[0]


def test_the_registry_makes_it_by_name():
    product = make_product("auto", "0e + 1o", "1o", "0e + 1e", batch=8, repetitions=5)
    assert isinstance(product, Product)
    assert set(product.irreps_out.irreps) == set(Irreps("0e + 1e").irreps)
    assert product(torch.zeros(2, 4), torch.zeros(2, 3)).shape == (2, product.irreps_out.dim)


def test_wrong_use_is_refused():
    with pytest.raises(RepresentationError, match="no allowed path"):
        choose("1o", "1o", "1o")
    with pytest.raises(ConfigError):
        choose(names=["gaunt_gird"])
