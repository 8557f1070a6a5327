"""Orders and seeds: functions of the seed and the epoch, split evenly over processes."""

import random

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError
from intertwine.training import sampling
from intertwine.training.sampling import EpochSampler, derived_seed, generator, isolated_randomness, make_loader, split


def in_process(monkeypatch, rank, world):
    monkeypatch.setattr(sampling, "_world", lambda: (rank, world))


def test_the_order_is_a_permutation_that_seed_and_epoch_decide():
    one, same, other = EpochSampler(20, 1), EpochSampler(20, 1), EpochSampler(20, 2)
    assert sorted(one) == list(range(20))
    assert list(one) == list(one) == list(same) != list(other)
    first = list(one)
    one.set_epoch(1)
    assert list(one) != first
    same.set_epoch(1)
    assert list(same) == list(one)
    assert list(EpochSampler(5)) == [0, 1, 2, 3, 4]


def test_batches_of_all_processes_are_the_joint_batches(monkeypatch):
    joint = list(EpochSampler(12, 3))
    parts = []
    for rank in range(3):
        in_process(monkeypatch, rank, 3)
        parts.append(list(EpochSampler(12, 3)))
    for batch in range(2):
        together = [i for part in parts for i in part[2 * batch : 2 * batch + 2]]
        assert sorted(together) == sorted(joint[6 * batch : 6 * batch + 6])


@pytest.mark.parametrize(("size", "world"), [(10, 4), (1, 4), (3, 4), (8, 4)])
def test_shuffled_shares_are_equal_and_cover_everything(monkeypatch, size, world):
    parts = []
    for rank in range(world):
        in_process(monkeypatch, rank, world)
        sampler = EpochSampler(size, 0)
        parts.append(list(sampler))
        assert len(parts[-1]) == len(sampler) == -(-size // world)
    assert {i for part in parts for i in part} == set(range(size))


def test_validation_counts_every_item_once(monkeypatch):
    parts = []
    for rank in range(3):
        in_process(monkeypatch, rank, 3)
        sampler = EpochSampler(7)
        parts += list(sampler)
        assert len(list(sampler)) == len(sampler)
    assert sorted(parts) == list(range(7))


def test_no_items_are_refused():
    with pytest.raises(ConfigError):
        EpochSampler(0, 1)


def test_purposes_have_unrelated_seeds():
    seeds = {derived_seed(s, p, e) for s in range(5) for p in ("a", "b") for e in range(5)}
    assert len(seeds) == 50
    assert derived_seed(1, "a") == derived_seed(1, "a")
    assert torch.rand((), generator=generator(1, "a")) != torch.rand((), generator=generator(1, "b"))


def test_isolated_randomness_is_repeatable_and_leaves_the_states_alone():
    def draw():
        return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002

    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()  # noqa: NPY002
    with isolated_randomness(3, "x"):
        first = draw()
    with isolated_randomness(3, "x"):
        assert draw() == first
    with pytest.raises(ZeroDivisionError), isolated_randomness(4, "x"):
        torch.rand(1 // 0)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[2])


def test_loaders_follow_the_sampler():
    data = torch.utils.data.TensorDataset(torch.arange(10))
    loader = make_loader(data, 4, seed=2)
    loader.sampler.set_epoch(3)
    got = [i.item() for (batch,) in loader for i in batch]
    expected = EpochSampler(10, 2)
    expected.set_epoch(3)
    assert got == list(expected)
    with pytest.raises(ConfigError):
        make_loader(torch.utils.data.Dataset(), 2)


def test_split_of_the_published_experiment():
    train, validation = split(500, 0.1, 1)
    assert train[:5].tolist() == [275, 281, 170, 39, 249]
    assert len(train) == 450
    assert sorted([*train, *validation]) == list(range(500))
    assert [len(part) for part in split(2, 0.1, 0)] == [1, 1]
    with pytest.raises(DataError):
        split(1, 0.1, 0)
