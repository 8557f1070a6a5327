"""Irreps as values: text form, order, sums and products, against e3nn."""

import pickle

import pytest
import torch
from e3nn import o3
from hypothesis import given
from hypothesis import strategies as st

from intertwine.errors import RepresentationError
from intertwine.representations import Irrep, Irreps

entries = st.lists(st.tuples(st.integers(0, 5), st.tuples(st.integers(0, 6), st.sampled_from([1, -1]))), max_size=6)


@given(entries)
def test_text_reads_back_and_agrees_with_e3nn(items):
    ours, theirs = Irreps(items), o3.Irreps(items)
    assert Irreps(str(ours)) == ours == pickle.loads(pickle.dumps(ours))
    assert str(ours).replace(" ", "") == str(theirs).replace(" ", "")
    assert (ours.dim, ours.num_irreps) == (theirs.dim, theirs.num_irreps)
    assert ours.slices() == theirs.slices()


@given(entries)
def test_sort_follows_the_canonical_order_of_e3nn(items):
    """The order is that of e3nn's ``Irrep.iterator``; its own ``sort`` puts o before e in every degree."""
    canonical = [(ir.l, ir.p) for ir in o3.Irrep.iterator(6)]
    irreps = Irreps(items)
    ordered, places = irreps.sort()
    expected = sorted(enumerate(irreps), key=lambda item: canonical.index((item[1].ir.l, item[1].ir.p)))
    assert list(ordered) == [entry for _, entry in expected]
    assert [places[i] for i, _ in expected] == list(range(len(items)))


@given(entries)
def test_simplify_agrees_with_e3nn(items):
    ours, theirs = Irreps(items), o3.Irreps(items)
    assert str(ours.simplify()).replace(" ", "") == str(theirs.simplify()).replace(" ", "")
    assert ours.regroup().dim == ours.dim


@given(entries, entries)
def test_tensor_product_counts_dimensions(a, b):
    left, right = Irreps(a), Irreps(b)
    assert left.tensor_product(right).dim == left.dim * right.dim


def test_canonical_order():
    text = "0e + 0o + 1o + 1e + 2e + 2o + 3o + 3e"
    assert Irreps("3e+3o+2o+2e+1e+1o+0o+0e").sort()[0] == text


def test_clebsch_gordan_series_carries_parity():
    assert Irrep.parse("1o") * Irrep.parse("1o") == [Irrep(0, 1), Irrep(1, 1), Irrep(2, 1)]


def test_sum_filter_count_and_index():
    irreps = Irreps("16x0e") + "8x1o" + "2x0e"
    assert irreps.count("0e") == 18
    assert "1o" in irreps
    assert "1e" not in irreps
    assert irreps.filter(lmax=0) == "16x0e + 2x0e"
    assert irreps.filter("1o") == "8x1o"
    assert irreps[1:] == "8x1o + 2x0e"
    assert (2 * Irreps("1o")).dim == 6
    assert Irreps().dim == 0


@pytest.mark.parametrize("normalization", ["component", "norm"])
def test_random_features_have_the_stated_variance(normalization, rng):
    irreps = Irreps("2x0e + 3x1o + 2x3e")
    x = irreps.random(40000, rng=rng, dtype=torch.float64, normalization=normalization)
    for (mul, ir), place in zip(irreps, irreps.slices(), strict=True):
        square = x[:, place].unflatten(-1, (mul, ir.dim)).square().sum(-1).mean()
        expected = ir.dim if normalization == "component" else 1
        assert abs(square.item() / expected - 1) < 0.02


@pytest.mark.parametrize("text", ["1x", "e", "2x1", "3x-1o", "1o,2e", "-1x1o", "1o + + 2e"])
def test_unreadable_text_is_refused(text):
    with pytest.raises(RepresentationError) as caught:
        Irreps(text)
    assert text in caught.value.got


def test_values_are_immutable_and_hashable():
    irreps = Irreps("1o")
    with pytest.raises(AttributeError):
        irreps.entries = ()
    assert {irreps: 1}[Irreps("1x1o")] == 1
    with pytest.raises(RepresentationError):
        Irrep(-1, 1)
    with pytest.raises(RepresentationError):
        _ = Irreps().lmax
