import json
import math
import subprocess

import pytest

from intertwine.errors import DataError
from intertwine.reporting import (
    PaperFigure,
    ResultFile,
    ResultRow,
    Target,
    collect_versions,
    current_commit,
    describe_hardware,
)
from intertwine.reporting.files import read_columns


def make_row(**changes):
    fields = {
        "case": "3bpa/dev_300K",
        "metric": "force_rmse",
        "value": 55.25,
        "unit": "meV/Å",
        "spread": 1.5,
        "seeds": (1, 2, 3),
        "baselines": {"zero": 986.0},
        "paper": PaperFigure(8.8, "MACE, table 2", verified=False),
        "target": Target("<", 70.0),
    }
    return ResultRow(**(fields | changes))


@pytest.fixture
def path(tmp_path):
    rows = [
        make_row(),
        make_row(case="3bpa/dev_600K", value=95.0),
        make_row(value=None, target=None, paper=None),
    ]
    return ResultFile.collect("intertwine reproduce potential", rows, 12.5).write(tmp_path / "new" / "potential.json")


def test_a_file_reads_back_as_it_was_written(path):
    first = ResultFile.read(path)
    again = ResultFile.read(first.write(path.with_name("copy.json")))
    assert again == first
    assert first.rows[0] == make_row()
    assert first.seconds == 12.5
    assert list(json.loads(path.read_text())["rows"][0]) == [
        "case", "metric", "value", "unit", "spread", "seeds", "baselines", "paper", "target", "meets_target",
    ]  # fmt: skip
    assert list(json.loads(path.read_text())) == [
        "command", "commit", "date", "hardware", "versions", "seconds", "rows",
    ]  # fmt: skip
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def test_a_row_that_misses_its_target_stays_in(path):
    read = ResultFile.read(path)
    assert [row.meets_target for row in read.rows] == [True, False, None]
    assert [row.case for row in read.missed] == ["3bpa/dev_600K"]


@pytest.mark.parametrize(
    ("op", "below", "at", "above"),
    [
        ("<", True, False, False),
        ("<=", True, True, False),
        (">", False, False, True),
        (">=", False, True, True),
        ("==", False, True, False),
    ],
)
def test_every_kind_of_target(op, below, at, above):
    target = Target(op, 2.0)
    assert [target.accepts(value) for value in (1.0, 2.0, 3.0)] == [below, at, above]
    assert not target.accepts(None)


def test_mean_and_spread_over_seeds_match_the_statistics():
    row = ResultRow.over_seeds("case", "metric", {1: 2.0, 5: 4.0, 7: 9.0}, unit="s")
    assert row.value == 5.0
    assert row.spread == pytest.approx(13.0**0.5, rel=1e-14)  # ((-3)^2 + (-1)^2 + 4^2) / 2
    assert row.seeds == (1, 5, 7)
    assert ResultRow.over_seeds("case", "metric", {1: 2.0}).spread is None


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda d: d["rows"][0].update(value="55"), "rows[0].value"),
        (lambda d: d["rows"][1].update(value=float("nan")), "rows[1].value"),
        (lambda d: d["rows"][1].update(meets_target=True), "rows[1].meets_target"),
        (lambda d: d["rows"][2].update(meets_target=False), "rows[2].meets_target"),
        (lambda d: d["rows"][0].pop("unit"), "rows[0].unit"),
        (lambda d: d["rows"][0].update(note="x"), "rows[0].note"),
        (lambda d: d["rows"][0].update(target={"op": "~", "value": 1}), "rows[0].target"),
        (lambda d: d["rows"][0].update(paper={"value": 1}), "rows[0].paper"),
        (lambda d: d["rows"][0].update(seeds=[1.5]), "rows[0].seeds"),
        (lambda d: d["rows"][0].update(seeds=3), "rows[0].seeds"),
        (lambda d: d["rows"][0].update(spread=-1.0), "rows[0].spread"),
        (lambda d: d["rows"][0].update(baselines={"zero": None}), "rows[0].baselines"),
        (lambda d: d["rows"].__setitem__(0, 3), "rows[0]."),
        (lambda d: d.update(date="yesterday"), "date"),
        (lambda d: d.update(rows={}), "rows"),
        (lambda d: d.pop("commit"), "commit"),
    ],
)
def test_every_damage_is_named_by_its_place(path, change, place):
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(DataError) as caught:
        ResultFile.read(path)
    assert list(caught.value.got) == [place]


def test_all_problems_come_at_once(path):
    data = json.loads(path.read_text())
    data["rows"][0]["value"] = "55"
    data["rows"][1]["unit"] = 3
    del data["seconds"]
    path.write_text(json.dumps(data))
    with pytest.raises(DataError) as caught:
        ResultFile.read(path)
    assert set(caught.value.got) == {"seconds", "rows[0].value", "rows[1].unit"}


@pytest.mark.parametrize("text", ["", "{", "[1, 2]"])
def test_what_is_no_results_file_is_refused(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(DataError):
        ResultFile.read(tmp_path / "x.json")


def test_a_missing_file_says_which_command_writes_it(tmp_path):
    with pytest.raises(DataError) as caught:
        ResultFile.read(tmp_path / "x.json")
    assert "intertwine reproduce" in caught.value.fix


def test_a_row_that_cannot_be_stored_is_refused_when_it_is_made():
    with pytest.raises(DataError) as caught:
        make_row(value=float("inf"), unit=None)
    assert set(caught.value.got) == {"value", "unit"}
    with pytest.raises(DataError):
        Target("<", float("nan"))


def test_a_failed_write_leaves_the_old_file(path):
    old = path.read_text()
    damaged = ResultFile("c", None, "2026-01-01", {"cpu": {1, 2}}, {}, 1.0, ())
    with pytest.raises(DataError):
        damaged.write(path)
    assert path.read_text() == old
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_provenance_of_this_machine():
    hardware = describe_hardware()
    assert set(hardware) == {"cpu", "cores", "memory_gib", "gpu", "platform"}
    assert hardware["cores"] >= 1
    assert hardware["memory_gib"] is None or hardware["memory_gib"] > 0
    versions = collect_versions()
    assert {"python", "torch", "numpy"} <= set(versions)


def test_the_commit_is_that_of_the_checkout_and_says_when_it_was_changed(tmp_path):
    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    code, result, stray = tmp_path / "code.py", tmp_path / "results" / "x.json", tmp_path / "stray.py"
    assert current_commit(code) is None
    git("init")
    result.parent.mkdir()
    for file in (code, result, stray):
        file.write_text("1\n")
    git("add", "code.py", "results")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert current_commit(code) == head
    assert current_commit(stray) is None
    result.write_text("2\n")
    assert current_commit(code) == head
    code.write_text("2\n")
    assert current_commit(code) == head + "+dirty"


def test_columns_of_numbers_and_their_gaps(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2.5\n\n3,\n")
    columns = read_columns(path)
    assert columns["a"].tolist() == [1, 3]
    assert columns["b"][0] == 2.5
    assert math.isnan(columns["b"][1])
    path.write_text("a,b\n")
    assert {name: len(column) for name, column in read_columns(path).items()} == {"a": 0, "b": 0}
    path.write_text("")
    assert read_columns(path) == {}


@pytest.mark.parametrize("text", ["a,b\n1\n2\n", "a,b\n1,2,3\n", "a,b\n1,fast\n", "a,b\n1,2\n3"])
def test_a_cut_off_line_is_refused(tmp_path, text):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        read_columns(tmp_path / "x.csv")
    assert caught.value.expected == "2 numbers in each line: a, b"
