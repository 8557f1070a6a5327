import re

import pytest

from intertwine.errors import ConfigError, DataError
from intertwine.reporting import PaperFigure, ResultFile, ResultRow, Target
from intertwine.reporting.numbers import format_duration, format_number
from intertwine.reporting.tables import (
    main,
    render_table,
    render_text,
    stale_tables,
    update_file,
)

COLUMNS = "case=Test set, value=Ours, baseline.zero, paper=MACE"
MARKER = f'<!-- table: potential metric=force_rmse columns="{COLUMNS}" -->'
DOCUMENT = f"# Title\n\n{MARKER}\n<!-- end -->\n\nText.\n"


@pytest.fixture
def results(tmp_path):
    rows = [
        ResultRow(
            f"dev_{kelvin}K",
            metric,
            value,
            unit,
            spread=0.6,
            seeds=(1, 2),
            baselines={"zero": 986.4},
            paper=PaperFigure(8.8, "table 2", verified=kelvin == 300),
            target=Target("<", 60.0),
        )
        for kelvin, value in ((300, 54.12), (600, 94.71))
        for metric, unit in (("force_rmse", "meV/Å"), ("energy_rmse", "meV"))
    ]
    file = ResultFile(
        "intertwine reproduce potential", "0123456789abcdef+dirty", "2026-02-03T04:05:06+00:00",
        {"cpu": "CPU X", "cores": 2, "gpu": None}, {}, 3.0, tuple(rows),
    )  # fmt: skip
    file.write(tmp_path / "results" / "potential.json")
    return tmp_path / "results"


def test_a_table_is_rendered_between_its_markers(results):
    got = render_text(DOCUMENT, results).splitlines()
    assert got == [
        "# Title", "", MARKER,
        "| Test set | Ours | zero | MACE |",
        "| --- | ---: | ---: | ---: |",
        "| dev_300K | 54.1 ± 0.6 | 986 | 8.80 |",
        "| dev_600K | 94.7 ± 0.6 | 986 | 8.80 (unverified) |",
        "",
        "<sub>`results/potential.json`: `intertwine reproduce potential`, commit 0123456789+dirty, "
        "2026-02-03, CPU X, 2 cores.</sub>",
        "<!-- end -->", "", "Text.",
    ]  # fmt: skip
    assert render_text("\n".join(got) + "\n", results) == "\n".join(got) + "\n"


def test_default_columns_show_everything_and_say_which_target_is_missed(results):
    lines = render_table(ResultFile.read(results / "potential.json"), {"source": "no", "case": "*300K|*600K"})
    assert lines[0] == "| Case | Metric | Value | Unit | zero | Paper | Target | Met |"
    assert [line.split("|")[-2].strip() for line in lines[2:]] == ["yes", "yes", "**no**", "**no**"]


def test_a_hand_edited_number_is_caught(results, tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text(DOCUMENT)
    arguments = ["--results", str(results), str(page)]
    assert main(arguments) == 0
    assert main(["--check", *arguments]) == 0
    assert stale_tables(page, results) == []
    page.write_text(page.read_text().replace("54.1", "45.1"))
    capsys.readouterr()
    assert main(["--check", *arguments]) == 1
    said = capsys.readouterr().err
    assert f"{page}:3: the table `potential` is stale" in said
    assert "-| dev_300K | 45.1 ± 0.6" in said
    assert "+| dev_300K | 54.1 ± 0.6" in said
    assert "45.1" in page.read_text(), "a check must change nothing"
    assert update_file(page, results)
    assert not update_file(page, results)


def test_a_changed_result_makes_the_table_stale(results, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(DOCUMENT)
    update_file(page, results)
    path = results / "potential.json"
    path.write_text(path.read_text().replace("54.12", "54.92"))
    (stale,) = stale_tables(page, results)
    assert (stale.name, stale.line) == ("potential", 3)


def test_a_missing_results_file_is_an_error_with_a_way_out(results, tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text(DOCUMENT.replace("potential", "absent"))
    assert main(["--check", "--results", str(results), str(page)]) == 2
    said = capsys.readouterr().err
    assert "absent.json" in said
    assert "intertwine reproduce" in said


def test_a_marker_in_a_code_block_is_text(results):
    text = f"```markdown\n{MARKER}\n| typed by hand |\n<!-- end -->\n```\n"
    assert render_text(text, results) == text
    nested = f"````\n```\n{MARKER}\n```\n````\n"
    assert render_text(nested, results) == nested


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        ("<!-- table: potential colums=case -->", ConfigError),
        ("<!-- table: potential columns=cases -->", ConfigError),
        ("<!-- table: potential columns=baseline.absent -->", ConfigError),
        ("<!-- table: potential metric=absent -->", ConfigError),
        ("<!-- table: potential digits=three -->", ConfigError),
        ("<!-- table: potential digits -->", DataError),
        ('<!-- table: potential columns="case -->', DataError),
        ("<!-- table: -->", DataError),
    ],
)
def test_a_marker_that_asks_for_what_is_not_there_is_refused(results, marker, error):
    with pytest.raises(error):
        render_text(f"{marker}\n<!-- end -->\n", results)


@pytest.mark.parametrize("text", [MARKER + "\n", f"{MARKER}\n{MARKER}\n<!-- end -->\n"])
def test_an_open_table_is_refused_with_its_line(results, text):
    with pytest.raises(DataError, match=r"page\.md:1:"):
        render_text(text, results, "page.md")


def test_text_cells_cannot_break_the_table():
    file = ResultFile("c", None, "2026-01-01", {}, {}, 1.0, (ResultRow("a|b", "m", None),))
    lines = render_table(file, {"columns": "case, value", "source": "no"})
    assert lines[2] == "| a\\|b | \N{EN DASH} |"


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.0, None, "0"),
        (22.2345, None, "22.2"),
        (9.996, None, "10.0"),
        (0.012345, None, "0.0123"),
        (-0.5, None, "-0.500"),
        (17660.4, None, "17660"),
        (1.3e-7, None, "1.30e-07"),
        (2.5e9, None, "2.50e+09"),
        (22.2345, 0.18, "22.2 ± 0.2"),
        (1874.0, 12.3, "1874 ± 12"),
        (0.0, 0.02, "0.0000 ± 0.0200"),
        (1.3e-7, 2e-8, "1.30e-07 ± 2e-08"),
    ],
)
def test_numbers_keep_their_significant_digits(value, spread, text):
    assert format_number(value, 3, spread) == text


def test_format_number_never_loses_more_than_its_digits():
    for exponent in range(-12, 12):
        value = 1.23456789 * 10.0**exponent
        number = re.match(r"[-\d.e+]+", format_number(value, 4))
        assert number is not None
        assert float(number[0]) == pytest.approx(value, rel=5e-4)


def test_what_is_no_number_is_a_dash():
    assert format_number(None) == format_number(float("nan")) == format_number(float("inf")) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (7260, "2 h 1 min")]
)
def test_durations_have_two_units(seconds, text):
    assert format_duration(seconds) == text
