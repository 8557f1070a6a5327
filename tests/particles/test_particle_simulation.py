"""The simulator: published numbers, an oracle that loops over particles, and physics."""

import numpy as np
import pytest

from intertwine.errors import ConfigError
from intertwine.particles import InitialStates, SimulationSettings, draw_states, simulate, simulated_samples

PUBLISHED = SimulationSettings()


def by_loops(charges, positions, velocities, steps):
    """Positions and velocities after some steps, with one force at a time."""
    x, v = positions.copy(), velocities.copy()

    def kick():
        force = np.zeros_like(x)
        for i in range(len(x)):
            for j in range(len(x)):
                if i != j:
                    line = x[i] - x[j]
                    force[i] += charges[i] * charges[j] * line / np.linalg.norm(line) ** 3
        v[:] += 0.001 * np.clip(force, -100, 100)

    kick()
    for step in range(1, steps + 1):
        x += 0.001 * v
        if step < steps:
            kick()
    return x, v


def test_first_simulations_are_those_of_the_published_files():
    """Charges and places of the first training simulation, and the first test simulation, 12000 simulations later."""
    first = draw_states(PUBLISHED, 0, 1)
    assert first.charges.tolist() == [[-1, 1, -1, -1, -1]]
    np.testing.assert_allclose(first.positions[0, 0], [0.40609421, 1.49140104, -0.51885051], atol=5e-9)
    np.testing.assert_allclose(np.linalg.norm(first.velocities, axis=-1), 0.5, rtol=1e-14)
    test = simulated_samples(PUBLISHED, "test", 1)
    assert test.charges.tolist() == [[1, 1, -1, -1, 1]]
    np.testing.assert_allclose(test.positions[0, 0], [1.729898, 0.763515, 0.327371], atol=5e-7)
    np.testing.assert_allclose(test.targets[0, 0], [2.202855, 0.962163, -0.679564], atol=5e-7)


@pytest.mark.data("nbody_charged5/trajectories_f64.npz")
def test_whole_trajectories_are_reproduced(published_file):
    with np.load(published_file("trajectories_f64.npz")) as stored:
        wanted = {name: stored[name] for name in stored.files}
    start = (wanted["x_init"].swapaxes(1, 2), wanted["v_init"].swapaxes(1, 2))
    charges = wanted["charges"].astype(float)
    positions, velocities = simulate(InitialStates(charges, *start), tuple(range(49)))
    np.testing.assert_allclose(positions.swapaxes(2, 3), wanted["loc"], rtol=0, atol=1e-8)
    np.testing.assert_allclose(velocities.swapaxes(2, 3), wanted["vel"], rtol=0, atol=1e-8)
    drawn = draw_states(PUBLISHED, 12000, 12)
    np.testing.assert_array_equal(drawn.charges, charges)
    np.testing.assert_allclose(drawn.positions, start[0], rtol=0, atol=1e-15)


@pytest.mark.data("nbody_charged5/test.npz")
def test_all_test_simulations_but_the_chaotic_ones_are_reproduced(published_file):
    """Where particles have orbited each other closely, rounding decides: 2.7 % of them were measured to differ."""
    ours = simulated_samples(PUBLISHED, "test")
    with np.load(published_file("test.npz")) as stored:
        np.testing.assert_array_equal(ours.charges, stored["charges"])
        error = np.abs(ours.targets - stored["loc1"]).max((1, 2))
    assert np.mean(error < 1e-5) > 0.96
    assert np.median(error) < 1e-6


def test_all_together_is_one_after_another_by_loops(stream):
    initial = draw_states(stream, 0, 3)
    positions, velocities = simulate(initial, (0, 2), save_every=50)
    for number in range(3):
        for place, steps in ((0, 50), (1, 150)):
            x, v = by_loops(initial.charges[number], initial.positions[number], initial.velocities[number], steps)
            np.testing.assert_allclose(positions[number, place], x, rtol=1e-11)
            np.testing.assert_allclose(velocities[number, place], v, rtol=1e-11)


def test_a_part_of_the_stream_is_what_the_whole_has_there(stream):
    whole, part = draw_states(stream, 0, 12), draw_states(stream, 5, 4)
    for name in ("charges", "positions", "velocities"):
        np.testing.assert_array_equal(getattr(whole, name)[5:9], getattr(part, name))
    other = draw_states(SimulationSettings(seed=8, stream=(12, 6, 6)), 0, 12)
    assert not np.array_equal(whole.positions, other.positions)


def test_independent_simulations_are_the_same_in_every_part_and_have_the_published_distribution():
    settings = SimulationSettings(seed=3, random_numbers="independent", stream=(4000, 0, 0))
    whole, part = draw_states(settings, 0, 4000), draw_states(settings, 1000, 1500)
    for name in ("charges", "positions", "velocities"):
        np.testing.assert_array_equal(getattr(whole, name)[1000:2500], getattr(part, name))
    assert len(draw_states(settings, 7, 0).charges) == 0
    assert not np.array_equal(whole.positions[:1024], whole.positions[1024:2048])
    published = draw_states(PUBLISHED, 0, 4000)
    for states in (whole, published):
        assert set(np.unique(states.charges)) == {-1, 1}
        assert abs(states.charges.mean()) < 0.03
        assert states.positions.std() == pytest.approx(1, abs=0.02)
        np.testing.assert_allclose(np.linalg.norm(states.velocities, axis=-1), 0.5, rtol=1e-14)
        assert np.abs(states.velocities.mean((0, 1))).max() < 0.01
    other = draw_states(SimulationSettings(seed=4, random_numbers="independent"), 0, 5)
    assert not np.array_equal(other.positions, whole.positions[:5])


