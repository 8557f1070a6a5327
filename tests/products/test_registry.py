"""The registry: every product can be had by name, keeps its contract, and every path can be explained."""

import json
from dataclasses import asdict

import pytest
import torch

from intertwine.errors import ConfigError, RepresentationError
from intertwine.products.product import Product
from intertwine.products.survey.catalogue import ALIASES, PRODUCTS
from intertwine.products.survey.registry import explain, find_product, list_products, make_product, parse_path
from intertwine.representations import Irrep, Irreps, wigner_3j

DOUBLE = torch.float64
NATURAL = "0e + 1o + 2e"
NAMES = [entry.name for entry in list_products("product")]
EXACT = [entry.name for entry in list_products("product") if entry.exact]


@pytest.mark.parametrize("entry", list_products(), ids=lambda entry: entry.name)
def test_every_entry_names_a_class_that_exists_and_says_so_itself(entry):
    kind = entry.load()
    assert f"{kind.__module__}.{kind.__name__}" == entry.path
    assert entry.summary
    assert entry.source
    if entry.kind == "product":
        assert issubclass(kind, Product)
        assert (kind.name, kind.group_name) == (entry.name, entry.group)


def test_names_of_the_contract_are_there():
    kinds = {kind: [entry.name for entry in list_products(kind)] for kind in ("product", "convolution", "many_body")}
    assert kinds["product"] == [
        "clebsch_gordan_dense", "clebsch_gordan_sparse", "gaunt_dense", "gaunt_grid", "gaunt_grid_separable",
        "gaunt_fourier", "gaunt_fourier_fft", "gaunt_curl", "gaunt_complete", "matrix", "matrix_parity",
        "vector_spherical", "low_rank",
    ]  # fmt: skip
    assert {"so2", "gaunt_convolution"} <= set(kinds["convolution"])
    assert {"gaunt_many_body", "symmetric_contraction"} <= set(kinds["many_body"])
    assert len(list_products()) == sum(map(len, kinds.values()))
    assert set(ALIASES.values()) <= set(PRODUCTS)
    assert not set(ALIASES) & set(PRODUCTS)


@pytest.mark.parametrize("name", NAMES)
def test_every_product_states_a_price(name):
    product = make_product(name, "0e + 1o", "0e + 1o")
    assert product.flops() > 0
    assert product.traffic() > 0
    assert product.bytes(DOUBLE) == 8 * product.traffic()


@pytest.mark.parametrize("name", EXACT)
def test_projected_constants_rebuild_the_map(name, rng):
    """What a product says it does, sum of constant C(x, y), is what it does."""
    product = make_product(name, NATURAL, NATURAL).double()
    x, y = (Irreps(NATURAL).random(4, rng=rng, dtype=DOUBLE) for _ in range(2))
    z = torch.zeros(4, product.irreps_out.dim, dtype=DOUBLE)
    sides = [irreps.slices() for irreps in (product.irreps_in1, product.irreps_in2, product.irreps_out)]
    for item in product.interactions():
        table = wigner_3j(item.ir1.l, item.ir2.l, item.ir_out.l, dtype=DOUBLE)
        part = torch.einsum("zi,zj,ijk->zk", x[:, sides[0][item.in1]], y[:, sides[1][item.in2]], table)
        z[:, sides[2][item.out]] += item.constant * part
    assert (product(x, y) - z).abs().max() < 1e-12 * z.abs().max()


@pytest.mark.parametrize("entry", list_products("product"), ids=lambda entry: entry.name)
def test_explanations_agree_with_what_products_do(entry):
    """Every triple up to degree 2 is explained as the catalogue says, with the constant of the product built for it."""
    for a in range(3):
        for b in range(3):
            for c in range(abs(a - b), a + b + 1):
                first, second = Irrep(a, (-1) ** a), Irrep(b, (-1) ** b)
                found = explain(f"{first} x {second} -> {Irrep(c, first.p * second.p)}", entry.name)
                assert found.possible == entry.keeps(a, b, c)
                assert (found.constant is not None) == found.possible
                if not found.possible:
                    assert found.instead
                    for name in found.instead:
                        assert explain(f"{first} x {second} -> {Irrep(c, first.p * second.p)}", name).possible


