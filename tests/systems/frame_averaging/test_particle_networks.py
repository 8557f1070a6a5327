"""Networks of particles: numbers of weights, FA-GNN against loops in numpy, laws, ragged batches, bad input."""

import itertools
import warnings

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataWarning, NumericsError, ShapeError
from intertwine.particles import Samples, SampleSet, SimulationSettings, complete_graph, simulated_samples
from intertwine.symmetry import equivariance_error
from intertwine.systems.frame_averaging.model.egnn import EGNN
from intertwine.systems.frame_averaging.model.gnn import GNN
from intertwine.systems.frame_averaging.model.linear import StraightLine
from intertwine.systems.frame_averaging.model.radial_field import RadialField
from intertwine.systems.frame_averaging.settings.framing import FrameSettings
from intertwine.systems.frame_averaging.settings.particles import CanonicalizationSettings, ParticleModelSettings
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
NONE = FrameSettings(kind="none")
PRODUCTS = CanonicalizationSettings(features="pvac", dropout=0.0)
CLASSES = {"gnn": GNN, "egnn": EGNN, "radial_field": RadialField, "linear": StraightLine}


def build(network="gnn", seed=5, **options):
    settings = ParticleModelSettings(network=network, **{"hidden": 12, "layers": 3} | options)
    return CLASSES[network](settings, rng=torch.Generator().manual_seed(seed)).double()


@pytest.fixture(scope="module")
def samples():
    return simulated_samples(SimulationSettings(seed=7, stream=(12, 6, 6)), "train")


@pytest.fixture
def batch(samples):
    return SampleSet(samples).__getitems__([0, 1, 2])


def ragged(rng, sizes=(5, 3, 7), dtype=DOUBLE):
    """Systems of different sizes, each alone and all as one batch."""
    alone = []
    for size in sizes:
        alone.append(
            {
                "positions": torch.randn(size, 3, generator=rng, dtype=dtype),
                "velocities": torch.randn(size, 3, generator=rng, dtype=dtype),
                "charges": torch.randn(size, generator=rng, dtype=dtype).sign(),
                "edge_index": complete_graph(1, size),
                "graph_index": torch.zeros(size, dtype=torch.int64),
            }
        )
    return alone, joined(alone)


def joined(alone):
    starts = np.cumsum([0, *(len(one["charges"]) for one in alone)]).tolist()
    whole = {name: torch.cat([one[name] for one in alone]) for name in ("positions", "velocities", "charges")}
    whole["edge_index"] = torch.cat([one["edge_index"] + s for one, s in zip(alone, starts, strict=False)], dim=1)
    whole["graph_index"] = torch.cat([one["graph_index"] + number for number, one in enumerate(alone)])
    return whole


# --- weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "options", "wanted"),
    [
        ("gnn", {"hidden": 60}, 92103),
        ("gnn", {"hidden": 64, "frame": NONE, "distances": False}, 104387),
        ("egnn", {"hidden": 64}, 134020),
        ("linear", {}, 1),
    ],
)
def test_networks_have_the_published_numbers_of_weights(network, options, wanted):
    assert sum(weight.numel() for weight in build(network, layers=4, **options).parameters()) == wanted


# --- FA-GNN against loops --------------------------------------------------------------------------------


