"""Expressivity by numerical rank against incidence ranks, closed forms, published counts, layers of known freedom."""

import csv

import numpy as np
import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, RepresentationError, ShapeError, SymmetryError
from intertwine.products import FullyConnectedTensorProduct, TensorProduct
from intertwine.products.survey.couplings import allowed_triples, couplings_of
from intertwine.products.survey.expressivity import expressivity, layer_expressivity
from intertwine.products.survey.path_counts import count_paths, expressivity_closed_form
from intertwine.products.survey.registry import list_products, make_product
from intertwine.products.vector_spherical import VectorSphericalProduct
from intertwine.representations import Irreps, convert_layout

DOUBLE = torch.float64
EVEN = ["gaunt_dense", "gaunt_grid", "gaunt_grid_separable", "gaunt_fourier", "gaunt_fourier_fft"]
# Published: ranks of k = 1, 2, 3, ... copies in parallel, outputs up to 2 L.
COPIES = {
    "gaunt_grid": {
        1: [5],
        2: [9, 14],
        3: [13, 25, 30],
        4: [17, 33, 48, 55],
        5: [21, 41, 60, 79, 91],
    },
    "matrix": {1: [5, 6], 2: [9, 17, 19], 3: [13, 25, 37, 44], 4: [17, 33, 49, 64, 77, 85]},
}


def natural(lmax):
    return Irreps.spherical_harmonics(lmax)


def triples(lmax, highest, kept):
    degrees = range(lmax + 1)
    return [
        (a, b, c) for a in degrees for b in degrees for c in range(abs(a - b), min(a + b, highest) + 1) if kept(a, b, c)
    ]


def incidence_rank(found):
    """Rank of the 0/1 matrix that says which of w1_l1, w2_l2, w3_l3 a coupling has: another way to the same number."""
    columns = {column: place for place, column in enumerate(sorted({(s, t[s]) for t in found for s in range(3)}))}
    matrix = np.zeros((len(found), len(columns)))
    for row, triple in enumerate(found):
        for side in range(3):
            matrix[row, columns[side, triple[side]]] = 1
    return int(np.linalg.matrix_rank(matrix)) if found else 0


def is_even(a, b, c):
    return (a + b + c) % 2 == 0


def is_odd(a, b, c):
    return not is_even(a, b, c)


def always(a, b, c):
    return True


# --- counts ----------------------------------------------------------------------------------------------


