"""Metrics and loss against numpy, over ragged batches and two processes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.particles import SampleSet
from intertwine.systems.segnn.metrics import PositionMSE, position_metrics
from intertwine.systems.segnn.training import position_loss


@pytest.fixture
def predicted(samples):
    """Predictions with an error of many sizes, and the batches they belong to."""
    rng = np.random.default_rng(0)
    error = rng.normal(size=samples.positions.shape) * rng.uniform(0.1, 3, size=(12, 1, 1))
    batches = SampleSet(samples).batches(5)
    parts = torch.from_numpy(samples.targets + error).reshape(-1, 3).split([len(b.positions) for b in batches])
    return error, list(zip(parts, batches, strict=True))


def wanted(error):
    return {
        "position_mse": np.mean(error**2),
        "position_mae": np.mean(np.abs(error)),
        "mean_distance": np.mean(np.sqrt((error**2).sum(-1))),
    }


def test_ragged_batches_match_numpy(predicted):
    error, parts = predicted
    metrics = position_metrics()
    for part, batch in parts:
        metrics.update(part, batch)
    assert {name: float(value) for name, value in metrics.compute().items()} == pytest.approx(wanted(error), rel=1e-12)
    by_batch = np.mean([np.mean(error[:5] ** 2), np.mean(error[5:10] ** 2), np.mean(error[10:] ** 2)])
    assert abs(by_batch - wanted(error)["position_mse"]) > 1e-3, "the mean over batches is another number"


def test_sums_of_two_processes_give_the_errors_of_one(predicted):
    error, parts = predicted
    processes = [position_metrics() for _ in range(2)]
    for rank, metrics in enumerate(processes):
        for part, batch in parts[rank::2]:
            metrics.update(part, batch)
    for name, metric in processes[0].items():
        metric.merge_state(processes[1][name])
    assert {k: float(v) for k, v in processes[0].compute().items()} == pytest.approx(wanted(error), rel=1e-12)


def test_the_loss_is_the_published_metric(predicted):
    _, parts = predicted
    part, batch = parts[0]
    metric = PositionMSE()
    metric.update(part, batch)
    assert float(position_loss(part, batch)) == pytest.approx(float(metric.compute()), rel=1e-14)
    assert float(position_loss(part, batch, share=0.5)) == pytest.approx(float(metric.compute()) / 2, rel=1e-14)


def test_batches_without_targets_are_refused(predicted):
    part, batch = predicted[1][0]
    unknown = replace(batch, targets=None)
    with pytest.raises(DataError, match="PositionMSE"):
        PositionMSE().update(part, unknown)
    with pytest.raises(DataError):
        position_loss(part, unknown)
