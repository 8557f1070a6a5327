"""Scores against loops over sets of points, closed forms, permutations tried one by one, and bad input."""

from itertools import permutations

import numpy as np
import pytest
import torch

from intertwine.errors import DataError, ShapeError
from intertwine.systems.apen.data import make_batch
from intertwine.systems.apen.metrics import (
    CloudAccuracy,
    InstanceIoU,
    MeanIoU,
    MeanUncertainty,
    MixedCells,
    MixedClouds,
    PartCount,
    PooledIoU,
    cloud_metrics,
    instance_metrics,
    partition_metrics,
    segmentation_metrics,
)

CLASSES = 5


def batch(labels, clouds, parts=None, subjects=None):
    clouds = torch.as_tensor(clouds)
    return make_batch(
        torch.zeros(len(clouds), 3),
        clouds,
        int(clouds.max()) + 1,
        labels=None if labels is None else torch.as_tensor(labels),
        parts=None if parts is None else torch.as_tensor(parts),
        subjects=None if subjects is None else torch.as_tensor(subjects),
    )


def scores_of(given, classes=CLASSES):
    """Scores whose largest entry is the given class."""
    return torch.nn.functional.one_hot(torch.as_tensor(given), classes).float() - 3.0


def drawn(seed=0, points=60, clouds=4, classes=CLASSES):
    rng = np.random.default_rng(seed)
    of_cloud = np.sort(np.concatenate([np.arange(clouds), rng.integers(0, clouds, points - clouds)]))
    labels = rng.integers(0, classes, points)
    labels[of_cloud == 0] = rng.integers(0, 2, (of_cloud == 0).sum())
    given = np.where(rng.random(points) < 0.6, labels, rng.integers(0, classes, points))
    return of_cloud, labels, given


def iou(one, two):
    return len(one & two) / len(one | two)


def places(values, wanted, inside):
    return {int(i) for i in np.flatnonzero((values == wanted) & inside)}


def mean_iou(of_cloud, labels, given):
    """The mean over clouds and classes that are present, with sets."""
    of_clouds = []
    for cloud in np.unique(of_cloud):
        inside = of_cloud == cloud
        pairs = [(places(labels, c, inside), places(given, c, inside)) for c in range(CLASSES)]
        of_clouds.append(np.mean([iou(*pair) for pair in pairs if pair[0] | pair[1]]))
    return np.mean(of_clouds)


def pooled_iou(labels, given):
    everywhere = np.ones(len(labels), bool)
    pairs = [(places(labels, c, everywhere), places(given, c, everywhere)) for c in range(CLASSES)]
    return np.mean([iou(*pair) for pair in pairs if pair[0] | pair[1]])


# --- classes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_scores_of_points_against_sets(seed):
    of_cloud, labels, given = drawn(seed)
    metrics = segmentation_metrics()
    metrics.update(scores_of(given), batch(labels, of_cloud))
    found = {name: float(value) for name, value in metrics.compute().items()}
    wanted = {
        "miou": mean_iou(of_cloud, labels, given),
        "pooled_miou": pooled_iou(labels, given),
        "accuracy": np.mean(labels == given),
    }
    assert found == pytest.approx(wanted, rel=1e-12)
    assert len(set(np.round(list(found.values()), 6))) == 3, "three different numbers"


def test_batches_and_processes_add_up():
    halves = [segmentation_metrics() for _ in range(2)]
    held = [drawn(seed, points=30 + 10 * seed, clouds=3 + seed) for seed in range(4)]
    for place, (of_cloud, labels, given) in enumerate(held):
        halves[place % 2].update(scores_of(given), batch(labels, of_cloud))
    for name, metric in halves[0].items():
        metric.merge_state(halves[1][name])
    shifted = [of_cloud + 100 * place for place, (of_cloud, _, _) in enumerate(held)]
    of_cloud, labels, given = (np.concatenate(values) for values in (shifted, *list(zip(*held, strict=True))[1:]))
    found = {name: float(value) for name, value in halves[0].compute().items()}
    assert found["miou"] == pytest.approx(mean_iou(of_cloud, labels, given), rel=1e-12)
    assert found["pooled_miou"] == pytest.approx(pooled_iou(labels, given), rel=1e-12)


def test_a_class_counts_where_it_is_there_or_is_given():
    """Cloud 0: class 0 has 1 of 2, class 1 none of 1, class 2 of neither; cloud 1: all right."""
    metric = MeanIoU()
    metric.update(scores_of([0, 1, 2, 2]), batch([0, 0, 2, 2], [0, 0, 1, 1]))
    assert float(metric.compute()) == pytest.approx((1 / 4 + 1) / 2)
    metric = PooledIoU()
    metric.update(scores_of([0, 1, 2, 2]), batch([0, 0, 2, 2], [0, 0, 1, 1]))
    assert float(metric.compute()) == pytest.approx((1 / 2 + 0 + 1) / 3)


def test_a_perfect_and_a_useless_answer():
    of_cloud, labels, _ = drawn()
    for given, wanted in [(labels, 1.0), ((labels + 1) % CLASSES, 0.0)]:
        metrics = segmentation_metrics()
        metrics.update(scores_of(given), batch(labels, of_cloud))
        assert all(float(value) == wanted for value in metrics.compute().values())