def test_counts_of_paths_are_those_of_the_table(data_dir):
    with (data_dir / "tensor-product-reference" / "path_counts.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 11
    for row in rows:
        lmax = int(row["L"])
        for kind, rule in (("all", always), ("even", is_even), ("odd", is_odd)):
            for cut, name in ((False, f"{kind}_l3_le_2L"), (True, f"{kind}_l3_le_L")):
                counted = len(triples(lmax, lmax if cut else 2 * lmax, rule))
                assert count_paths(lmax, kind, cut=cut) == counted == int(row[name])
        assert expressivity_closed_form("gaunt_grid", lmax) == int(row["gtp_rank_2L"])
        assert expressivity_closed_form("gaunt_grid", lmax, cut=True) == int(row["gtp_rank_L"])


def test_counts_are_those_by_which_the_published_benchmarks_normalise():
    assert [count_paths(lmax) for lmax in range(1, 8)] == [6, 19, 44, 85, 146, 231, 344]
    assert [expressivity_closed_form("gaunt_grid", lmax) for lmax in range(1, 8)] == [5, 9, 13, 17, 21, 25, 29]


def test_unknown_counts_are_refused():
    with pytest.raises(ConfigError):
        count_paths(2, "some")
    assert expressivity_closed_form("channelwise", 2) is None


# --- products of the registry ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [entry.name for entry in list_products("product")])
def test_rank_equals_the_closed_form(name):
    for lmax in range(1, 2 if name == "low_rank" else 6):  # that one is searched for, for seconds
        product = make_product(name, natural(lmax), natural(lmax))
        assert expressivity(product).rank == expressivity_closed_form(name, lmax), lmax
        low = [ir for ir in dict.fromkeys(product.irreps_out.irreps) if ir.l <= lmax]
        cut = expressivity(make_product(name, natural(lmax), natural(lmax), Irreps(low)))
        assert cut.rank == expressivity_closed_form(name, lmax, cut=True), lmax


@pytest.mark.parametrize(
    ("name", "rule"),
    [("gaunt_grid", is_even), ("gaunt_curl", is_odd), ("matrix", always)],
    ids=["even", "odd", "all"],
)
def test_rank_of_multiplied_weights_is_that_of_the_incidence_matrix(name, rule):
    for lmax in range(1, 6):
        product = make_product(name, natural(lmax), natural(lmax))
        assert expressivity(product).rank == incidence_rank(triples(lmax, 2 * lmax, rule))


@pytest.mark.parametrize(
    ("name", "whole", "cut"),
    [
        ("gaunt_grid", [5, 9, 13, 17, 21], [4, 7, 10, 13, 16]),  # 4 L + 1, and 3 L + 1 with outputs up to L
        ("matrix", [5, 9, 13, 17, 21], [4, 7, 10, 13, 16]),
        ("gaunt_curl", [1, 5, 9, 13, 17], None),  # 4 L - 3
        ("clebsch_gordan_dense", [6, 19, 44, 85, 146], [5, 15, 34, 65, 111]),  # the number of paths
    ],
)
def test_published_ranks(name, whole, cut):
    for lmax, rank in enumerate(whole, start=1):
        product = make_product(name, natural(lmax), natural(lmax))
        assert expressivity(product).rank == rank
        if cut is not None:
            low = Irreps([ir for ir in dict.fromkeys(product.irreps_out.irreps) if ir.l <= lmax])
            assert expressivity(make_product(name, natural(lmax), natural(lmax), low)).rank == cut[lmax - 1]


@pytest.mark.parametrize("name", COPIES)
def test_copies_in_parallel_saturate_as_published(name):
    for lmax, ranks in COPIES[name].items():
        product = make_product(name, natural(lmax), natural(lmax))
        found = [expressivity(product, copies=k).rank for k in range(1, len(ranks) + 2)]
        assert found == [*ranks, ranks[-1]], lmax


@pytest.mark.parametrize(("jmax", "rank"), [(1, 5), (2, 18), (3, 33)])
def test_vector_signals_have_the_published_ranks(jmax, rank):
    slots = [(j, slot) for j in range(jmax + 1) for slot in ((1,) if j == 0 else (j - 1, j, j + 1))]
    irreps = Irreps([(1, (j, -((-1) ** slot))) for j, slot in slots])
    places = [slot for _, slot in slots]
    product = VectorSphericalProduct(irreps, irreps, slots1=places, slots2=places)
    found = expressivity(product, group="SO(3)")
    assert (found.rank, found.weights) == (rank, 12 * jmax + 3)
    assert rank == expressivity_closed_form("vector_spherical", jmax, slots=True)
    assert found.paths == count_paths(jmax)
    assert [tuple(ir.l for ir in triple) for triple in found.lost] == [(0, 0, 0)]


# --- what interacts ------------------------------------------------------------------------------------------


def degrees(found):
    return sorted(tuple(ir.l for ir in triple) for triple in found)


@pytest.mark.parametrize("name", [entry.name for entry in list_products("product")])
def test_couplings_are_those_that_the_catalogue_says(name):
    lmax = 1 if name == "low_rank" else 3
    found = expressivity(make_product(name, natural(lmax), natural(lmax)), *([natural(lmax)] * 2), all_out(name, lmax))
    rule = next(entry for entry in list_products() if entry.name == name).keeps
    assert degrees(found.interactable) == sorted(triples(lmax, 2 * lmax, rule))
    assert degrees(found.lost) == sorted(triples(lmax, 2 * lmax, lambda *t: not rule(*t)))


def all_out(name, lmax):
    """Both parities, or one where the product does not tell them apart."""
    if name == "matrix":
        return natural(2 * lmax)
    return Irreps(sorted(set(natural(lmax).tensor_product(natural(lmax)).irreps)))


def test_matrices_of_degree_6_miss_exactly_one_coupling_and_its_permutations():
    found = expressivity(make_product("matrix", natural(6), natural(6)))
    missing = {(3, 5, 6), (3, 6, 5), (5, 3, 6), (5, 6, 3), (6, 3, 5), (6, 5, 3)}
    assert set(degrees(found.lost)) == missing
    for lmax in range(1, 6):
        assert expressivity(make_product("matrix", natural(lmax), natural(lmax))).lost == ()


def test_what_is_lost_and_what_is_tied_are_told_apart():
    both = all_out("", 2)
    gaunt = expressivity("gaunt_grid", natural(2), natural(2), natural(4))
    assert (gaunt.rank, gaunt.paths, gaunt.lost, gaunt.tied, gaunt.complete) == (9, 14, (), 5, False)
    product = make_product("gaunt_grid", natural(2), natural(2))
    wide = expressivity(product, irreps_out=both)
    assert (wide.rank, wide.paths, len(wide.lost), wide.tied) == (9, 19, 5, 5)
    assert expressivity("clebsch_gordan_dense", natural(2), natural(2)).complete


# --- any bilinear operation ------------------------------------------------------------------------------------


def dot_and_cross(x, y):
    return torch.cat([(x * y).sum(-1, keepdim=True), torch.linalg.cross(x, y)], -1)


def test_a_function_of_the_user():
    found = expressivity(dot_and_cross, "1o", "1o", "0e + 1e + 2e", inner=("1o", "1o", "0e + 1e"))
    assert (found.rank, found.paths) == (2, 3)
    assert [str(triple[2]) for triple in found.lost] == ["2e"]
    constants = couplings_of(dot_and_cross, ("1o", "1o", "0e + 1e")).constants
    torch.testing.assert_close(constants, torch.tensor([3**0.5, 6**0.5], dtype=DOUBLE))
    with pytest.raises(ShapeError):
        expressivity(dot_and_cross, "1o", "1o", "0e + 1e + 2e")


def test_multiplicities_count_all_channels(rng):
    """Channel by channel, C products in parallel: the freedom of C rank-one terms, u v w tensors of rank C."""
    channels = 3
    elementwise = TensorProduct("3x1o", "3x1o", "3x0e", [(0, 0, 0, "uuu", False)]).double()
    found = expressivity(elementwise, "4x1o", "4x1o", "4x0e", inner=("3x1o", "3x1o", "3x0e"))
    assert found.paths == 64
    assert found.weights == 3 * 4 * channels
    # tensors of rank 3 in 4 x 4 x 4 form a set of dimension 3 (4 + 4 + 4 - 2)
    assert found.rank == channels * (4 + 4 + 4 - 2)
    assert (found.tied, found.lost) == (64 - 30, ())
    full = expressivity(elementwise, "1x1o", "1x1o", "1x0e", inner=("3x1o", "3x1o", "3x0e"))
    assert (full.rank, full.paths) == (1, 1)


@pytest.mark.parametrize("layout", ["mul_ir", "ir_mul"])
def test_layouts_agree_and_the_wrong_one_is_seen(layout):
    irreps = Irreps("2x0e + 2x1o")
    inside = FullyConnectedTensorProduct(irreps, irreps, irreps, layout=layout).double()
    found = layer_expressivity(inside, irreps, irreps, irreps, layout=layout)
    assert found.rank == inside.weight_numel == found.paths
    wrong = "ir_mul" if layout == "mul_ir" else "mul_ir"
    with pytest.raises(SymmetryError):
        layer_expressivity(inside, irreps, irreps, irreps, layout=wrong)


class Factorised(nn.Module):
    """A Gaunt-like layer with its own weights: w1_l1 w2_l2 w3_l3."""

    def __init__(self, lmax):
        super().__init__()
        self.product = make_product("gaunt_dense", natural(lmax), natural(lmax))
        self.weights = nn.ParameterList(
            nn.Parameter(torch.ones(len(side)))
            for side in (self.product.irreps_in1, self.product.irreps_in2, self.product.irreps_out)
        )

    def forward(self, x, y):
        sides = (self.product.irreps_in1, self.product.irreps_in2, self.product.irreps_out)
        w1, w2, w3 = (
            weight.repeat_interleave(torch.tensor([entry.dim for entry in side]))
            for weight, side in zip(self.weights, sides, strict=True)
        )
        return w3 * self.product(w1 * x, w2 * y)


def test_a_layer_with_weights_of_its_own():
    for lmax in (1, 2, 3):
        found = layer_expressivity(Factorised(lmax), natural(lmax), natural(lmax), natural(2 * lmax))
        assert (found.rank, found.weights) == (4 * lmax + 1, 4 * lmax + 3)
        assert found.paths == count_paths(lmax, "even")
    irreps, second, out = "2x0e + 3x1o", "2x1o", "2x0e + 3x1o + 1e"
    every = FullyConnectedTensorProduct(irreps, second, out)
    found = layer_expressivity(every, irreps, second, out)
    assert found.rank == found.paths == every.weight_numel
    assert found.complete
    fixed = layer_expressivity(make_product("gaunt_dense", "1o", "1o"), "1o", "1o", "0e + 2e")
    assert (fixed.rank, fixed.weights, len(fixed.interactable)) == (0, 0, 2)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (lambda x, y: dot_and_cross(x, y) + 1, "not bilinear"),
        (lambda x, y: dot_and_cross(x.abs(), y), "not bilinear"),
        (lambda x, y: dot_and_cross(x * torch.tensor([1.0, 1, 2], dtype=DOUBLE), y), "does not commute"),
    ],
)
def test_what_is_not_bilinear_or_not_equivariant_is_refused(operation, words):
    with pytest.raises(SymmetryError, match=words):
        expressivity(operation, "1o", "1o", "0e + 1e")