def test_an_impossible_path_names_what_can_do_it():
    found = explain("2o x 2o -> 1e", "gaunt_grid")
    assert not found.possible
    assert "2 + 2 + 1 = 5 is odd" in found.text
    assert {"gaunt_curl", "gaunt_complete", "matrix_parity", "clebsch_gordan_dense"} <= set(found.instead)
    with pytest.raises(RepresentationError) as caught:
        found.require()
    assert caught.value.code == "E203"
    assert "gaunt_curl" in caught.value.fix
    assert caught.value.got["out"] == Irrep.parse("1e")
    assert "is even" in explain("1o x 1o -> 0e", "gaunt_curl").reason
    assert "radial" in explain("0e x 0e -> 0e", "vector_spherical").reason


@pytest.mark.parametrize(
    ("path", "product", "constant"),
    [
        ("1o x 1o -> 1e", "gaunt_curl", 1.19682684),
        ("2e x 2e -> 3e", "gaunt_curl", 5.35237235),
        ("1o x 1o -> 2e", "gaunt_grid", 0.69098830),
        ("1o x 1o -> 0e", "gtp", 0.48860251),
        ("2o ⊗ 2o → 1e", "clebsch_gordan", 3**0.5),
    ],
)
def test_a_possible_path_has_the_published_constant(path, product, constant):
    found = explain(path, product)
    found.require()
    assert abs(found.constant) == pytest.approx(constant, abs=1e-8)
    assert "possible" in found.text


def test_what_no_product_can_do_and_what_breaks_parity():
    found = explain("1o x 1o -> 1o", "clebsch_gordan_dense")
    assert not found.possible
    assert "0e, 1e, 2e" in found.reason
    assert found.instead == ()
    assert "break O(3)" in explain("1o x 1o -> 1o", "matrix").reason
    assert "SO(3) only" in explain("1o x 1o -> 1e", "matrix").text
    assert explain("1o x 1o -> 1e", "so2").possible
    assert not explain("1o x 1o -> 1e", "gaunt_convolution").possible
    # matrices that hold degrees 3 and 5 have no zero here; those of size 13 do
    assert explain("3o x 5o -> 6e", "matrix").possible


def test_convolutions_and_powers_have_limits_of_their_own():
    """Harmonics of an edge have natural parity, and the antisymmetric part of a feature with itself is zero."""
    for name in ("so2", "gaunt_convolution"):
        found = explain("2e x 1e -> 2e", name)
        assert not found.possible
        assert "harmonic of the edge, which is 1o" in explain("1o x 1e -> 1o", "so2").reason
    assert explain("1o x 1e -> 1o", "channelwise").possible
    found = explain("1o x 1o -> 1e", "symmetric_contraction")
    assert not found.possible
    assert "by itself" in found.reason
    assert "gaunt_curl" in found.instead
    assert explain("1o x 1o -> 2e", "symmetric_contraction").possible
    assert explain("1o x 2e -> 2o", "symmetric_contraction").possible  # of two different entries of the feature


def test_paths_are_read_or_refused():
    assert parse_path("1o*2e->3o") == (Irrep(1, -1), Irrep(2, 1), Irrep(3, -1))
    for text in ("1o x 1o", "1o x 1o -> 2", "1 x 1 -> 2", "2x1o x 1o -> 0e"):
        with pytest.raises(RepresentationError):
            parse_path(text)


@pytest.mark.parametrize(
    ("name", "near"), [("gaunt_gird", "gaunt_grid"), ("clebsch-gordan", "clebsch_gordan"), ("matrx", "matrix")]
)
def test_unknown_names_suggest_the_nearest(name, near):
    with pytest.raises(ConfigError) as caught:
        make_product(name, "1o", "1o")
    assert near in caught.value.fix
    with pytest.raises(ConfigError):
        find_product("qqqqqq")


def test_options_reach_the_class_and_unknown_ones_are_refused():
    product = make_product("cgtp_sparse", "1o", "1o", "1e", normalization="none")
    assert product.interactions()[0].constant == pytest.approx(1)
    with pytest.raises(ConfigError) as caught:
        make_product("clebsch_gordan_sparse", "1o", "1o", normalisation="none")
    assert caught.value.fix == "did you mean `normalization`?"
    with pytest.raises(ConfigError) as caught:
        make_product("so2", "1o", "1o")
    assert "intertwine.products.so2.convolution.SO2Convolution" in caught.value.fix


def test_entries_are_plain_data():
    """A program can store what it chose from."""
    assert json.loads(json.dumps(asdict(find_product("gtp"))))["name"] == "gaunt_grid"
