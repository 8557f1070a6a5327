"""Learning rates, averages of weights and time left against their formulas."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from torch import nn

from intertwine.errors import ConfigError
from intertwine.training.clock import Clock
from intertwine.training.ema import WeightAverage
from intertwine.training.progress import TrainingProgress, duration
from intertwine.training.schedule import Schedule, annealing
from intertwine.training.settings import TrainingSettings


def schedule(**settings):
    settings = TrainingSettings(**settings)
    return Schedule(settings, Clock(settings.max_minutes))


@pytest.mark.parametrize(
    ("kind", "fraction", "factor"),
    [
        ("constant", 0.7, 1.0),
        ("linear", 0.0, 1.0), ("linear", 0.25, 1 - 0.9 * 0.25), ("linear", 1.0, 0.1), ("linear", 2.0, 0.1),
        ("cosine", 0.0, 1.0), ("cosine", 0.5, 0.55), ("cosine", 1.0, 0.1),
        ("cosine", 0.25, 0.1 + 0.45 * (1 + math.sqrt(0.5))),
    ],
)  # fmt: skip
def test_annealing(kind, fraction, factor):
    settings = TrainingSettings(schedule=kind, final_learning_rate_fraction=0.1)
    assert annealing(settings, fraction) == pytest.approx(factor, rel=1e-12)


def test_warm_up_rises_from_zero_and_annealing_starts_after_it():
    plan = schedule(epochs=10, warmup_epochs=2, schedule="linear", final_learning_rate_fraction=0.0)
    steps = [plan.factor(n / 4, 1 / 4) for n in range(40)]
    assert steps[:8] == pytest.approx([(n + 1) / 8 for n in range(8)])
    assert steps[8] == 1.0
    assert steps[24] == pytest.approx(0.5)
    assert all(a >= b for a, b in itertools.pairwise(steps[8:]))


def test_warm_up_may_start_above_zero():
    plan = schedule(epochs=10, warmup_epochs=2, warmup_start=0.2)
    steps = [plan.factor(n / 4, 1 / 4) for n in range(12)]
    assert steps[:8] == pytest.approx([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert steps[8:] == [1.0] * 4


def test_annealing_by_time_follows_the_clock_and_not_the_epochs():
    plan = schedule(max_minutes=2.0, schedule="time_cosine", final_learning_rate_fraction=0.0)
    plan.clock.before = 60.0
    assert plan.factor(1e6, 1.0) == pytest.approx(0.5)
    plan.clock.before = 500.0
    assert plan.factor(0.0, 1.0) == pytest.approx(0.0)


def test_plateau_waits_falls_and_has_a_floor():
    plan = schedule(schedule="plateau", plateau_patience=1, plateau_factor=0.5, final_learning_rate_fraction=0.2)
    factors = []
    for loss in [3, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1]:
        trainer = SimpleNamespace(callback_metrics={"validation_loss": torch.tensor(float(loss))})
        plan.on_validation_end(trainer, None)
        factors.append(plan.factor(0, 1))
    assert factors == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    again = schedule(schedule="plateau")
    again.load_state_dict(plan.state_dict())
    assert again.factor(0, 1) == 0.2


def test_annealing_by_time_needs_a_time():
    with pytest.raises(ConfigError) as caught:
        TrainingSettings(schedule="time_cosine")
    assert caught.value.got == {"schedule": "time_cosine"}


@pytest.mark.parametrize(("field", "value"), [("validation_batch_size", 0), ("warmup_start", 1.5)])
def test_values_out_of_range_are_refused_by_name(field, value):
    with pytest.raises(ConfigError) as caught:
        TrainingSettings(**{field: value})
    assert caught.value.got == {field: value}
    assert field in caught.value.expected


def test_batches_that_are_only_measured_have_a_size_of_their_own():
    assert TrainingSettings(batch_size=7).evaluation_batch_size == 7
    assert TrainingSettings(batch_size=7, validation_batch_size=1).evaluation_batch_size == 1


def test_the_average_is_the_recursion_in_closed_form(rng):
    module = nn.Sequential()
    module.model = nn.Linear(2, 1).double()
    module.model.register_buffer("count", torch.zeros((), dtype=torch.int64))
    callback = WeightAverage(0.5)
    callback.on_fit_start(None, module)
    expected = module.model.weight.detach().clone()
    for step in range(1, 6):
        with torch.no_grad():
            module.model.weight.copy_(torch.randn(1, 2, generator=rng, dtype=torch.float64))
            module.model.count += 1
        callback.on_train_batch_end(SimpleNamespace(global_step=step), module, None, None, 0)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * module.model.weight.detach()
    torch.testing.assert_close(callback.weights["weight"], expected, rtol=1e-14, atol=0)
    assert callback.weights["count"] == 5

    raw = module.model.weight.detach().clone()
    callback.on_validation_start(None, module)
    torch.testing.assert_close(module.model.weight.detach(), expected, rtol=1e-14, atol=0)
    callback.on_validation_end(None, module)
    assert torch.equal(module.model.weight, raw)


def test_time_left_is_the_smaller_of_work_and_limit(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    clock = Clock(1.0)
    progress = TrainingProgress(Console(file=None), clock, epochs=10)
    trainer = SimpleNamespace(current_epoch=0, is_global_zero=False)
    clock.on_train_start(trainer, None)
    progress.on_train_start(trainer, None)
    now[0] += 4.0
    assert progress.seconds_left(2.0) == pytest.approx(16.0)
    assert progress.seconds_left(0.1) == pytest.approx(56.0)
    assert progress.seconds_left(0.0) == pytest.approx(56.0)


def test_durations_in_words():
    assert [duration(s) for s in (3.2, 89, 120, 5400, 100000, math.inf)] == [
        "3 s", "89 s", "2 min", "1 h 30 min", "27 h 47 min", "unknown time",
    ]  # fmt: skip
