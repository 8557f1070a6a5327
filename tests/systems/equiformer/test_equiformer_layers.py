"""The parts of the network: grids against gates, attention weights, norms, and what each declares."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from intertwine.errors import IntertwineError
from intertwine.graphs import edge_vectors
from intertwine.groups import SO
from intertwine.products.so2.edge_frames import EdgeFrameMap, EdgeFrames
from intertwine.representations import Irreps, SphericalHarmonics
from intertwine.representations.actions import IrrepsTensor
from intertwine.symmetry import equivariance_error
from intertwine.systems.equiformer.model.activation import (
    Activation,
    GridNetwork,
    SphereTransform,
    frame_components,
    node_components,
)
from intertwine.systems.equiformer.model.attention import AttentionWeights, GraphAttention
from intertwine.systems.equiformer.model.block import FeedForward, drop_path
from intertwine.systems.equiformer.model.edges import EdgeDegreeEmbedding, EdgeInvariants
from intertwine.systems.equiformer.model.layers import (
    Dense,
    EdgeNetwork,
    IrrepsLinear,
    SeparateNorm,
    features,
    make_norm,
)
from intertwine.testing import ModuleContract, tolerance

DOUBLE = torch.float64


def randn(rng, *shape, dtype=DOUBLE):
    return torch.randn(*shape, generator=rng, dtype=dtype)


# --- the sphere grid -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lmax", "mmax"), [(1, 1), (3, 2), (4, 0), (4, 4)])
def test_the_order_of_components_is_that_of_the_frames(lmax, mmax, rng):
    """Features that hold (l, m) as numbers show where a frame puts them."""
    pairs = node_components(lmax)
    marks = torch.tensor([[10.0 * degree + m] for degree, m in pairs]).T
    irreps = Irreps.spherical_harmonics(lmax)
    still = EdgeFrames(lmax)(torch.tensor([[0.0, 1.0, 0.0]]))
    seen = EdgeFrameMap(irreps, mmax, "ir_mul").into(marks, still)
    assert seen[0].round().tolist() == [10.0 * degree + m for degree, m in frame_components(lmax, mmax)]


@pytest.mark.parametrize("lmax", [1, 3, 6])
def test_values_are_those_of_the_harmonics_and_come_back(lmax, rng):
    transform = SphereTransform(node_components(lmax), 2 * lmax).double()
    x = randn(rng, 5, (lmax + 1) ** 2, 3)
    torch.testing.assert_close(transform.coefficients(transform.values(x)), x, **tolerance(DOUBLE, 1024))
    # values by the harmonics themselves, at points found from the degree-1 rows
    points = transform.to_grid[:, 1:4] / transform.to_grid[:, 1:4].norm(dim=-1, keepdim=True)
    harmonics = SphericalHarmonics(Irreps.spherical_harmonics(lmax), normalize=True, normalization="integral").double()
    torch.testing.assert_close(transform.values(x), harmonics(points) @ x, **tolerance(DOUBLE, 1024, 10.0))


def test_a_grid_that_is_too_coarse_does_not_bring_functions_back(rng):
    transform = SphereTransform(node_components(4), 6).double()
    x = randn(rng, 5, 25, 3)
    assert (transform.coefficients(transform.values(x)) - x).abs().max() > 0.1


def error(module, rng, dim, gates, samples=3):
    inputs = {"x": randn(rng, samples, dim), "gates": randn(rng, samples, gates)}
    return equivariance_error(module, inputs, trials=6, rng=rng).worst.relative


def test_finer_grids_keep_rotations_better(rng):
    """Aliasing falls by orders of magnitude with the degree; rounding is reached in the frame of an edge."""
    nodes = [error(Activation("separable_s2", 3, 3, None, degree), rng, 48, 3) for degree in (6, 12, 24, 48)]
    frames = [error(Activation("separable_s2", 3, 3, 2, degree), rng, 42, 3) for degree in (6, 12, 24, 48)]
    for found in (nodes, frames):
        assert found[0] > 1e-3
        assert all(later < earlier / 5 for earlier, later in pairwise(found)), found
    assert nodes[-1] < 1e-5
    assert frames[-1] < 1e-7


@pytest.mark.parametrize("mmax", [None, 0, 1, 2, 3])
def test_gates_keep_rotations_exactly(mmax, rng):
    module = Activation("gate", 3, 3, mmax, 2)
    dim = 3 * len(node_components(3) if mmax is None else frame_components(3, mmax))
    assert error(module, rng, dim, module.num_gates) < 1e-14


def test_gates_and_grid_do_what_they_say(rng):
    x, gates = randn(rng, 2, 4 * 5), randn(rng, 2, 5)
    gated = Activation("gate", 5, 1, None, 2)(x, gates).unflatten(-1, (4, 5))
    torch.testing.assert_close(gated[:, 0], torch.nn.functional.silu(x[:, :5]))
    torch.testing.assert_close(gated[:, 2], x[:, 10:15] * torch.sigmoid(gates))
    separable = Activation("separable_s2", 5, 1, None, 30).double()(x, gates).unflatten(-1, (4, 5))
    torch.testing.assert_close(separable[:, 0], torch.nn.functional.silu(gates))
    # a large constant under a small vector: SiLU is the identity there, so the vector comes back
    far = torch.cat([torch.full((2, 5), 200.0, dtype=DOUBLE), 0.1 * x[:, 5:]], dim=-1)
    same = Activation("separable_s2", 5, 1, None, 30).double()(far, gates)
    torch.testing.assert_close(same[:, 5:], far[:, 5:], **tolerance(DOUBLE, 1 << 16))


def test_a_network_on_the_grid_mixes_channels_and_keeps_rotations_as_the_grid_does(rng):
    errors = [error(GridNetwork(3, 2, degree, rng=torch.Generator()), rng, 27, 3) for degree in (4, 16, 40)]
    assert errors[0] > 1e-3
    assert errors[2] < errors[1] / 10 < errors[0] / 100


# --- linear maps and norms -------------------------------------------------------------------------------


def test_variance_is_kept_by_maps_at_first(rng):
    x = randn(rng, 4000, 64)
    assert Dense(64, 32, rng=rng).double()(x).detach().var() == pytest.approx(1.0, abs=0.1)
    irreps = features(16, 2)
    y = IrrepsLinear(irreps, features(8, 2), rng).double()(randn(rng, 2000, irreps.dim))
    assert y.detach().var() == pytest.approx(1.0, abs=0.1)


def test_a_bias_is_on_scalars_only(rng):
    layer = IrrepsLinear(features(4, 2), features(3, 2), rng)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    y = layer(torch.zeros(1, 36))
    assert y[0, :3].tolist() == [1.0, 2.0, 3.0]
    assert not y[0, 3:].any()
    assert IrrepsLinear(features(4, 1), Irreps("2x1o"), rng).bias is None


def test_the_norm_gives_scalars_and_higher_degrees_unit_size(rng):
    irreps = features(8, 3)
    x = randn(rng, 6, irreps.dim) * torch.logspace(-1, 1, 6, dtype=DOUBLE)[:, None]
    y = SeparateNorm(irreps).double()(x)
    torch.testing.assert_close(y[:, :8], torch.nn.functional.layer_norm(x[:, :8], (8,)))
    sizes = [block.square().mean(-1) for block in y[:, 8:].split([24, 40, 56], dim=-1)]
    torch.testing.assert_close(torch.stack(sizes).mean(0), torch.ones(6, dtype=DOUBLE), rtol=1e-2, atol=0)
    # a degree that is larger than the others stays so
    big = torch.cat([x[:, :8], 10 * x[:, 8:32], x[:, 32:]], dim=-1)
    z = SeparateNorm(irreps).double()(big)
    ratio = z[:, 8:32].square().mean(-1) / z[:, 32:72].square().mean(-1)
    torch.testing.assert_close(ratio, big[:, 8:32].square().mean(-1) / big[:, 32:72].square().mean(-1))


class _Features(ModuleContract):
    """What every map of features is held to; there are no atoms here, so nothing is permuted."""

    permutes = batches = False

    def inputs(self, rng, dtype):
        return {"x": torch.randn(4, features(3, 2).dim, generator=rng, dtype=dtype)}

    def empty_inputs(self, dtype):
        return {"x": torch.zeros(0, features(3, 2).dim, dtype=dtype)}


class TestSeparateNorm(_Features):
    def build(self):
        return make_norm("separate", features(3, 2))


class TestJointNorm(_Features):
    def build(self):
        return make_norm("joint", features(3, 2))


class TestIrrepsLinear(_Features):
    def build(self):
        return IrrepsLinear(features(3, 2), features(5, 2), torch.Generator().manual_seed(0))


# --- attention -------------------------------------------------------------------------------------------


def test_attention_weights_add_up_to_one_and_dropout_is_for_training(rng):
    weigh = AttentionWeights(2, 4, 0.5, rng).double()
    destination = torch.tensor([0, 0, 0, 2, 2])
    alphas = randn(rng, 5, 8)
    found = weigh.eval()(alphas, destination, 3)
    sums = torch.zeros(3, 2, dtype=DOUBLE).index_add(0, destination, found)
    torch.testing.assert_close(sums, torch.tensor([[1.0, 1], [0, 0], [1, 1]], dtype=DOUBLE))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        dropped = weigh.train()(alphas, destination, 3)
    assert ((dropped == 0) | (dropped - 2 * found).abs().lt(1e-12)).all()
    assert (dropped == 0).any()


def graph(rng, atoms=5):
    positions = randn(rng, atoms, 3)
    pairs = torch.combinations(torch.arange(atoms))
    edge_index = torch.cat([pairs, pairs.flip(-1)]).T
    return positions, edge_index[:, edge_index[1].argsort()], torch.arange(atoms)


@pytest.mark.parametrize("mmax", [0, 1, 2])
@pytest.mark.parametrize("out", ["4x0e + 4x1o + 4x2e", "1o"])
def test_attention_with_truncated_m_turns_with_the_molecule(small, mmax, out, rng):
    """Leaving out |m| > mmax commutes with turns about the edge: it breaks no symmetry. With gates all is exact."""
    settings = replace(small, mmax=mmax, attention_activation="gate")
    edges = EdgeInvariants(settings, rng)
    attention = GraphAttention(settings, Irreps(out), edges.size, rng).double().eval()
    edges, frames = edges.double(), EdgeFrames(2).double()
    positions, edge_index, species = graph(rng)
    x, rep = randn(rng, 5, features(4, 2).dim), IrrepsTensor(features(4, 2), "ir_mul")

    def run(positions, x):
        vectors = edge_vectors(positions, edge_index)
        return attention(x, edges(vectors, species, edge_index), frames(vectors), edge_index)

    rotation = SO(3).sample(rng=rng, dtype=DOUBLE)
    moved = run(positions @ rotation.T, rep.apply(SO(3), rotation, x))
    expected = IrrepsTensor(out, "ir_mul").apply(SO(3), rotation, run(positions, x))
    torch.testing.assert_close(moved, expected, **tolerance(DOUBLE, 4096))


def test_attention_does_not_depend_on_the_turn_of_a_frame(small, rng):
    settings = replace(small, attention_activation="gate")
    edges = EdgeInvariants(settings, rng).double()
    attention = GraphAttention(settings, features(4, 2), edges.size, rng).double().eval()
    frames = EdgeFrames(2).double()
    positions, edge_index, species = graph(rng)
    vectors, x = edge_vectors(positions, edge_index), randn(rng, 5, features(4, 2).dim)
    invariants = edges(vectors, species, edge_index)
    gamma = 6 * torch.rand(len(vectors), generator=rng, dtype=DOUBLE)
    one, other = frames(vectors), frames(vectors, gamma)
    assert (one.matrices[1] - other.matrices[1]).abs().max() > 0.1
    torch.testing.assert_close(
        attention(x, invariants, other, edge_index),
        attention(x, invariants, one, edge_index),
        **tolerance(DOUBLE, 4096),
    )


def test_first_features_are_harmonics_times_radial_functions(small, rng):
    edges = EdgeInvariants(small, rng).double()
    embedding = EdgeDegreeEmbedding(small, edges.size, 3.0, rng).double()
    positions, edge_index, species = graph(rng)
    vectors = edge_vectors(positions, edge_index)
    invariants = edges(vectors, species, edge_index)
    found = embedding(invariants, EdgeFrames(2).double()(vectors), edge_index, 5)
    harmonics = SphericalHarmonics(Irreps.spherical_harmonics(2), normalize=True, normalization="norm").double()
    radial = embedding.network(invariants).unflatten(-1, (3, 4))
    degrees = torch.tensor([0, 1, 1, 1, 2, 2, 2, 2, 2])
    messages = harmonics(vectors)[..., None] * radial[:, degrees]
    expected = torch.zeros(5, 9, 4, dtype=DOUBLE).index_add(0, edge_index[1], messages) / 3.0
    torch.testing.assert_close(found, expected.flatten(1), **tolerance(DOUBLE, 1024))


def test_invariants_see_length_and_both_elements(small, rng):
    edges = EdgeInvariants(small, rng)
    vectors, species = torch.tensor([[0.0, 3.0, 4.0], [0.0, -3.0, -4.0]]), torch.tensor([7, 28])
    found = edges(vectors, species, torch.tensor([[0, 1], [1, 0]]))
    assert torch.equal(found[0, :8], found[1, :8])
    assert torch.equal(found[0, 8:14], edges.source[7])
    assert torch.equal(found[0, 14:], edges.destination[28])
    assert torch.equal(found[1, 8:14], edges.source[28])


# --- blocks ----------------------------------------------------------------------------------------------


class TestFeedForwardGate(_Features):
    def build(self):
        from intertwine.systems.equiformer.settings import ModelSettings

        settings = ModelSettings(lmax=2, mmax=1, channels=3, feed_forward=4, feed_forward_activation="gate")
        return FeedForward(settings, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", ["separable_s2", "grid"])
def test_feed_forward_networks_on_a_grid_keep_rotations_as_the_grid_does(small, kind, rng):
    x = randn(rng, 3, features(4, 2).dim)
    found = []
    for degree in (4, 12, 36):
        settings = replace(small, feed_forward_activation=kind, grid_degree=degree)
        network = FeedForward(settings, torch.Generator().manual_seed(1))
        found.append(equivariance_error(network, x, trials=4, rng=rng).worst.relative)
    assert found[0] > 1e-4
    assert found[1] < found[0] / 3
    assert found[2] < found[1] / 10


def test_a_dropped_path_is_dropped_for_a_whole_structure(rng):
    x, graph_index = torch.ones(3000, 2), torch.arange(1000).repeat_interleave(3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = drop_path(x, graph_index, 1000, 0.25)
    by_graph = found.unflatten(0, (1000, 3))
    assert torch.equal(by_graph.amax((1, 2)), by_graph.amin((1, 2)))
    assert found.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert found.mean() == pytest.approx(1.0, abs=0.06)


def test_edge_networks_normalise_between_maps(rng):
    network = EdgeNetwork([6, 5, 4, 3], rng)
    assert len(network.maps) == 3
    assert len(network.norms) == 2
    scaled = network(1e4 * torch.ones(2, 6))
    assert scaled.shape == (2, 3)
    assert scaled.abs().max() < 50


def test_misfits_are_refused(rng):
    with pytest.raises(IntertwineError):
        IrrepsLinear(features(4, 1), features(4, 2), rng)