def test_the_large_variant_saves_every_five_hundredth_step():
    """The published `nbody` set: nine frames, of which 6 and 8 are again 1000 steps apart."""
    settings = SimulationSettings(seed=7, stream=(3, 0, 0), save_every=500)
    assert settings.frames == 9
    samples = simulated_samples(settings, "train", None, 6, 8)
    positions, velocities = simulate(draw_states(settings, 0, 3), (34, 44))
    np.testing.assert_array_equal(samples.positions, positions[:, 0])
    np.testing.assert_array_equal(samples.velocities, velocities[:, 0])
    np.testing.assert_array_equal(samples.targets, positions[:, 1])
    small = SimulationSettings(seed=7, stream=(3, 0, 0))
    assert np.array_equal(draw_states(settings, 0, 1).positions, draw_states(small, 0, 1).positions)
    assert not np.array_equal(draw_states(settings, 1, 1).positions, draw_states(small, 1, 1).positions)


def test_splits_follow_each_other_in_the_stream(stream):
    train, held, test = (simulated_samples(stream, split) for split in ("train", "validation", "test"))
    assert [len(part) for part in (train, held, test)] == [12, 6, 6]
    positions, _ = simulate(draw_states(stream, 12, 12), (30,))
    np.testing.assert_array_equal(positions[:6, 0], held.positions)
    np.testing.assert_array_equal(positions[6:, 0], test.positions)


def test_more_simulations_than_advance_together_are_the_same(stream):
    initial = draw_states(stream, 0, 600)
    together, _ = simulate(initial, (1,), save_every=10)
    alone, _ = simulate(
        InitialStates(initial.charges[590:], initial.positions[590:], initial.velocities[590:]), (1,), save_every=10
    )
    np.testing.assert_allclose(together[590:], alone, rtol=1e-13)


def test_momentum_is_kept_and_energy_nearly(stream):
    """No force is cut in these simulations: they begin and stay far from collisions."""
    initial = draw_states(stream, 0, 12)
    positions, velocities = simulate(initial, tuple(range(40)))
    closest = np.linalg.norm(positions[:, :, :, None] - positions[:, :, None], axis=-1)
    closest[..., np.arange(5), np.arange(5)] = np.inf
    gentle = closest.min((1, 2, 3)) > 0.3
    assert gentle.sum() >= 3
    momentum = velocities[gentle].sum(2)
    np.testing.assert_allclose(momentum, np.broadcast_to(momentum[:, :1], momentum.shape), atol=1e-12)
    energy = _energy(positions[gentle], velocities[gentle], initial.charges[gentle])
    assert np.abs(energy - energy[:, :1]).max() < 0.02
    wrong = _energy(positions[gentle], velocities[gentle], np.abs(initial.charges[gentle]))
    assert np.abs(wrong - wrong[:, :1]).max() > 0.2, "another law of force does not keep this energy"


def _energy(positions, velocities, charges):
    first, second = np.triu_indices(5, 1)
    distance = np.linalg.norm(positions[:, :, first] - positions[:, :, second], axis=-1)
    pairs = (charges[:, first] * charges[:, second])[:, None] / distance
    return np.square(velocities).sum((2, 3)) / 2 + pairs.sum(-1)


def test_two_charges_at_rest_attract_or_repel():
    positions = np.array([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]] * 2)
    initial = InitialStates(np.array([[1.0, 1.0], [1.0, -1.0]]), positions, np.zeros((2, 2, 3)))
    moved, speeds = simulate(initial, (0,), save_every=1)
    np.testing.assert_allclose(speeds[0, 0, 0], [-0.001 / 4, 0, 0], rtol=1e-14)
    np.testing.assert_allclose(speeds[1, 0, 0], [0.001 / 4, 0, 0], rtol=1e-14)
    np.testing.assert_allclose(moved[0, 0, 0], [-1e-6 / 4, 0, 0], rtol=1e-14)
    np.testing.assert_allclose(speeds[:, 0, 0], -speeds[:, 0, 1], rtol=1e-14)


def test_a_close_pair_is_pushed_by_no_more_than_the_largest_force():
    positions = np.array([[[0.0, 0.0, 0.0], [0.01, 0.0, 0.0]]])
    _, speeds = simulate(InitialStates(np.ones((1, 2)), positions, np.zeros((1, 2, 3))), (0,), save_every=1)
    np.testing.assert_allclose(speeds[0, 0], [[-0.1, 0, 0], [0.1, 0, 0]], rtol=1e-12)


def test_a_single_particle_flies_straight():
    settings = SimulationSettings(particles=1, stream=(4, 1, 1))
    samples = simulated_samples(settings, "train")
    np.testing.assert_allclose(samples.targets, samples.positions + samples.velocities, atol=1e-12)


def test_what_starts_outside_of_the_box_is_reflected():
    settings = SimulationSettings(particles=20000, stream=(1, 1, 1))  # the spread grows with the number of particles
    assert np.abs(draw_states(settings, 0, 1).positions).max() > 5, "one reflection need not bring it back"
    settings = SimulationSettings(particles=100, stream=(1, 1, 1))
    state = draw_states(settings, 0, 1)
    assert np.abs(state.positions).max() <= 5
    far = np.abs(state.positions) > 4.9
    assert far.any()


@pytest.mark.parametrize("frames", [(), (3, 3), (4, 2), (-1, 2)])
def test_frames_that_do_not_rise_are_refused(frames, stream):
    with pytest.raises(ConfigError):
        simulate(draw_states(stream, 0, 1), frames)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError) as caught:
        SimulationSettings(particles=0, stream=(1, -1, 1), save_every=0)
    assert set(caught.value.got) == {"particles", "stream", "save_every"}
