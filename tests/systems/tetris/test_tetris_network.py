"""The network: its law under O(3), for every product and degree, and twins that break it."""

from dataclasses import replace

import pytest
import torch

from intertwine.errors import ConfigError, ShapeError
from intertwine.groups import SO, O
from intertwine.representations.actions import Invariant
from intertwine.symmetry import equivariance_error
from intertwine.systems.tetris.data import SHAPES, PointBatch, collate_points, make_graphs, shape_sets
from intertwine.systems.tetris.model import ClassTable, MirroredClasses, ShapeClassifier
from intertwine.systems.tetris.settings import PRODUCT_NAMES, ModelSettings
from intertwine.testing import ModuleContract

products = pytest.mark.parametrize("product", PRODUCT_NAMES)
degrees = pytest.mark.parametrize("lmax", [1, 2, 3, 4])


@products
@degrees
def test_scores_are_invariant_and_a_reflection_swaps_the_mirror_pair(product, lmax, build, shapes, rng):
    model = build(product, lmax=lmax)
    report = equivariance_error(model, shapes.inputs(), trials=3, rng=rng)
    assert {e.part for e in report.entries} == {"all", "rotations", "reflections", "translations", "permutations"}
    assert report.worst.relative < 1e-9, report.explain()


@pytest.mark.parametrize("product", [name for name in PRODUCT_NAMES if name != "gaunt"])
def test_scores_of_mirror_images_differ_and_an_invariant_claim_is_caught(product, build, shapes, rng):
    """The law is not kept by being blind: the same model fails if its scores are declared invariant under O(3)."""
    model = build(product)
    claim = replace(model.symmetry, output=Invariant())
    report = equivariance_error(model, shapes.inputs(), symmetry=claim, trials=2, rng=rng)
    worst = {entry.part: entry.relative for entry in report.entries}
    # measured for these weights: 3e-4 (vector_spherical) to 7e-3 (clebsch_gordan); rounding is 1e-15
    assert worst["reflections"] > 1e-5
    assert worst["rotations"] < 1e-9


def test_a_product_that_mixes_parities_breaks_reflections_and_is_caught(build, shapes, rng):
    """The plain matrix product in the place of the one that keeps track of parity."""
    from intertwine.products.matrix import MatrixProduct

    model = build("matrix_parity")
    for layer in model.layers:
        (kept,) = layer.messages.products
        pairs = [(ir.l, ir.p) for ir in kept.irreps_out.irreps]
        plain = MatrixProduct(kept.irreps_in1, kept.irreps_in2, matrix_degree=kept.matrix_degree).double()
        places = {ir.l: place for ir, place in zip(plain.irreps_out.irreps, plain.irreps_out.slices(), strict=True)}

        def mixed(x, y, plain=plain, pairs=pairs, places=places):
            z = plain(x, y)
            return torch.cat([z[..., places[degree]] for degree, _ in pairs], dim=-1)

        kept.forward = mixed
    inputs = shapes.inputs()

    def score(positions):
        return model(**inputs | {"positions": positions})

    rotation = SO(3).sample(rng=rng, dtype=torch.float64)
    scores = score(shapes.positions)
    assert (score(shapes.positions @ rotation.T) - scores).abs().max() < 1e-9
    reflected = score(shapes.positions @ -rotation.T)
    difference = reflected[:, list(model.table.mirror)] - scores
    assert difference.abs().max() > 1e-2 * scores.detach().abs().max()  # measured: twice it