def test_scores_of_clouds():
    metrics = cloud_metrics()
    metrics.update(scores_of([0, 1, 2, 3]), batch(None, [0, 1, 2, 3], subjects=[0, 1, 2, 4]))
    metrics.update(scores_of([4]), batch(None, [0], subjects=[0]))
    assert float(metrics.compute()["cloud_accuracy"]) == pytest.approx(3 / 5)


# --- parts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_parts_against_sets_and_all_matchings(seed):
    pytest.importorskip("scipy")
    of_cloud, truth, found = drawn(seed, points=40, clouds=2)
    found = (3 * found + 11) % 7 + 10 * of_cloud
    best, matched = [], []
    for cloud in (0, 1):
        inside = of_cloud == cloud
        true = [places(truth, part, inside) for part in np.unique(truth[inside])]
        given = [places(found, part, inside) for part in np.unique(found[inside])]
        table = np.array([[iou(t, g) for g in given] for t in true])
        best.append(table.max(1).mean())
        padded = np.zeros((max(table.shape),) * 2)
        padded[: table.shape[0], : table.shape[1]] = table
        orders = permutations(range(len(padded)))
        matched.append(
            max(sum(padded[row, column] for row, column in enumerate(order)) for order in orders) / len(true)
        )
    metrics = instance_metrics(one_to_one=True)
    metrics.update(torch.as_tensor(found), batch(None, of_cloud, parts=truth))
    scores = {name: float(value) for name, value in metrics.compute().items()}
    assert scores == pytest.approx({"instance_iou": np.mean(best), "instance_iou_matched": np.mean(matched)}, rel=1e-12)
    assert set(instance_metrics()) == {"instance_iou"}


def test_one_part_for_all_and_one_for_each():
    """Of two true parts with 3 points and 1: the whole has IoU 3/4 and 1/4; single points have 1/3 and 1."""
    truth = batch(None, [0, 0, 0, 0], parts=[5, 5, 5, 9])
    whole, single = torch.zeros(4, dtype=torch.int64), torch.arange(4)
    for parts, wanted, one_to_one in [(whole, 1 / 2, 3 / 8), (single, 2 / 3, 2 / 3), (truth.instances, 1.0, 1.0)]:
        for matched, score in [(False, wanted), (True, one_to_one)]:
            metric = InstanceIoU(one_to_one=matched)
            metric.update(parts, truth)
            assert float(metric.compute()) == pytest.approx(score)


def test_names_of_parts_mean_nothing():
    of_cloud, truth, found = drawn(1)
    renamed = np.array([3, 0, 4, 1, 2])[found] * 17
    for metric in (InstanceIoU(), MixedCells(), MixedClouds(), PartCount()):
        scores = []
        for parts in (found, renamed):
            metric.reset()
            metric.update(torch.as_tensor(parts + 1000 * of_cloud), batch(None, of_cloud, parts=truth))
            scores.append(float(metric.compute()))
        assert scores[0] == scores[1]


def test_partitions_that_mix():
    """Cloud 0 in {0, 1}, {2, 3} of the true {0, 1, 2}, {3}; cloud 1 in single points; cloud 2 in its true parts."""
    truth = batch(None, [0, 0, 0, 0, 1, 1, 2, 2], parts=[0, 0, 0, 1, 0, 0, 0, 1])
    parts = torch.tensor([4, 4, 6, 6, 7, 8, 9, 10])
    metrics = partition_metrics()
    metrics.update(parts, truth)
    found = {name: float(value) for name, value in metrics.compute().items()}
    assert found == pytest.approx({"mixed_cells": 1 / 6, "mixed_clouds": 1 / 3, "mixed_points": 1 / 4, "parts": 2.0})


def test_numbers_of_parts_may_recur_in_other_clouds_when_they_are_counted():
    metric = PartCount()
    metric.update(torch.tensor([0, 1, 0, 0]), batch(None, [0, 0, 1, 1]))
    assert float(metric.compute()) == pytest.approx(1.5)


def test_uncertainty():
    metric = MeanUncertainty()
    metric.update(torch.tensor([1.0, 0.5]), batch(None, [0, 0]))
    metric.update(torch.tensor([0.9]), batch(None, [0]))
    assert float(metric.compute()) == pytest.approx(0.2, abs=1e-7)


# --- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [MeanIoU(), PooledIoU(), segmentation_metrics()["accuracy"]])
def test_labels_that_cannot_be_scored(metric):
    with pytest.raises(DataError, match="out of range") as caught:
        metric.update(scores_of([0, 1]), batch([0, CLASSES], [0, 0]))
    assert str(CLASSES) in caught.value.got
    with pytest.raises(DataError, match="labels of the points are not known"):
        metric.update(scores_of([0, 1]), batch(None, [0, 0]))
    with pytest.raises(ShapeError, match="do not fit"):
        metric.update(scores_of([0, 1, 2]), batch([0, 1], [0, 0]))


def test_what_is_not_known_is_not_scored():
    bare = batch([0, 1], [0, 0])
    with pytest.raises(DataError, match="classes of the clouds"):
        CloudAccuracy().update(scores_of([0]), bare)
    for metric in (InstanceIoU(), MixedCells(), MixedClouds()):
        with pytest.raises(DataError, match="true parts"):
            metric.update(torch.tensor([0, 1]), bare)