def test_a_map_that_mixes_parities_is_one_of_the_rotations_only():
    product = make_product("matrix", natural(1), natural(1)).double()
    with pytest.raises(SymmetryError, match=r"SO\(3\)"):
        expressivity(product.forward, natural(1), natural(1), natural(2))
    found = expressivity(product.forward, natural(1), natural(1), natural(2), group="SO(3)")
    assert found.rank == expressivity(product).rank == 5


def test_missing_irreps_are_asked_for():
    with pytest.raises(RepresentationError):
        expressivity(dot_and_cross, "1o", "1o")
    with pytest.raises(RepresentationError):
        expressivity("gaunt_grid")
    with pytest.raises(RepresentationError):
        couplings_of(dot_and_cross)
    with pytest.raises(RepresentationError):
        allowed_triples(natural(1), natural(1), natural(1), "SU(2)")


def test_projection_finds_planted_constants_in_any_order(rng):
    """A product with known constants, its features shuffled into another layout and order of entries."""
    irreps = Irreps("2x1o + 1x0e + 1x1o")
    product = TensorProduct(
        irreps, "1o", "3x0e + 1x1o", [(0, 0, 0, "uvw"), (2, 0, 0, "uvw"), (1, 0, 1, "uvw")], weights="shared",
        irrep_normalization="none", path_normalization="none",
    ).double()  # fmt: skip
    weight = torch.randn(product.weight_numel, generator=rng, dtype=DOUBLE)
    found = couplings_of(
        lambda x, y: convert_layout(
            product(convert_layout(x, irreps, "ir_mul", "mul_ir"), y, weight), "3x0e + 1x1o", "mul_ir", "ir_mul"
        ),
        (irreps, "1o", "3x0e + 1x1o"),
        layout="ir_mul",
    )
    kept = found.constants.abs() > 1e-12
    torch.testing.assert_close(found.constants[kept].sort().values, weight.sort().values, rtol=1e-11, atol=1e-11)
    assert int(kept.sum()) == product.weight_numel == 6 + 3 + 1