@products
def test_a_reflected_chiral_shape_scores_as_its_mirror_image(product, build, shapes):
    model = build(product)
    scores, reflected = (model(**b.inputs()) for b in (shapes, shapes.moved(-torch.eye(3, dtype=torch.float64))))
    torch.testing.assert_close(reflected[0], scores[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(reflected[2:], scores[2:], rtol=0, atol=1e-12)
    torch.testing.assert_close(scores[:, 0], -scores[:, 1], rtol=0, atol=0)


@pytest.mark.parametrize(("product", "layers", "sees"), [("gaunt", 4, False), ("gaunt_complete", 3, True)])
@pytest.mark.parametrize("few", [1, 2])
def test_a_model_knows_whether_it_can_tell_mirror_images_apart(product, layers, sees, few, build, shapes):
    model, shallow = build(product, layers=layers), build(product, layers=few)
    assert (model.sees_handedness, shallow.sees_handedness) == (sees, False)
    assert bool(model(**shapes.inputs())[0, 0] != 0) == sees
    assert (shallow(**shapes.inputs())[:, :2] == 0).all()


def test_achiral_shapes_have_no_pseudo_scalar(build, shapes):
    scores = build("clebsch_gordan")(**shapes.inputs())
    assert scores[2:, :2].abs().max() < 1e-12
    assert scores[:2, 0].abs().min() > 1e-4  # measured 3.5e-3


def test_other_classes_pairs_and_point_types_than_those_of_the_shapes(rng):
    classes, pairs = ("a", "left", "up", "right", "down"), (("left", "right"), ("down", "up"))
    model = ShapeClassifier(
        ModelSettings(multiplicity=1, cutoff=3.0, radial_size=4),
        classes=classes,
        mirror_pairs=pairs,
        point_types=("C", "H"),
        rng=rng,
    ).double()
    assert model.table.mirror == (0, 3, 4, 1, 2)
    positions = torch.randn(9, 3, generator=rng, dtype=torch.float64)
    source, destination = (torch.cdist(positions[:5], positions[:5]) + 9 * torch.eye(5) < 3).nonzero().T
    inputs = {
        "positions": positions,
        "types": torch.tensor([0, 1, 0, 1, 1, 0, 0, 1, 0]),
        "edge_index": torch.stack([source, destination]),  # the second set has points without neighbours
        "graph_index": torch.tensor([0] * 5 + [1] * 4),
        "num_points": torch.tensor([5, 4]),
    }
    report = equivariance_error(model, inputs, trials=3, rng=rng)
    assert report.worst.relative < 1e-9, report.explain()
    changed = model(**inputs | {"types": inputs["types"].flip(0)})
    assert (changed - model(**inputs)).abs().max() > 1e-3


def test_mirrored_classes_is_a_homomorphism(rng):
    law = MirroredClasses((1, 0, 2, 4, 3))
    x = torch.randn(6, 5, generator=rng, dtype=torch.float64)
    group = O(3)
    for g, h in group.sample(8, 2, rng=rng, dtype=torch.float64):
        once = law.apply(group, g, law.apply(group, h, x))
        torch.testing.assert_close(once, law.apply(group, group.compose(g, h), x), rtol=0, atol=0)
    flipped = law.apply(group, -torch.eye(3, dtype=torch.float64), x)
    torch.testing.assert_close(flipped, x[:, [1, 0, 2, 4, 3]], rtol=0, atol=0)
    with pytest.raises(ConfigError):
        MirroredClasses((1, 2, 0))


@pytest.mark.parametrize(
    ("names", "pairs", "part"),
    [
        (("a",), (), "two classes"),
        (("a", "a"), (), "two classes"),
        (("a", "b"), (("a", "c"),), "do not exist"),
        (("a", "b"), (("a", "a"),), "in two mirror pairs"),
        (("a", "b", "c"), (("a", "b"), ("b", "c")), "in two mirror pairs"),
    ],
)
def test_class_tables_that_mean_nothing_are_refused(names, pairs, part):
    with pytest.raises(ConfigError, match=part):
        ClassTable(names, pairs)


def test_inputs_that_do_not_fit_are_refused(build, shapes):
    inputs = shapes.inputs() | {"types": torch.zeros(3, dtype=torch.int64)}
    with pytest.raises(ShapeError) as caught:
        build("clebsch_gordan")(**inputs)
    assert caught.value.got == {"positions": (32, 3), "types": (3,)}


class _Contract(ModuleContract):
    """Saving, compiling, precisions, batches and gradients of one product."""

    product = "clebsch_gordan"
    seed = 2

    def build(self):
        settings = ModelSettings(product=self.product, multiplicity=1, layers=2, product_channels=2, radial_width=8)
        return ShapeClassifier(
            settings,
            classes=tuple(SHAPES),
            mirror_pairs=(("chiral_1", "chiral_2"),),
            rng=torch.Generator().manual_seed(3),
        )

    def singles(self, rng, dtype):
        graphs = make_graphs(shape_sets(), ("X",), 1.1)
        return [collate_points([graph]).to(dtype).inputs() for graph in (graphs[0], graphs[4], graphs[7])]

    def join(self, singles):
        starts = [4 * place for place in range(len(singles))]
        return PointBatch(
            torch.cat([s["positions"] for s in singles]),
            torch.cat([s["types"] for s in singles]),
            torch.cat([s["edge_index"] + start for s, start in zip(singles, starts, strict=True)], dim=1),
            torch.cat([s["graph_index"] + place for place, s in enumerate(singles)]),
            torch.cat([s["num_points"] for s in singles]),
        ).inputs()

    def inputs(self, rng, dtype):
        return self.join(self.singles(rng, dtype))

    def empty_inputs(self, dtype):
        empty = torch.zeros(0, dtype=torch.int64)
        return {
            "positions": torch.zeros(0, 3, dtype=dtype),
            "types": empty,
            "edge_index": empty.new_zeros(2, 0),
            "graph_index": empty,
            "num_points": empty,
        }


class TestClebschGordan(_Contract):
    pass


# the two kinds of messages are compiled once each: the products themselves are compiled in their own tests
class TestGaunt(_Contract):
    product = "gaunt"
    compiles = False


class TestGauntComplete(_Contract):
    product = "gaunt_complete"
    compiles = False


class TestVectorSpherical(_Contract):
    product = "vector_spherical"


class TestMatrixParity(_Contract):
    product = "matrix_parity"
    compiles = False
