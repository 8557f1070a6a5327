"""The network: what it keeps exactly, what it keeps approximately, and what it does not claim."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from equiformer_samples import SMALL, make_surface

from intertwine.errors import CheckpointError, ConfigError, ShapeError
from intertwine.groups import SE, E, SymmetricGroup
from intertwine.products.gaunt.parity import SelfMix
from intertwine.symmetry import equivariance_error
from intertwine.symmetry.check import check_forces
from intertwine.systems.equiformer.data import checked_structure, collate_surfaces, make_graph
from intertwine.systems.equiformer.evaluate import GRID_TOLERANCE, check_model
from intertwine.systems.equiformer.model import Equiformer
from intertwine.testing import ModuleContract, check_compile

DOUBLE = torch.float64
EXACT = replace(SMALL, attention_activation="gate", feed_forward_activation="gate")
PLACES = ["none", "before_attention", "after_attention", "after_feed_forward"]


def build(settings=EXACT, dtype=DOUBLE, seed=3, **constants):
    return Equiformer(settings, rng=torch.Generator().manual_seed(seed), **constants).to(dtype).eval()


def graphs(structures, settings=SMALL):
    return [make_graph(s, settings.cutoff, settings.max_neighbours, settings.elements) for s in structures]


def run(model, *structures):
    with torch.no_grad():
        return model(**collate_surfaces(graphs(structures, model.settings)).inputs())


@pytest.fixture(scope="module")
def pair():
    return collate_surfaces(graphs([make_surface(0), make_surface(1, atoms=7)]))


# --- what is exact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_with_gates_the_symmetry_is_exact(place, pair, rng):
    """Rotations, translations and permutations of periodic structures, with m cut off at 1 below degree 2."""
    model = build(replace(EXACT, self_mix=place))
    report = equivariance_error(model, pair.inputs(), trials=4, rng=rng)
    assert {entry.part for entry in report.entries} == {"rotations", "translations", "permutations", "all"}
    assert {entry.output for entry in report.entries} == {"energy", "node_energy", "forces"}
    assert report.worst.relative < 1e-12, report.explain()


@pytest.mark.parametrize("settings", [{"mmax": 0}, {"mmax": 2}, {"lmax": 4, "mmax": 2}, {"norm": "joint"}])
def test_neither_truncation_nor_the_kind_of_norm_breaks_it(settings, pair, rng):
    model = build(replace(EXACT, **settings))
    assert equivariance_error(model, pair.inputs(), trials=3, rng=rng).worst.relative < 1e-12


def test_parity_is_not_claimed_and_not_kept(pair, rng):
    model = build()
    law = replace(model.symmetry, group=E(3) * SymmetricGroup(None))
    report = equivariance_error(model, pair.inputs(), symmetry=law, trials=3, rng=rng)
    assert report.part("rotations").relative < 1e-12
    assert report.part("reflections").relative > 1e-3
    assert str(SE(3)) in str(model.symmetry.group)


def test_a_leak_of_coordinates_is_caught(pair, rng):
    """A frame whose third axis is scaled by a thousandth is no rotation, and the check says so."""
    model = build()
    frames = model.frames.forward

    def crooked(vectors, gamma=None):
        found = frames(vectors, gamma)
        vector = found.matrices[1] * torch.tensor([1.0, 1.0, 1.001], dtype=DOUBLE)
        return found._replace(matrices=(found.matrices[0], vector, *found.matrices[2:]))

    model.frames.forward = crooked
    assert equivariance_error(model, pair.inputs(), trials=3, rng=rng).worst.relative > 1e-6


# --- what is approximate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attention", "feed_forward"), [("separable_s2", "gate"), ("gate", "separable_s2"), ("gate", "grid")]
)
def test_on_a_grid_rotations_are_kept_better_the_finer_it_is(attention, feed_forward, pair, rng):
    found = []
    for degree in (4, 12, 30):
        settings = replace(
            SMALL, attention_activation=attention, feed_forward_activation=feed_forward, grid_degree=degree
        )
        report = equivariance_error(build(settings), pair.inputs(), trials=4, rng=rng)
        assert report.part("translations").relative < 1e-12
        assert report.part("permutations").relative < 1e-12
        found.append(report.part("rotations").relative)
    assert found[0] > 1e-4
    assert found[1] < found[0] / 5
    assert found[2] < found[1] / 10


def test_the_check_reports_the_grid_and_the_forces_and_passes(pair, rng):
    report = check_model(build(replace(SMALL, grid_degree=17)), pair, trials=3, rng=rng)
    assert report.passed, report.text
    assert report.tolerance == GRID_TOLERANCE
    assert 1e-12 < report.equivariance.part("rotations").relative < GRID_TOLERANCE
    assert "grid of degree 17" in report.text
    assert "asymmetric by" in report.text
    assert report.conservativeness is None, "it is reported, not claimed"


def test_the_check_of_gates_allows_rounding_only(pair, rng):
    report = check_model(build(), pair, trials=3, rng=rng)
    assert report.passed
    assert report.tolerance is None
    assert "grid" not in report.text


def test_a_coarse_grid_excuses_no_other_fault(pair, rng):
    """An output that depends on where the atoms are fails, although the error is below the grid's tolerance."""
    model = build(replace(SMALL, grid_degree=17))
    ordinary = model.forward

    def drifting(positions, **others):
        found = ordinary(positions, **others)
        return found | {"forces": found["forces"] * (1 + 1e-3 * positions.mean().tanh())}

    model.forward = drifting
    report = check_model(model, pair, trials=3, rng=rng)
    assert report.tolerance is None
    assert not report.passed


