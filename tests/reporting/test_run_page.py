"""The parts that every run's page has, from files written here."""

import json

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.reporting.run_page import symmetry_section, training_section
from intertwine.symmetry import CheckReport
from intertwine.symmetry.conservative import ConservativenessReport
from intertwine.symmetry.report import EquivarianceEntry, EquivarianceReport


def write_check(folder, error=2e-16, tolerance=None, mismatch=None, notes=()):
    entry = EquivarianceEntry.judge("energy", "rotations", error, 1.0, "a draw", 0, torch.float64)
    law = EquivarianceReport((entry,), "E(3)", torch.float64, 1)
    found = None
    if mismatch is not None:
        found = ConservativenessReport(1e-15, mismatch, 1e-10, 1e-6, "autograd", "differences", torch.float64, 3)
    report = CheckReport("a run", law, None, found, tolerance, notes)
    (folder / "check.json").write_text(json.dumps(report.to_dict()))
    return report


@pytest.mark.parametrize(("error", "tolerance"), [(2e-16, None), (0.03, None), (0.03, 0.05), (0.07, 0.05)])
def test_the_law_is_marked_as_the_check_judges_it(tmp_path, error, tolerance):
    report = write_check(tmp_path, error, tolerance)
    (fact,) = symmetry_section(tmp_path, "Turned.").facts
    assert fact.status == ("good" if report.passed else "bad")
    assert fact.note.startswith("energy under rotations, float64")
    assert ("up to 0.0500" in fact.note) is (tolerance is not None)


def test_an_error_that_is_not_finite_is_within_no_tolerance(tmp_path):
    write_check(tmp_path, float("nan"), tolerance=0.05)
    (fact,) = symmetry_section(tmp_path, "Turned.").facts
    assert (fact.value, fact.status) == ("\N{EN DASH}", "bad")


@pytest.mark.parametrize(("mismatch", "status"), [(1e-9, "good"), (0.4, "bad")])
def test_conservation_is_judged_apart_and_notes_are_shown(tmp_path, mismatch, status):
    write_check(tmp_path, mismatch=mismatch, notes=("Seen from afar.",))
    section = symmetry_section(tmp_path, "Turned.", "Symmetry and more")
    assert section.title == "Symmetry and more"
    assert section.text == "Turned.\n\nSeen from afar."
    assert [fact.status for fact in section.facts] == ["good", status]
    assert len(section.tables) == 2


def test_training_says_where_a_value_was_lowest_or_highest(tmp_path):
    lines = ["epoch,step,seconds,loss,accuracy,empty", "1,10,5,3.0,0.5,", "2,20,65,1.0,,", "3,30,66.2,2.0,0.7,"]
    (tmp_path / "metrics.csv").write_text("\n".join(lines) + "\n")
    panels = {"loss": {"training": "loss"}, "nothing": {"training": "empty", "validation": "absent"}}
    section = training_section(tmp_path, panels, lowest=("loss", "loss"), highest=("absent", "x"))
    assert section.text == "3 epochs in 1 min 6 s; the lowest loss was reached at epoch 2."
    (curve,) = section.pictures[0].figure.data
    np.testing.assert_array_equal(curve.x, [1, 2, 3])
    by_step = training_section(tmp_path, {}, by="step", highest=("accuracy", "accuracy"), lowest=("empty", "y"))
    assert by_step.text == "30 steps in 1 min 6 s; the highest accuracy was reached at step 30."
    assert not by_step.pictures


def test_missing_files_name_their_command_and_damaged_ones_are_refused(tmp_path):
    assert f"`intertwine check {tmp_path}`" in symmetry_section(tmp_path, "Turned.").text
    assert "`intertwine train`" in training_section(tmp_path, {}).text
    (tmp_path / "metrics.csv").write_text("epoch\n")
    assert "No training history" in training_section(tmp_path, {}).text
    for content in ("[]", "{}", '{"equivariance": {"rows": [{}]}, "tolerance": null}'):
        (tmp_path / "check.json").write_text(content)
        with pytest.raises(DataError, match="does not hold a check"):
            symmetry_section(tmp_path, "Turned.")
