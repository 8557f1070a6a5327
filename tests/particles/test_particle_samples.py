"""Samples, batches, graphs, settings, and the errors of predictions that know nothing of forces."""

from pathlib import Path

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError
from intertwine.particles import (
    ParticleDataSettings,
    Samples,
    SampleSet,
    complete_graph,
    position_errors,
    predict_samples,
    straight_lines,
)
from intertwine.particles import test_sets as splits_of_test


@pytest.mark.parametrize(("samples", "particles"), [(1, 1), (3, 1), (1, 5), (4, 3), (0, 3)])
def test_complete_graph_has_every_pair_of_a_system_once(samples, particles):
    wanted = [
        (first * particles + source, first * particles + destination)
        for first in range(samples)
        for destination in range(particles)
        for source in range(particles)
        if source != destination
    ]
    assert complete_graph(samples, particles).T.tolist() == [list(pair) for pair in wanted]


def test_batches_are_the_samples_in_order(samples):
    data = SampleSet(samples)
    batch = data.__getitems__([5, 2])
    assert batch.num_graphs == 2
    np.testing.assert_array_equal(batch.positions[5:].numpy(), samples.positions[2])
    np.testing.assert_array_equal(batch.targets[:5].numpy(), samples.targets[5])
    assert batch.graph_index.tolist() == [0] * 5 + [1] * 5
    assert batch.charges.tolist() == samples.charges[[5, 2]].ravel().tolist()
    sizes = [part.num_graphs for part in data.batches(5)]
    assert sizes == [5, 5, 2]
    low = batch.to(torch.float32)
    assert low.positions.dtype == low.targets.dtype == torch.float32
    assert low.edge_index.dtype == torch.int64


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"train_samples": 20000}, "train_samples"),
        ({"test_samples": 0}, "test_samples"),
        ({"start_frame": 40}, "end_frame"),
        ({"end_frame": 49}, "end_frame"),
        ({"start_frame": -1}, "start_frame"),
        ({"frame_time": 0}, "frame_time"),
        ({"test_frames": {"late": (30, 49)}}, "test_frames"),
        ({"test_frames": {"test": (20, 30)}}, "test_frames"),
        ({"test_frames": {"early": (20, 30)}, "train": "mine.npz"}, "test_frames"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"train": ""}, "train"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, field):
    with pytest.raises(ConfigError) as caught:
        ParticleDataSettings(**settings)
    assert field in caught.value.got


def test_samples_say_what_does_not_fit(samples):
    with pytest.raises(DataError) as caught:
        Samples(samples.positions, samples.velocities[:, :4], samples.charges)
    assert caught.value.got["velocities"] == (12, 4, 3)
    with pytest.raises(DataError, match="not known"):
        Samples(samples.positions, samples.velocities, samples.charges).known_targets()


def wanted(error):
    return {
        "position_mse": np.mean(error**2),
        "position_mae": np.mean(np.abs(error)),
        "mean_distance": np.mean(np.sqrt((error**2).sum(-1))),
    }


def test_straight_lines_in_closed_form(samples):
    found = straight_lines(samples, {"two": 2.0})
    error = samples.positions + 2 * samples.velocities - samples.targets
    assert found["two"] == pytest.approx(wanted(error), rel=1e-12)
    assert found["no motion"] == pytest.approx(wanted(samples.positions - samples.targets), rel=1e-12)
    assert position_errors(samples.targets, samples) == dict.fromkeys(wanted(error), 0.0)


def test_further_test_sets_are_other_frames_of_the_same_simulations(stream):
    settings = ParticleDataSettings(simulation=stream, test_frames={"early": (20, 30)}, test_samples=3)
    sets = splits_of_test(settings, Path)
    assert list(sets) == ["test", "early"]
    np.testing.assert_array_equal(sets["early"].targets, sets["test"].positions)
    np.testing.assert_array_equal(sets["early"].charges, sets["test"].charges)


class Drift(torch.nn.Module):
    """Predicts that every particle of a sample flies on, in whatever batch it is."""

    def __init__(self, time):
        super().__init__()
        self.time = torch.nn.Parameter(torch.tensor(time, dtype=torch.float64))

    def forward(self, positions, velocities, charges, edge_index, graph_index):
        return positions + self.time * velocities


def test_predictions_come_back_in_the_order_of_the_samples(samples):
    for size in (1, 5, 500):
        np.testing.assert_allclose(
            predict_samples(Drift(2.0), samples, size), samples.positions + 2 * samples.velocities, rtol=1e-15
        )