def by_loops(model, one, group="E(3)"):
    """The published algorithm for one system, one frame and one pair after another; only weights are shared."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    x, v, q = (one[name].numpy() for name in ("positions", "velocities", "charges"))
    n = len(x)

    def affine(name, value):
        return weights[f"{name}.weight"] @ value + weights[f"{name}.bias"]

    def silu(value):
        return value / (1 + np.exp(-value))

    def frames(cloud):
        centre = cloud.mean(0)
        _, axes = np.linalg.eigh((cloud - centre).T @ (cloud - centre))
        found = [axes * np.array(signs) for signs in itertools.product((1, -1), repeat=3)]
        return centre, [m for m in found if group == "E(3)" or np.linalg.det(m) > 0]

    def messages(layer, h):
        name = f"layers.{layer}"
        new = []
        for i in range(n):
            total = 0
            for j in range(n):
                if i != j:
                    known = [q[i] * q[j], np.square(x[i] - x[j]).sum()]
                    m = silu(affine(f"{name}.messages.first", np.concatenate([h[i], h[j], known])))
                    total = total + silu(affine(f"{name}.messages.second", m))
            inner = silu(affine(f"{name}.update.0", np.concatenate([h[i], total])))
            new.append(h[i] + affine(f"{name}.update.2", inner))
        return np.array(new)

    start, elements = frames(x)
    hidden = [
        np.array([affine("embedding", np.concatenate([(x[i] - start) @ m, v[i] @ m])) for i in range(n)])
        for m in elements
    ]
    for layer in range(len(model.layers)):
        if layer:
            vectors = np.mean([h.reshape(n, -1, 3) @ m.T for h, m in zip(hidden, elements, strict=True)], axis=0)
            centre, elements = frames(vectors.reshape(-1, 3))
            hidden = [((vectors - centre) @ m).reshape(n, -1) for m in elements]
        hidden = [messages(layer, h) for h in hidden]
    out = [
        np.array([affine("decoder.2", silu(affine("decoder.0", row))) for row in h]) @ m.T
        for h, m in zip(hidden, elements, strict=True)
    ]
    return np.mean(out, axis=0) + start


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
def test_frames_between_layers_are_those_of_the_published_algorithm(group, rng):
    model = build(frame=FrameSettings(group=group))
    alone, whole = ragged(rng)
    wanted = np.concatenate([by_loops(model, one, group) for one in alone])
    np.testing.assert_allclose(model(**whole).detach().numpy(), wanted, rtol=1e-10, atol=1e-11)


def test_the_baseline_is_the_same_stack_seen_once(batch):
    """Without frames, the network of the identity: positions and velocities in, positions out."""
    model = build(frame=NONE, distances=False)
    features = model.embedding(torch.cat([batch.positions, batch.velocities], dim=-1))
    products = (batch.charges[batch.edge_index[0]] * batch.charges[batch.edge_index[1]])[:, None]
    for layer in model.layers:
        features = layer(features, batch.edge_index, products)
    torch.testing.assert_close(model(**batch.inputs()), model.decoder(features), rtol=0, atol=0)
    step = build(frame=NONE, distances=False, predicts="displacement")
    torch.testing.assert_close(step(**batch.inputs()), batch.positions + model(**batch.inputs()), rtol=1e-14, atol=0)


# --- laws ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "options"),
    [
        ("gnn", {}),
        ("gnn", {"frame": FrameSettings(group="SE(3)", order="descending")}),
        ("gnn", {"reframe": False, "hidden": 11}),
        ("gnn", {"velocity_weight": 0.7}),
        ("gnn", {"predicts": "displacement", "ends": "difference", "normalise": True}),
        ("gnn", {"frame": FrameSettings(differentiate=True)}),
        ("gnn", {"frame": FrameSettings(group="O(3)")}),
        ("gnn", {"frame": FrameSettings(kind="weighted"), "reframe": False}),
        ("gnn", {"frame": FrameSettings(degenerate="symmetrise")}),
        ("gnn", {"frame": FrameSettings(kind="learned"), "reframe": False}),
        (
            "gnn",
            {"frame": FrameSettings(kind="learned", group="SE(3)"), "reframe": False, "canonicalization": PRODUCTS},
        ),
        ("gnn", {"frame": FrameSettings(group="T(3)"), "hidden": 12}),
        ("egnn", {}),
        ("radial_field", {}),
        ("linear", {}),
    ],
)
def test_laws_hold_to_rounding(network, options, batch, rng):
    report = equivariance_error(build(network, **options).eval(), batch.inputs(), trials=6, rng=rng)
    assert report.worst.relative < 1e-10, report.explain()
    assert "permutations" in {entry.part for entry in report.entries}


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
def test_minimal_frames_keep_motions_and_not_the_order_of_particles(group, batch, rng):
    """One element from the first particles: the law of space is exact, that of the names is not claimed, and broken."""
    model = build(frame=FrameSettings(kind="minimal", group=group))
    report = equivariance_error(model, batch.inputs(), trials=6, rng=rng)
    assert report.worst.relative < 1e-10
    assert "permutations" not in {entry.part for entry in report.entries}
    renamed = equivariance_error(model, batch.inputs(), symmetry=build(frame=NONE).symmetry, trials=4, rng=rng)
    assert renamed.worst.relative > 1e-3


@pytest.mark.parametrize("reframe", [True, False])
def test_minimal_frames_in_canonical_order_keep_the_names_too(reframe, batch, rng):
    model = build(frame=FrameSettings(kind="minimal", points="canonical"), reframe=reframe)
    report = equivariance_error(model, batch.inputs(), trials=6, rng=rng)
    assert report.worst.relative < 1e-10, report.explain()
    assert {entry.part for entry in report.entries} >= {"permutations", "translations"}


@pytest.mark.parametrize("group", ["E(2)", "SE(2)"])
@pytest.mark.parametrize("degenerate", ["ignore", "warn"])
def test_planar_frames_keep_motions_of_the_plane(group, degenerate, batch, rng):
    model = build(frame=FrameSettings(kind="planar", group=group, degenerate=degenerate))
    assert f"{group} in 3D" in str(model.symmetry.group)
    assert equivariance_error(model, batch.inputs(), trials=6, rng=rng).worst.relative < 1e-10
    tilted = equivariance_error(model, batch.inputs(), symmetry=build().symmetry, trials=4, rng=rng)
    assert tilted.worst.relative > 1e-3


def test_learned_frames_learn_and_are_saved_with_the_network(batch, rng, tmp_path):
    model = build(frame=FrameSettings(kind="learned"), reframe=False, canonicalization=CanonicalizationSettings("pvc"))
    model(**batch.inputs()).square().sum().backward()
    slopes = [weight.grad for name, weight in model.named_parameters() if name.startswith("frame.")]
    assert slopes
    assert any(float(slope.abs().max()) > 0 for slope in slopes)
    model.eval().save_pretrained(tmp_path / "saved")
    again = GNN.from_pretrained(tmp_path / "saved")
    assert torch.equal(again(**batch.inputs()), model(**batch.inputs()))


def test_fixed_signs_keep_shifts_only(batch, rng):
    model = build(frame=FrameSettings(signs="fixed"))
    report = equivariance_error(model, batch.inputs(), trials=4, rng=rng)
    assert report.worst.relative < 1e-10
    assert {entry.part for entry in report.entries} >= {"translations", "permutations"}
    turned = equivariance_error(model, batch.inputs(), symmetry=build().symmetry, trials=8, rng=rng)
    assert turned.worst.relative > 1e-3
    assert str(build(frame=FrameSettings(group="O(3)", signs="fixed")).symmetry.group) == "S_n"


def test_dropout_breaks_the_law_in_training_only(batch, rng):
    """Numbers left out at random differ between two calls; in evaluation nothing is left out."""
    model = build(dropout=0.5, normalise=True)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=DOUBLE))
    turned = batch.inputs() | {name: batch.inputs()[name] @ turn.T for name in ("positions", "velocities")}

    def error():
        return (model(**turned) - model(**batch.inputs()) @ turn.T).abs().max()

    assert error() > 1e-3
    model.eval()
    assert error() < 1e-12


def test_far_from_the_origin_as_well(batch, rng):
    """Shifts of up to a hundred, as the specification asks."""
    model = build()
    inputs = batch.inputs()
    shift = torch.tensor([100.0, -60, 30], dtype=DOUBLE)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=DOUBLE))
    moved = inputs | {"positions": inputs["positions"] @ turn.T + shift, "velocities": inputs["velocities"] @ turn.T}
    wanted = model(**inputs) @ turn.T + shift
    assert (model(**moved) - wanted).abs().max() < 1e-10 * wanted.abs().max()


def test_mirror_images_are_told_apart_by_rotations_alone(batch):
    flip = torch.diag(torch.tensor([1.0, 1, -1], dtype=DOUBLE))
    inputs = batch.inputs()
    mirrored = inputs | {name: inputs[name] @ flip for name in ("positions", "velocities")}
    for group, apart in (("E(3)", False), ("SE(3)", True)):
        model = build(frame=FrameSettings(group=group))
        difference = (model(**mirrored) - model(**inputs) @ flip).abs().max()
        assert bool(difference > 1e-6) is apart


def test_the_baseline_claims_permutations_only_and_rotations_break_it(batch, rng):
    model = build(frame=NONE)
    assert str(model.symmetry.group) == "S_n"
    claimed = build().symmetry
    report = equivariance_error(model, batch.inputs(), symmetry=claimed, trials=4, rng=rng)
    broken = {entry.part for entry in report.entries if entry.relative > 1e-3}
    assert {"rotations", "reflections", "translations"} <= broken


def test_drawn_elements_have_the_average_as_their_expectation(batch):
    """Without frames between layers, where an average over elements is linear in what each gives."""
    whole = build(reframe=False)
    drawing = build(reframe=False, frame=FrameSettings(mode="stochastic", samples=512))
    drawing.draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        wanted = whole(**batch.inputs())
        drawn = torch.stack([drawing(**batch.inputs()) for _ in range(8)])
        one = build(reframe=False, frame=FrameSettings(mode="stochastic"))
        one.draws = torch.Generator().manual_seed(1)
        single = torch.stack([one(**batch.inputs()) for _ in range(64)])
    error = single.std(0) / (8 * 512) ** 0.5
    assert ((drawn.mean(0) - wanted).abs() < 5 * error + 1e-12).all()
    assert single.std(0).max() > 1e-3
    one.mode = "all"
    torch.testing.assert_close(one(**batch.inputs()), wanted)


def test_draws_repeat_with_their_generator(batch):
    model = build(frame=FrameSettings(mode="stochastic"))

    def called(seed):
        model.draws = torch.Generator().manual_seed(seed)
        return model(**batch.inputs())

    assert torch.equal(called(3), called(3))
    assert not torch.equal(called(3), called(4))


@pytest.mark.parametrize("network", ["gnn", "egnn", "radial_field", "linear"])
def test_ragged_batches_equal_a_loop(network, rng):
    model = build(network)
    alone, whole = ragged(rng)
    wanted = torch.cat([model(**one) for one in alone])
    torch.testing.assert_close(model(**whole), wanted, rtol=1e-12, atol=1e-12)


def test_gradients_take_frames_for_constants_unless_asked(batch):
    """The derivative by a shift of one particle, against a difference quotient of what is differentiated."""
    inputs = batch.inputs()
    for differentiate in (False, True):
        model = build(frame=FrameSettings(differentiate=differentiate))
        positions = inputs["positions"].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model(**inputs | {"positions": positions}).square().sum(), positions)
        step = torch.zeros_like(positions)
        step[0, 0] = 1e-6
        ends = [
            model(**inputs | {"positions": inputs["positions"] + sign * step}).square().sum().item() for sign in (1, -1)
        ]
        quotient = (ends[0] - ends[1]) / 2e-6
        exact = abs(slope[0, 0].item() - quotient) < 1e-5 * max(abs(quotient), 1)
        assert exact is differentiate


# --- bad input -------------------------------------------------------------------------------------------


def particles(positions, **others):
    positions = torch.as_tensor(positions, dtype=DOUBLE)
    count = len(positions)
    velocities = torch.tensor([[0.3, 0.4, 0.0], [0.1, -0.2, 0.5], [0.0, 0.5, -0.1], [0.2, 0.2, 0.2]], dtype=DOUBLE)
    return {
        "positions": positions,
        "velocities": velocities[:count],
        "charges": torch.ones(count, dtype=DOUBLE),
        "edge_index": complete_graph(1, count),
        "graph_index": torch.zeros(count, dtype=torch.int64),
    } | others


LINE = [[0.0, 0, 0], [1.0, 1, 1], [3.0, 3, 3]]


@pytest.mark.parametrize("positions", [[[0.5, 1, 2]], [[0.0, 0, 0], [1.0, 2, 0]], LINE], ids=["one", "two", "a line"])
def test_particles_on_a_line_do_not_fix_directions_and_this_is_said(positions):
    """One, two, and any number of particles on a line: velocities across it have no canonical form."""
    inputs = particles(positions)
    with pytest.warns(DataWarning, match="velocity_weight"):
        build(frame=FrameSettings(degenerate="warn"))(**inputs)
    with pytest.raises(NumericsError) as caught:
        build(frame=FrameSettings(degenerate="error"))(**inputs)
    assert "velocity_weight" in caught.value.fix
    assert build()(**inputs).isfinite().all(), "who ignores it gets numbers"


@pytest.mark.parametrize("positions", [[[0.0, 0, 0], [1.0, 2, 0]], LINE], ids=["two", "a line"])
def test_velocities_fix_the_directions_of_particles_on_a_line(positions, rng):
    inputs = particles(positions)
    model = build(frame=FrameSettings(degenerate="error"), velocity_weight=1.0)
    assert equivariance_error(model, inputs, trials=4, rng=rng).worst.relative < 1e-10
    blind = build(frame=FrameSettings(degenerate="ignore"))
    assert equivariance_error(blind, inputs, trials=4, rng=rng).worst.relative > 1e-3


@pytest.mark.parametrize("network", ["egnn", "radial_field", "linear"])
@pytest.mark.parametrize("positions", [[[0.5, 1, 2]], LINE], ids=["one", "a line"])
def test_networks_without_frames_take_particles_on_a_line(network, positions, rng):
    assert equivariance_error(build(network), particles(positions), rng=rng).worst.relative < 1e-12


@pytest.mark.parametrize("network", ["gnn", "egnn", "radial_field", "linear"])
def test_coincident_particles_are_predicted_with_finite_slopes(network, rng):
    place = torch.randn(4, 3, generator=rng, dtype=DOUBLE)
    place[1] = place[0]
    place.requires_grad_()
    out = build(network)(**particles(place))
    assert out.isfinite().all()
    slopes = torch.autograd.grad(out.sum(), place)
    assert slopes[0].isfinite().all()


def test_particles_that_are_all_at_one_place_are_reported():
    inputs = particles(torch.ones(4, 3))
    with pytest.warns(DataWarning):
        assert build(frame=FrameSettings(degenerate="warn"))(**inputs).isfinite().all()


def test_numbers_that_are_not_finite_name_the_system(rng):
    alone, _ = ragged(rng)
    alone[1]["positions"][0, 0] = torch.nan
    with pytest.raises(NumericsError):
        build()(**joined(alone))


def test_an_empty_batch_is_predicted():
    for network in CLASSES:
        nothing = particles(torch.zeros(0, 3))
        assert build(network)(**nothing).shape == (0, 3)


def test_arguments_that_do_not_fit_are_refused(batch):
    for network in CLASSES:
        with pytest.raises(ShapeError) as caught:
            build(network)(**batch.inputs() | {"charges": batch.charges[:-1]})
        assert caught.value.got["charges"] == (14,)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"hidden": 61}, "hidden"),
        ({"hidden": 0, "frame": NONE}, "hidden"),
        ({"layers": 0}, "layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"velocity_weight": -1.0}, "velocity_weight"),
        ({"frame": FrameSettings(kind="weighted")}, "reframe"),
        ({"frame": FrameSettings(kind="learned")}, "reframe"),
        ({"frame": FrameSettings(kind="learned"), "reframe": False, "canonicalization": PRODUCTS}, "canonicalization"),
    ],
)
def test_settings_that_do_not_fit_are_refused(options, field):
    with pytest.raises(ConfigError) as caught:
        ParticleModelSettings(**options)
    assert list(caught.value.got) == [field]


def test_widths_of_any_size_where_nothing_is_a_vector():
    ParticleModelSettings(hidden=61, reframe=False)
    ParticleModelSettings(hidden=61, frame=NONE)
    ParticleModelSettings(hidden=61, network="egnn")


def test_input_that_is_well_placed_warns_of_nothing(batch):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(frame=FrameSettings(degenerate="warn"))(**batch.inputs())


# --- the contract ----------------------------------------------------------------------------------------


class _Contract(ModuleContract):
    network = "gnn"
    options: dict = {}  # noqa: RUF012

    def build(self):
        return build(self.network, layers=2, **self.options).float()

    def inputs(self, rng, dtype):
        return ragged(rng, (4, 5), dtype)[1]

    def singles(self, rng, dtype):
        return ragged(rng, dtype=dtype)[0]

    def join(self, singles):
        return joined(singles)

    def empty_inputs(self, dtype):
        return {name: value.to(dtype) if value.is_floating_point() else value for name, value in _nothing().items()}


def _nothing():
    return particles(torch.zeros(0, 3))


class TestFrameAveragedGNN(_Contract):
    differentiable = 1  # frames are constants, of which second derivatives know nothing


class TestPlainGNN(_Contract):
    options = {"frame": NONE}  # noqa: RUF012


class TestEGNN(_Contract):
    network = "egnn"


class TestRadialField(_Contract):
    network = "radial_field"


class TestStraightLine(_Contract):
    network = "linear"


def test_samples_of_one_particle_can_be_read_and_predicted_by_what_needs_no_frames():
    one = np.zeros((2, 1, 3))
    (batch,) = SampleSet(Samples(one, one + 1, np.ones((2, 1)))).batches(2)
    assert build("egnn")(**batch.inputs()).shape == (2, 3)


def test_tuples_reach_the_frames_of_degenerate_clouds():
    from intertwine.systems.frame_averaging.settings.framing import FrameSettings, make_frame

    assert make_frame(FrameSettings(degenerate="weighted", tuples=5)).tuples == 5
    assert make_frame(FrameSettings(kind="weighted", tuples=5)).tuples == 5
    assert make_frame(FrameSettings(degenerate="weighted")).tuples == 32
