from types import SimpleNamespace

import numpy as np
import pytest

from intertwine.errors import DataError
from intertwine.reporting import EvaluationRow
from intertwine.training.evaluation import Measured, evaluate_sets

RUN = SimpleNamespace(folder="runs/one", model=lambda device: f"network on {device}")


def measure(model, items):
    assert model == "network on meta"
    mean = float(np.mean(items))
    baselines = {"zero": {"error": abs(mean)}} | ({"one": {"error": abs(mean - 1)}} if len(items) > 1 else {})
    return Measured({"error": (mean, "m"), "count": (len(items), "")}, len(items), {"x": np.array(items)}, baselines)


def test_numbers_arrays_and_baselines_of_all_sets_are_gathered_in_their_order():
    found = evaluate_sets(RUN, {"near": [1.0, 3.0], "far": [5.0]}, measure, device="meta")
    assert found.rows == (
        EvaluationRow("near", "error", 2.0, "m", 2),
        EvaluationRow("near", "count", 2, "", 2),
        EvaluationRow("far", "error", 5.0, "m", 1),
        EvaluationRow("far", "count", 1, "", 1),
    )
    assert {name: array.tolist() for name, array in found.arrays.items()} == {"near/x": [1.0, 3.0], "far/x": [5.0]}
    assert found.baselines == {"zero": {"near": {"error": 2.0}, "far": {"error": 5.0}}, "one": {"near": {"error": 1.0}}}
    assert found.paper == {}


def test_no_set_is_refused_before_the_network_is_loaded():
    with pytest.raises(DataError, match="names no test files") as caught:
        evaluate_sets(SimpleNamespace(folder="runs/one"), {}, measure)
    assert caught.value.got == "runs/one"
