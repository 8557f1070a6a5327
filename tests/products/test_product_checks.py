"""Checks of products: what they find on sound products is known elsewhere, and what is broken does not pass."""

import csv
import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, DataError
from intertwine.products.survey import check_subjects, checks
from intertwine.products.survey.catalogue import PRODUCTS
from intertwine.products.survey.check_subjects import Subject, make_subject
from intertwine.products.survey.checks import BOUNDS, CheckRow, check_product, check_products, write_checks
from intertwine.products.survey.registry import find_product

DOUBLE = (torch.float64,)


def by_check(rows, dtype="float64"):
    return {row.check: row for row in rows if row.dtype == dtype}


@pytest.fixture(scope="module")
def at_degree_2():
    return list(check_products(lmax=2, trials=2))


def test_every_exact_product_passes_and_none_is_forgotten(at_degree_2):
    assert {row.product for row in at_degree_2} == {name for name, entry in PRODUCTS.items() if entry.exact}
    assert [row.text for row in at_degree_2 if not row.passed] == []
    for row in at_degree_2:
        if row.check in ("rotations", "reflections", "reference") and row.relation == "<=":
            assert row.bound == BOUNDS[getattr(torch, row.dtype)]
            assert row.value < row.bound


def test_what_was_run_in_float32_has_the_errors_of_float32(at_degree_2):
    """Else float32 would be claimed and float64 measured."""
    for row in at_degree_2:
        if row.dtype == "float32" and row.relation == "<=":
            assert row.value > 1e-9, row.text


def test_counts_are_the_published_ones(at_degree_2):
    """Of the table in Xie et al.: paths of each kind, 4 L + 1 degrees of freedom, (0, 0, 0) lost by vector fields."""
    counts = {(row.product, row.check): row.value for row in at_degree_2 if row.relation == "="}
    for name, paths, rank in [
        ("clebsch_gordan_sparse", 19, 19), ("gaunt_fourier", 14, 9), ("gaunt_curl", 5, 5), ("gaunt_complete", 19, 12),
        ("matrix", 19, 9), ("vector_spherical", 18, 12),
    ]:  # fmt: skip
        assert (counts[name, "couplings"], counts[name, "rank"]) == (paths, rank)
    assert ("so2", "rank") not in counts


def test_what_is_compared_with_what(at_degree_2):
    against = {row.product: row.against for row in at_degree_2 if row.check == "reference"}
    assert against["gaunt_fourier_fft"] == "gaunt_dense"
    assert against["gaunt_complete"] == "gaunt_dense and gaunt_curl"
    assert against["so2"] == "channelwise"
    assert "matrix" not in against


def test_accidental_zeros_of_the_6j_symbol_are_expected():
    found = by_check(check_product(find_product("matrix"), lmax=6, dtypes=DOUBLE, trials=1))["couplings"]
    assert (found.value, found.bound, found.against) == (225, 225, "231 allowed")


def test_an_approximate_product_is_held_against_the_error_that_it_reports():
    rows = by_check(check_products(["cp"], lmax=3, trials=2))
    assert all(row.passed for row in rows.values())
    assert 0.01 < rows["reference"].value < 0.1
    assert rows["rotations"].bound == pytest.approx(2 * rows["reference"].value, rel=1e-6)
    assert 1e-3 < rows["rotations"].value < rows["rotations"].bound


# --- what is broken ------------------------------------------------------------------------------------------


def broken(monkeypatch, name, change):
    """The rows of a product after a change of the built one."""
    subject = make_subject(find_product(name), 2, torch.Generator().manual_seed(0))
    change(subject.module)
    monkeypatch.setattr(checks, "make_subject", lambda *arguments: subject)
    return by_check(check_product(find_product(name), 2, DOUBLE, 2))


def test_components_in_the_wrong_order_fail_the_law_and_the_reference(monkeypatch):
    class Turned(nn.Module):
        """Swaps two components of the output."""

        def __init__(self, inner):
            super().__init__()
            self.inner, self.symmetry = inner, inner.symmetry

        def forward(self, x, y):
            z = self.inner(x, y).clone()
            z[..., [2, 3]] = z[..., [3, 2]]
            return z

    subject = make_subject(find_product("gaunt_grid"), 2, torch.Generator().manual_seed(0))
    monkeypatch.setattr(checks, "make_subject", lambda *arguments: replace(subject, module=Turned(subject.module)))
    rows = by_check(check_product(find_product("gaunt_grid"), 2, DOUBLE, 2))
    assert {name for name, row in rows.items() if not row.passed} == {"rotations", "reflections", "reference"}


