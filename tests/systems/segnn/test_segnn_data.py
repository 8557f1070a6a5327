"""Graphs, batches, and the data of a recipe: simulated, from files, and held out."""

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.particles import ParticleDataSettings, SimulationSettings
from intertwine.systems.segnn.data import make_data
from intertwine.systems.segnn.settings import SegnnRecipe
from intertwine.training.settings import TrainingSettings


def recipe(batch_size=4, seed=0, **data):
    settings = {"simulation": SimulationSettings(seed=7, stream=(12, 6, 6))} | data
    return SegnnRecipe(ParticleDataSettings(**settings), training=TrainingSettings(batch_size=batch_size), seed=seed)


def ready(made, stage=None):
    data = make_data(made)
    data.setup(stage)
    return data


def test_simulated_splits_and_their_limits():
    data = ready(recipe(train_samples=7, validation_samples=3, test_samples=2))
    assert [len(part) for part in (data.train_samples, data.validation_samples, data.test_samples["test"])] == [7, 3, 2]
    whole = ready(recipe())
    np.testing.assert_array_equal(whole.train_samples.positions[:7], data.train_samples.positions)
    assert len(whole.test_samples["test"]) == 6
    assert whole.fitted_time == pytest.approx(data.fitted_time, rel=0.5)
    assert not np.array_equal(whole.train_samples.positions[:6], whole.validation_samples.positions)


def test_order_of_training_batches_follows_seed_and_epoch(samples):
    def order(seed, epoch):
        loader = ready(recipe(seed=seed), "fit").train_dataloader()
        loader.sampler.set_epoch(epoch)
        return torch.cat([batch.positions for batch in loader])

    assert torch.equal(order(0, 1), order(0, 1))
    assert not torch.equal(order(0, 1), order(0, 2))
    assert not torch.equal(order(0, 1), order(1, 1))
    batches = list(ready(recipe(batch_size=5), "fit").val_dataloader())
    assert [batch.num_graphs for batch in batches] == [5, 1]


def test_a_training_file_holds_out_its_end_or_takes_a_validation_file(tmp_path, samples, write_table):
    arrays = {"loc0": samples.positions, "vel0": samples.velocities, "loc1": samples.targets}
    np.savez(tmp_path / "all.npz", charges=samples.charges, **arrays)
    data = ready(recipe(train=str(tmp_path / "all.npz"), validation_fraction=0.25))
    np.testing.assert_array_equal(data.train_samples.positions, samples.positions[:9])
    np.testing.assert_array_equal(data.validation_samples.targets, samples.targets[9:])
    assert data.test_samples == {}, "nothing is simulated where data are given"
    both = {"train": str(tmp_path / "all.npz"), "validation": str(tmp_path / "all.npz")}
    data = ready(recipe(**both, test={"again": str(tmp_path / "all.npz")}, test_samples=5, train_samples=4))
    assert [len(part) for part in (data.train_samples, data.validation_samples)] == [4, 12]
    assert len(data.test_samples["again"]) == 5
    with pytest.raises(DataError, match="fewer samples"):
        ready(recipe(**both, train_samples=13))


def test_published_files_can_be_trained_on(tmp_path, write_published):
    rng = np.random.default_rng(0)
    path = write_published(tmp_path, *rng.normal(size=(2, 10, 5, 4, 3)), np.sign(rng.normal(size=(10, 4))))
    data = ready(recipe(train=str(path), start_frame=1, end_frame=3), "fit")
    assert (len(data.train_samples), len(data.validation_samples), data.train_samples.particles) == (8, 2, 4)


def test_a_file_with_one_sample_cannot_be_split(tmp_path, samples):
    one = samples.part(stop=1)
    np.savez(tmp_path / "one.npz", charges=one.charges, loc0=one.positions, vel0=one.velocities, loc1=one.targets)
    with pytest.raises(DataError, match="at least two"):
        ready(recipe(train=str(tmp_path / "one.npz")), "fit")
