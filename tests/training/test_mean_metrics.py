import pytest
import torch
from torchmetrics import MetricCollection

from intertwine.training.metrics import Mean, with_units


class Distance(Mean):
    unit, factor = "mm", 1000.0

    def values(self, predicted, batch):
        return (predicted - batch).abs()


class Equal(Mean):
    def values(self, predicted, batch):
        return predicted == batch


BATCHES = [([1.0, 2.0, 3.0], [1.0, 2.5, 2.0]), ([0.0], [4.0])]


def test_a_mean_over_ragged_batches_is_that_of_all_numbers():
    metrics = MetricCollection({"distance": Distance(), "equal": Equal()}, compute_groups=False)
    for batch in BATCHES:
        metrics.update(*map(torch.tensor, batch))
    assert with_units(metrics) == {"distance": (1375.0, "mm"), "equal": (0.25, "")}


def test_sums_are_exact_where_float32_would_round():
    metric = Equal()
    metric.total += 2**24  # the next float32 is two further on
    metric.count += 2**24
    metric.update(torch.tensor([1.0]), torch.tensor([1.0]))
    assert metric.total == metric.count == 2**24 + 1


def test_states_of_processes_add_up_and_nothing_is_no_number():
    parts = [Distance(), Distance()]
    for part, batch in zip(parts, BATCHES, strict=True):
        part.update(*map(torch.tensor, batch))
    parts[0].merge_state(parts[1])
    assert float(parts[0].compute()) == 1375.0
    with pytest.warns(UserWarning, match="before"):
        assert Distance().compute().isnan()