def test_a_wrong_scale_keeps_the_law_and_fails_the_numbers(monkeypatch):
    def scale(product):
        forward = product.forward
        product.forward = lambda x, y: 1.001 * forward(x, y)

    rows = broken(monkeypatch, "gaunt_grid", scale)
    assert {name for name, row in rows.items() if not row.passed} == {"reference", "constants"}
    assert rows["reference"].value == pytest.approx(1e-3, rel=1e-6)


def test_a_lost_coupling_fails_couplings_and_constants(monkeypatch):
    def cut(product):
        forward = product.forward

        def without_scalars(x, y):
            z = forward(x, y).clone()
            z[..., product.irreps_out.slices()[0]] = 0
            return z

        product.forward = without_scalars

    rows = broken(monkeypatch, "gaunt_dense", cut)
    assert not rows["couplings"].passed
    assert (rows["couplings"].value, rows["couplings"].bound) == (11, 14)  # (0,0,0), (1,1,0), (2,2,0) are gone
    assert not rows["constants"].passed
    assert rows["rotations"].passed


def test_a_catalogue_that_claims_too_much_or_too_little_is_found_out():
    claimed = replace(find_product("matrix"), group="O(3)")
    assert not by_check(check_product(claimed, 2, DOUBLE, 2))["reflections"].passed
    modest = replace(find_product("matrix_parity"), group="SO(3)")
    assert not by_check(check_product(modest, 2, DOUBLE, 2))["reflections"].passed
    even = replace(find_product("gaunt_complete"), couples="even")
    rows = by_check(check_product(even, 2, DOUBLE, 2))
    assert (rows["couplings"].value, rows["couplings"].bound, rows["couplings"].passed) == (19, 14, False)


def test_wrong_weights_of_a_layer_fail_its_reference_alone(monkeypatch):
    made = check_subjects._so2

    def doubled(*arguments):
        subject = made(*arguments)
        inner = subject.reference
        return Subject(subject.module, subject.inputs, lambda x, y, weight: inner(x, y, 2 * weight), "itself")

    monkeypatch.setitem(check_subjects._LAYERS, "so2", doubled)
    rows = by_check(check_product(find_product("so2"), 2, DOUBLE, 2))
    assert {name for name, row in rows.items() if not row.passed} == {"reference"}
    assert rows["reference"].value == pytest.approx(0.5)


def test_numbers_that_are_none_and_zeros_that_keep_any_law_do_not_pass(monkeypatch):
    for factor in (float("nan"), 0.0):

        def spoil(product, factor=factor):
            forward = product.forward
            product.forward = lambda x, y: factor * forward(x, y)

        rows = broken(monkeypatch, "gaunt_grid_separable", spoil)
        assert rows["rotations"].value is None
        assert not rows["rotations"].passed
        assert not rows["reference"].passed
        assert "not finite" in rows["rotations"].text or factor == 0.0


# --- arguments and files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [{"lmax": 0}, {"lmax": 7}, {"trials": 0}, {"dtypes": [torch.bfloat16]}, {"names": ["gaunt_gird"]}]
)
def test_what_has_no_bound_is_refused(arguments):
    with pytest.raises(ConfigError):
        list(check_products(**arguments))


def test_rows_are_written_with_their_verdicts(tmp_path):
    rows = [
        CheckRow("a", 2, "rotations", "float32", 1e-7, "<=", 5e-6),
        CheckRow("b", 2, "rank", "float64", 8, "=", 9, "its closed form"),
        CheckRow("c", 2, "reflections", "float64", None, ">=", 0.01),
    ]
    table = json.loads(write_checks(tmp_path / "new" / "checks.json", rows).read_text())
    assert [row["passed"] for row in table] == [True, False, False]
    assert table[1] | {"value": 8, "bound": 9, "relation": "=", "against": "its closed form"} == table[1]
    assert table[2]["value"] is None
    with write_checks(tmp_path / "checks.csv", rows).open() as stream:
        lines = list(csv.DictReader(stream))
    assert [line["passed"] for line in lines] == ["True", "False", "False"]
    assert (lines[0]["value"], lines[2]["value"]) == ("1e-07", "")
    with pytest.raises(DataError):
        write_checks(tmp_path / "checks.xlsx", rows)
