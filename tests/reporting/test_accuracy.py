"""Tables and pictures of an evaluation against its own numbers."""

import numpy as np
import pytest

from intertwine.reporting import Evaluation, EvaluationRow
from intertwine.reporting.accuracy import (
    best_other,
    comparison,
    metric_facts,
    metric_table,
    model_tables,
    not_measured,
    parity_pictures,
)

ROWS = (
    EvaluationRow("near", "rmse", 1.5, "meV", 4),
    EvaluationRow("near", "cosine", 0.5, "", 4),
    EvaluationRow("far", "rmse", 3.0, "meV", 6),
)
BASELINES = {"zero": {"near": {"rmse": 9.0}, "far": {"rmse": 8.0}}, "mean": {"near": {"rmse": 7.0}}, "none": {}}
PAPER = {"famous": {"far": {"rmse": 2.0}}}
FOUND = Evaluation(ROWS, BASELINES, PAPER)


def test_a_table_has_a_row_for_each_set_and_a_column_for_each_measured_metric():
    table = metric_table(FOUND, {"cosine": "cosine", "rmse": "force RMSE", "absent": "nothing"}, "frames")
    assert table.columns == ["test set", "frames", "cosine", "force RMSE\nmeV"]
    assert table.rows == [["near", 4, "0.500", "1.50"], ["far", 6, "\N{EN DASH}", "3.00"]]


def test_a_table_for_each_set_has_a_row_for_each_model_that_has_numbers_on_it():
    near, far = model_tables(FOUND, {"cosine": "cosine", "rmse": "RMSE", "absent": "nothing"}, "frames")
    assert near.columns == ["model", "cosine", "RMSE"]
    dash = "\N{EN DASH}"
    assert near.rows == [
        ["this run", "0.500", "1.50"],
        ["zero (baseline)", dash, "9.00"],
        ["mean (baseline)", dash, "7.00"],
    ]
    assert far.rows == [
        ["this run", dash, "3.00"],
        ["zero (baseline)", dash, "8.00"],
        ["famous (paper)", dash, "2.00"],
    ]
    facts = metric_facts(FOUND, "rmse", "Error")
    assert [(fact.label, fact.value) for fact in facts] == [("Error, near", "1.50"), ("Error, far", "3.00")]
    assert facts[1].note == "zero (baseline): 8.00", "the best baseline, not a published figure"


def test_other_models_are_named_with_their_kind():
    assert list(FOUND.others) == ["zero (baseline)", "mean (baseline)", "none (baseline)", "famous (paper)"]
    assert FOUND.others["famous (paper)"] == PAPER["famous"]


@pytest.mark.parametrize(
    ("name", "kinds", "words"),
    [
        ("far", ("paper", "baseline"), "famous (paper): 2.00"),
        ("far", ("baseline",), "zero (baseline): 8.00"),
        ("near", ("paper", "baseline"), "mean (baseline): 7.00"),
        ("near", ("paper",), ""),
    ],
)
def test_the_best_other_model_of_the_first_kind_that_has_one(name, kinds, words):
    assert best_other(FOUND, name, "rmse", kinds) == words


def test_a_comparison_draws_the_models_that_have_the_metric():
    figure = comparison(FOUND, "rmse", "force RMSE", {"near": "N"}).figure
    names = {trace.name for trace in figure.data}
    assert {"this run", "zero", "mean", "famous (paper)"} <= names
    assert "none" not in names
    assert any(list(trace.x) == ["N", "far"] for trace in figure.data if trace.name == "this run")


def test_energies_are_per_atom_where_sizes_differ_and_it_is_wanted(tmp_path):
    atoms = np.array([3, 6])
    reference = {"test/energy_reference": atoms * -10.0, "test/atoms": atoms}
    found = Evaluation((), {}, {}, reference | {"test/energy": atoms * -10.0 + atoms * 0.004})
    (divided,) = parity_pictures(found, "test", "T")
    assert divided.figure.layout.title.text == "RMSE 4.00, MAE 4.00 meV"
    assert divided.caption.startswith("T: 2 energies")
    (whole,) = parity_pictures(found, "test", "T", milli=False, per_atom=False)
    assert whole.figure.layout.title.text == "RMSE 0.0190, MAE 0.0180 eV"


def test_forces_without_a_reference_are_not_drawn():
    forces = np.ones((2, 3))
    alone = Evaluation((), {}, {}, {"test/forces": forces, "test/numbers": np.array([1, 8])})
    assert parity_pictures(alone, "test", "T") == []
    both = Evaluation((), {}, {}, {**alone.arrays, "test/forces_reference": forces + 0.1})
    assert [picture.caption.split(";")[0] for picture in parity_pictures(both, "test", "T")] == [
        "T: 6 force components",
        "T: errors of the force components by element.",
    ]


def test_what_is_not_measured_says_how(tmp_path):
    assert "intertwine evaluate" in not_measured(tmp_path).text
    FOUND.write(tmp_path)
    assert not_measured(tmp_path) is None
