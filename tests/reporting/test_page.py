import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from intertwine.errors import DataError, MissingExtraError, ShapeError
from intertwine.reporting import (
    Evaluation,
    EvaluationRow,
    Fact,
    Picture,
    Section,
    Table,
    plots,
    run_details,
    write_page,
)

EVIL = '</script><script>alert("x")</script><img src="http://example.org/x.png">'


class Reader(HTMLParser):
    """Collects every element, and the texts outside of scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts, self.scripts, self.stack = [], [], [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.stack = [*self.stack[-5:], tag]

    def handle_endtag(self, tag):
        self.stack = [*self.stack, f"/{tag}"]

    def handle_data(self, data):
        if self.stack and self.stack[-1] == "script":
            self.scripts.append(data)
        elif self.stack and self.stack[-1] != "style":
            self.texts.append(data)


@pytest.fixture
def page(tmp_path):
    figure = plots.parity(np.arange(3.0), np.arange(3.0) + 1, EVIL, "eV")
    sections = [
        Section(
            "Accuracy & more",
            f"First `a < b` paragraph.\n\nSecond {EVIL}.",
            [Picture(figure, f"Caption {EVIL}", wide=True), figure],
            [Table(["name", EVIL], [[EVIL, 1.25], ["y", None]], "A table")],
            [Fact(EVIL, "3", "meV", "note", "bad")],
        ),
        Section("Accuracy more"),
    ]
    facts = [Fact("first", "1", status="good")]
    return write_page(tmp_path / "new" / "report.html", EVIL, sections, facts, details={"Recipe": EVIL})


def test_no_text_of_a_caller_becomes_markup(page):
    reader = Reader(page)
    assert not any(tag == "img" for tag, _ in reader.elements)
    assert not any("alert" in script and "application" not in script for script in reader.scripts if len(script) < 400)
    scripts = [attrs for tag, attrs in reader.elements if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == ["application/json"] * 2 + [None, None]
    assert "".join(reader.texts).count(EVIL) == 8


def test_a_page_without_escaping_would_be_seen(page):
    page.write_text(page.read_text().replace("&lt;img", "<img", 1).replace("&gt;", ">", 1))
    assert any(tag == "img" for tag, _ in Reader(page).elements)


def test_nothing_is_fetched(page):
    elements = Reader(page).elements
    for tag, attrs in elements:
        assert "src" not in attrs
        assert "srcset" not in attrs
        assert tag != "a" or attrs["href"].startswith("#")
        assert tag != "link" or attrs["href"] == "data:,"
    text = page.read_text()
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(attrs["content"] for tag, attrs in elements if attrs.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_figures_read_back_and_plotly_is_there_once(page):
    scripts = Reader(page).scripts
    figures = [json.loads(script) for script in scripts if script.startswith('{"data"')]
    assert len(figures) == 2
    assert EVIL in figures[0]["layout"]["xaxis"]["title"]["text"]
    assert sum(len(script) > 1_000_000 for script in scripts) == 1
    assert page.stat().st_size < 6_000_000


def test_contents_link_to_sections_that_exist_once(page):
    elements = Reader(page).elements
    targets = [attrs["href"][1:] for tag, attrs in elements if tag == "a"]
    anchors = [attrs["id"] for tag, attrs in elements if tag == "section"]
    assert targets == anchors == ["accuracy-more", "accuracy-more-2", "details"]


def test_facts_come_first_and_carry_their_verdict(page):
    text = page.read_text()
    assert [m.split()[-1] for m in re.findall(r'class="(fact[^"s]*)"', text)] == ["good", "bad"]
    assert text.index("<dt>first</dt>") < text.index("<h2>")


def test_numbers_are_flush_right_and_missing_ones_a_dash(page):
    text = page.read_text()
    assert '<td class="number">1.25</td>' in text
    assert '<td class="number">\N{EN DASH}</td>' in text


def test_a_page_of_words_needs_no_plotly(tmp_path):
    page = write_page(tmp_path / "x.html", "Title", [Section("Words", "Only words.")])
    assert page.stat().st_size < 20_000
    assert Reader(page).scripts == []


def test_a_row_that_does_not_fit_its_table_is_refused():
    with pytest.raises(ShapeError) as caught:
        Table(["a", "b"], [[1, 2], [3]])
    assert caught.value.got == "1 cells"


def test_details_are_what_the_run_folder_holds(tmp_path):
    assert run_details(tmp_path) == {}
    (tmp_path / "recipe.yaml").write_text("seed: 1\n")
    assert run_details(tmp_path) == {"Recipe": "seed: 1\n"}


def test_a_missing_jinja_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtraError) as caught:
        write_page(tmp_path / "x.html", "t", [])
    assert "intertwine[train]" in caught.value.fix
    assert not (tmp_path / "x.html").exists()


def test_an_evaluation_reads_back(tmp_path):
    rows = (EvaluationRow("dev_300K", "force_rmse", 55.0, "meV/Å", 68),)
    arrays = {"dev_300K/forces": np.arange(6.0).reshape(2, 3), "dev_300K/numbers": np.array([1, 6])}
    first = Evaluation(rows, {"zero": {"dev_300K": {"force_rmse": 986.0}}}, {}, arrays)
    first.write(tmp_path)
    read = Evaluation.read(tmp_path)
    assert (read.rows, read.baselines, read.paper) == (first.rows, first.baselines, {})
    np.testing.assert_array_equal(read.array("dev_300K", "forces"), arrays["dev_300K/forces"])
    assert read.array("dev_300K", "energy") is None
    assert read.row("dev_300K", "force_rmse") == rows[0]
    assert read.row("dev_600K", "force_rmse") is None
    (tmp_path / "evaluation.npz").write_bytes(b"damaged")
    with pytest.raises(DataError):
        Evaluation.read(tmp_path)


@pytest.mark.parametrize("content", ["{}", "[]", '{"rows": [{"set": "a"}]}', '{"rows": 3}'])
def test_a_damaged_evaluation_says_how_to_write_it_again(tmp_path, content):
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(DataError) as caught:
        Evaluation.read(tmp_path)
    assert "intertwine evaluate" in caught.value.fix


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node to parse the page's script")
def test_the_script_of_the_page_is_valid(page, tmp_path):
    script = next(s for s in Reader(page).scripts if "Plotly.newPlot(plot" in s and len(s) < 5000)
    (tmp_path / "page.js").write_text(script)
    subprocess.run(["node", "--check", tmp_path / "page.js"], check=True)