def test_forces_are_not_a_gradient_and_the_numbers_say_so(pair, rng):
    measured, _ = check_forces(build(), pair.inputs(), rng=rng)
    assert measured.jacobian_asymmetry > 0.01
    assert measured.energy_mismatch > 0.1


# --- structures ------------------------------------------------------------------------------------------


def test_wrapping_atoms_into_other_cells_changes_nothing():
    model, structure = build(), make_surface(2)
    turns = np.random.default_rng(0).integers(-3, 4, (9, 3))
    wrapped = replace(structure, positions=structure.positions + turns @ structure.cell)
    before, after = run(model, structure), run(model, wrapped)
    torch.testing.assert_close(after["energy"], before["energy"], rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(after["forces"], before["forces"], rtol=1e-10, atol=1e-11)


def test_a_supercell_has_the_forces_of_its_parts():
    model, structure = build(), make_surface(3)
    double = checked_structure(
        "doubled",
        numbers=np.tile(structure.numbers, 2),
        positions=np.concatenate([structure.positions, structure.positions + structure.cell[0]]),
        cell=structure.cell * [[2], [1], [1]],
        pbc=structure.pbc,
    )
    one, two = run(model, structure), run(model, double)
    torch.testing.assert_close(two["forces"], one["forces"].repeat(2, 1), rtol=1e-10, atol=1e-11)
    torch.testing.assert_close(two["node_energy"], one["node_energy"].repeat(2), rtol=1e-10, atol=1e-11)


def test_atoms_out_of_reach_play_no_part():
    model = build(energy_mean=2.0)
    near = checked_structure(
        "near", numbers=[8, 1], positions=[[0, 0, 0], [0, 0, 1.0]], cell=np.zeros((3, 3)), pbc=(False,) * 3
    )
    far = replace(
        near,
        numbers=np.array([8, 1, 29]),
        positions=np.array([[0, 0, 0], [0, 0, 1.0], [50.0, 0, 0]]),
        free=np.ones(3, bool),
    )
    one, two = run(model, near), run(model, far)
    torch.testing.assert_close(two["forces"][:2], one["forces"], rtol=1e-12, atol=1e-13)
    assert not two["forces"][2].any(), "an atom without neighbours feels no force"
    torch.testing.assert_close(two["node_energy"][:2], one["node_energy"], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(two["energy"] - two["node_energy"].sum(), torch.tensor([2.0], dtype=DOUBLE))


def test_units_mean_and_references_enter_as_they_should():
    references = {29: -3.0, 8: -5.0}
    plain, structure = build(), make_surface(4)
    scaled = build(references=references, energy_mean=0.5, energy_std=3.0, force_std=2.0)
    one, two = run(plain, structure), run(scaled, structure)
    torch.testing.assert_close(two["forces"], 2.0 * one["forces"])
    expected = 3.0 * one["energy"] + 0.5 + 8 * -3.0 - 5.0
    torch.testing.assert_close(two["energy"], expected)
    assert run(build(mean_atoms=32.0), structure)["energy"] == pytest.approx(2 * one["energy"].item())
    assert scaled.reference_energy(torch.tensor([28, 7, 0])).tolist() == [-3.0, -5.0, 0.0]


def test_training_drops_paths_and_evaluation_does_not(pair):
    model = build(replace(EXACT, drop_path=0.5, alpha_dropout=0.2))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model.train()
        first, second = model(**pair.inputs()), model(**pair.inputs())
        assert not torch.equal(first["energy"], second["energy"])
        model.eval()
        state = torch.get_rng_state()
        assert torch.equal(model(**pair.inputs())["energy"], model(**pair.inputs())["energy"])
        assert torch.equal(torch.get_rng_state(), state)


def test_seeds_decide_the_weights_and_nothing_global_is_drawn_from():
    state = torch.get_rng_state()
    first, again, other = build(), build(), build(seed=4)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.embedding, other.embedding)


# --- the self-interaction --------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_the_self_interaction_is_where_the_settings_say(place, pair):
    """Each block calls its parts in the order of their residuals."""
    model = build(replace(EXACT, self_mix=place))
    order = []
    block = model.blocks[0]
    names = {"attention": "attention", "feed_forward": "feed_forward", "mix": "self_mix"}
    for name, word in names.items():
        if hasattr(block, name):
            getattr(block, name).register_forward_hook(lambda *_, word=word: order.append(word))
    model(**pair.inputs())
    wanted = {
        "none": ["attention", "feed_forward"],
        "before_attention": ["self_mix", "attention", "feed_forward"],
        "after_attention": ["attention", "self_mix", "feed_forward"],
        "after_feed_forward": ["attention", "feed_forward", "self_mix"],
    }
    assert order == wanted[place]
    assert sum(isinstance(module, SelfMix) for module in model.modules()) == (0 if place == "none" else 2)


def test_the_backends_of_the_self_interaction_give_equal_numbers(pair):
    outputs = []
    for backend in ("dense", "grid", "separable", "fourier", "fourier_fft"):
        model = build(replace(EXACT, self_mix="after_attention", self_mix_backend=backend))
        with torch.no_grad():
            outputs.append(model(**pair.inputs())["forces"])
    for other in outputs[1:]:
        torch.testing.assert_close(other, outputs[0], rtol=1e-10, atol=1e-12)


# --- contract --------------------------------------------------------------------------------------------


class _Contract(ModuleContract):
    equivariant = False  # held above: forces are direct, so they are not the gradient that the contract asks for
    compiles = False  # once below, with all parts: it takes seconds
    keeps_precision = False  # energies are float64 by contract; the two precisions are compared below
    settings = EXACT

    def build(self):
        return build(self.settings, torch.float32, references={29: -3.0}, energy_mean=0.25)

    def inputs(self, rng, dtype):
        return self.join(self.singles(rng, dtype)[:2])

    def singles(self, rng, dtype):
        structures = [make_surface(0), make_surface(1, atoms=7), make_surface(2)]
        return [collate_surfaces([g]).to(dtype).inputs() for g in graphs(structures)]

    def join(self, singles):
        dtype = singles[0]["positions"].dtype
        structures = [make_surface(0), make_surface(1, atoms=7), make_surface(2)][: len(singles)]
        return collate_surfaces(graphs(structures)).to(dtype).inputs()

    def empty_inputs(self, dtype):
        inputs = self.inputs(torch.Generator(), dtype)
        cut = {"edge_index": (slice(None), slice(0))}
        return {name: value[cut.get(name, slice(0))] for name, value in inputs.items()}


class TestWithGates(_Contract):
    pass


class TestOnTheGridWithSelfMix(_Contract):
    settings = replace(SMALL, self_mix="after_attention")


@pytest.mark.parametrize("settings", [EXACT, replace(SMALL, self_mix="after_attention", norm="joint")])
def test_float32_gives_what_float64_gives(settings, pair):
    exact, low = build(settings), build(settings, torch.float32)
    low.load_state_dict(exact.state_dict())
    with torch.no_grad():
        wide, narrow = exact(**pair.inputs()), low(**pair.to(torch.float32).inputs())
    assert narrow["energy"].dtype == DOUBLE
    assert narrow["forces"].dtype == torch.float32
    for name in ("energy", "forces"):
        size = wide[name].abs().max()
        assert (narrow[name] - wide[name]).abs().max() < 1e-4 * size


def test_gradients_by_weights_and_positions_are_right(pair):
    model = build(replace(EXACT, layers=1))
    inputs = pair.inputs()
    weight = model.blocks[0].attention.second.weight_1

    def loss(positions, values):
        with torch.no_grad():
            weight.copy_(values)
        found = model(**inputs | {"positions": positions})
        return found["energy"].sum() + found["forces"].square().sum()

    start = weight.detach().clone()
    positions = inputs["positions"].clone().requires_grad_()
    by_positions, by_weight = torch.autograd.grad(loss(positions, start), [positions, weight])
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        along = torch.randn(positions.shape, generator=rng, dtype=DOUBLE)
        turn = torch.randn(start.shape, generator=rng, dtype=DOUBLE)
        step = 1e-5
        with torch.no_grad():
            ends = [loss(positions + s * step * along, start + s * step * turn) for s in (1, -1)]
        slope = float(ends[0] - ends[1]) / (2 * step)
        expected = float((by_positions * along).sum() + (by_weight * turn).sum())
        assert slope == pytest.approx(expected, rel=1e-5)


def test_the_network_compiles_without_graph_breaks(pair):
    settings = replace(SMALL, layers=1, lmax=1, feed_forward_activation="gate", self_mix="after_attention")
    check_compile(build(settings), pair.inputs())


def test_the_network_with_self_mix_is_saved_whole(tmp_path, pair):
    model = build(replace(EXACT, self_mix="after_attention"), references={8: -1.5}, mean_neighbours=7.0)
    model.save_pretrained(tmp_path / "model")
    loaded = Equiformer.from_pretrained(tmp_path / "model")
    assert loaded.references == {8: -1.5}
    assert loaded.settings == model.settings
    with torch.no_grad():
        one, two = model(**pair.inputs()), loaded(**pair.inputs())
    assert all(torch.equal(one[name], two[name]) for name in one)
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(CheckpointError):
        Equiformer.from_pretrained(tmp_path / "model")


def test_misfits_are_refused():
    structure = make_surface(0)
    inputs = collate_surfaces(graphs([structure])).inputs()
    with pytest.raises(ShapeError) as caught:
        build()(**inputs | {"species": inputs["species"][:-1]})
    assert caught.value.got["species"] == (8,)
    with pytest.raises(ConfigError) as caught:
        build(references={92: -1.0})
    assert caught.value.got == [92]
