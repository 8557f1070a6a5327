"""Messages: against loops over edges, channels and paths, and the parity argument of the Gaunt product."""

import pytest
import torch

from intertwine.products.clebsch_gordan_products import ClebschGordanDense
from intertwine.representations import Irrep, Irreps, convert_layout, spherical_harmonics, wigner_3j
from intertwine.systems.tetris.model import ChannelMessages, PathMessages, make_messages
from intertwine.systems.tetris.settings import PRODUCT_NAMES, ModelSettings
from intertwine.testing import check_equivariance

SH = Irreps("0e + 1o + 2e")
MIXED = Irreps("3x0e + 2x0o + 2x1o + 1x1e")
EDGES = torch.tensor([[1, 2, 0, 3, 1], [0, 0, 1, 2, 3]])


def data(messages, rng, irreps=MIXED):
    features = torch.randn(4, irreps.dim, generator=rng, dtype=torch.float64)
    harmonics = spherical_harmonics(SH, torch.randn(5, 3, generator=rng, dtype=torch.float64))
    weights = torch.randn(5, messages.weight_numel, generator=rng, dtype=torch.float64)
    return features, harmonics, weights


def test_paths_against_a_loop(rng):
    messages = PathMessages(MIXED, SH, 2).double()
    features, harmonics, weights = data(messages, rng)
    got = convert_layout(messages(features, harmonics, weights, EDGES), messages.irreps_out, "ir_mul", "mul_ir")
    features = convert_layout(features, MIXED, "ir_mul", "mul_ir")
    problem, want = messages.product.problem, torch.zeros(4, messages.irreps_out.dim, dtype=torch.float64)
    for edge, (source, destination) in enumerate(EDGES.T.tolist()):
        place = 0
        for path in problem.paths:
            a, b, c = problem.entries(path)
            x = features[source, MIXED.slices()[path.in1]].reshape(a.mul, a.ir.dim)
            y = harmonics[edge, SH.slices()[path.in2]]
            coupling = wigner_3j(a.ir.l, b.ir.l, c.ir.l, dtype=torch.float64) * problem.factor(path)
            z = torch.einsum("ui,j,ijk->uk", x, y, coupling) * weights[edge, place : place + a.mul, None]
            want[destination, messages.irreps_out.slices()[path.out]] += z.flatten()
            place += a.mul
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)


@pytest.mark.parametrize("product", [name for name in PRODUCT_NAMES if name != "clebsch_gordan"])
def test_channels_against_a_loop(product, rng):
    settings = ModelSettings(product=product, lmax=2, product_channels=3)
    messages = make_messages(settings, MIXED, SH, rng).double()
    features, harmonics, weights = data(messages, rng)
    got = convert_layout(messages(features, harmonics, weights, EDGES), messages.irreps_out, "ir_mul", "mul_ir")
    want = torch.zeros_like(got)
    start = factor = 0
    for kind, fill, spread in zip(messages.products, messages.fill, messages.spread, strict=True):
        dense, filled = kind.dense(), fill(features).unflatten(-1, (-1, 3))
        for entry, place in zip(kind.irreps_out, kind.irreps_out.slices(), strict=True):
            for channel in range(3):
                where = slice(start, start + entry.ir.dim)
                for edge, (source, destination) in enumerate(EDGES.T.tolist()):
                    y = spread(harmonics[edge : edge + 1]).unflatten(-1, (-1, 3))[0, :, channel]
                    z = torch.einsum("i,j,ijk->k", filled[source, :, channel], y, dense[:, :, place])
                    want[destination, where] += z * weights[edge, factor]
                start += entry.ir.dim
                factor += 1
    torch.testing.assert_close(got, want, rtol=0, atol=1e-12)
    assert got.abs().max() > 0.1


@pytest.mark.parametrize("product", PRODUCT_NAMES)
def test_messages_keep_the_law_that_they_declare(product, rng):
    messages = make_messages(ModelSettings(product=product, lmax=2), MIXED, SH, rng).double()
    features, harmonics, weights = data(messages, rng)
    inputs = {"features": features, "harmonics": harmonics, "weights": weights, "edge_index": EDGES}
    check_equivariance(messages, inputs, trials=3, rng=rng)


def reachable(product, rounds=4, lmax=2):
    """All irreps that repeated products with the harmonics make of scalars, from the couplings that do not vanish."""
    found = {Irrep(0, 1)}
    for _ in range(rounds):
        messages = make_messages(ModelSettings(product=product, lmax=lmax), Irreps([(1, ir) for ir in found]), SH)
        if isinstance(messages, PathMessages):
            found |= {ir for _, ir in messages.irreps_out}
        else:
            found |= {item.ir_out for kind in messages.products for item in kind.interactions()}
    return found


def test_gaunt_never_leaves_natural_parity():
    """The parity argument: no number of layers makes a pseudo-scalar, whatever the weights are."""
    assert reachable("gaunt", rounds=8) == {Irrep(0, 1), Irrep(1, -1), Irrep(2, 1)}


@pytest.mark.parametrize("product", [name for name in PRODUCT_NAMES if name != "gaunt"])
def test_the_other_products_reach_a_pseudo_scalar_in_three_layers_and_not_before(product):
    """It takes a scalar triple product: two vectors give an axial one, the third makes the pseudo-scalar of it."""
    every = {Irrep(degree, parity) for degree in range(3) for parity in (1, -1)}
    assert Irrep(0, -1) not in reachable(product, rounds=2)
    assert Irrep(0, -1) in reachable(product, rounds=3)
    assert reachable(product) == every


@pytest.mark.parametrize("seed", range(3))
def test_a_gaunt_model_gives_mirror_images_one_score_for_any_weights(seed, build, shapes):
    model = build("gaunt", seed=seed, lmax=3, layers=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(3 * torch.randn(parameter.shape, dtype=parameter.dtype) + 1)
    assert all(ir.natural for layer in model.layers for _, ir in layer.irreps_out)
    scores = model(**shapes.inputs())
    assert (scores[:, :2] == 0).all()
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-9, atol=1e-9 * float(scores.detach().abs().max()))


def test_gaunt_keeps_unnatural_features_that_it_is_given(rng):
    """It cannot make them, and it does not lose them: a function of pseudo-scalars times one of scalars."""
    messages = make_messages(ModelSettings(product="gaunt", lmax=1), Irreps("2x0e + 2x0o"), SH, rng).double()
    assert set(messages.irreps_out.irreps) == {Irrep(0, 1), Irrep(1, -1), Irrep(0, -1), Irrep(1, 1)}
    features, harmonics, weights = data(messages, rng, Irreps("2x0e + 2x0o"))
    features[:, :2] = 0
    got = messages(features, harmonics, weights, EDGES)
    for entry, place in zip(messages.irreps_out, messages.irreps_out.slices(), strict=True):
        assert (got[:, place].abs().max() > 1e-3) == (not entry.ir.natural)


def test_scalars_meet_apart_where_vector_fields_cannot(rng):
    """Radial fields are parallel: without a product of their own, scalars would not pass the first layer."""
    messages = make_messages(ModelSettings(product="vector_spherical"), Irreps("4x0e"), SH, rng)
    assert isinstance(messages, ChannelMessages)
    apart, cross = messages.products
    assert isinstance(apart, ClebschGordanDense)
    assert Irrep(0, 1) in apart.irreps_out
    assert all(item.ir_out != Irrep(0, 1) for item in cross.interactions())
