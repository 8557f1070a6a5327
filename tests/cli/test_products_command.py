"""``intertwine products``: what each action prints and writes, and its exit status."""

import json

import pytest

from intertwine.products.survey.bench_table import read_bench
from intertwine.products.survey.registry import list_products, make_product

QUICK = ("--batch", 20, "--repetitions", 5, "--seconds", 0.2)
TWO = ("--products", "clebsch_gordan_sparse", "gaunt_grid")


def lines_of(out):
    return {line.split()[0]: line for line in out.splitlines() if line.strip()}


def test_list_names_every_product_or_tells_about_one(call):
    status, out, err = call("products", "list")
    assert (status, err) == (0, "")
    rows = lines_of(out)
    assert {entry.name for entry in list_products()} <= set(rows)
    assert "even, tied" in rows["gaunt_grid"]
    assert "all, free" in rows["clebsch_gordan_dense"]
    assert "SO(3) only" in rows["matrix"]
    out = call("products", "list", "--kind", "many_body")[1]
    assert "gaunt_many_body" in out
    assert "gaunt_grid" not in out
    status, out, _ = call("products", "list", "gtp")
    assert status == 0
    assert "intertwine.products.gaunt.grid.GauntGrid" in out
    assert "cross product of two vectors" in out
    assert "also called gtp, gtp_grid, gaunt" in out


def test_compare_shows_counts_and_what_is_lost(call):
    status, out, _ = call("products", "compare", "--lmax", 3, "--skip_time")
    assert status == 0
    rows = lines_of(out)
    assert rows["clebsch_gordan_dense"].split()[1:4] == ["44/44", "44/44", "14368"]
    assert rows["gaunt_grid"].split()[1:3] == ["30/44", "13/44"]
    assert rows["gaunt_curl"].split()[1:3] == ["14/44", "9/44"]
    assert rows["gaunt_complete"].split()[1:3] == ["44/44", "18/44"]
    assert rows["matrix"].split()[1:3] == ["44/44", "13/44"]
    assert "gaunt_fourier_fft: without 1o x 1o -> 1e and 13 more, strengths tied" in " ".join(out.split())
    assert "matrix: without parity, strengths tied" in out
    assert " ms " not in out
    assert "low_rank" not in rows


def test_compare_measures_time_and_time_for_each_degree_of_freedom(call):
    status, out, _ = call("products", "compare", "--lmax", 1, "--outputs", "natural", *TWO, *QUICK)
    assert status == 0
    for name in TWO[1:]:
        *_, flops, count, milliseconds, share = lines_of(out)[name].split()
        assert int(flops) > 0
        assert int(count) > 0
        assert float(share) == pytest.approx(1e3 * float(milliseconds) / 5, rel=0.02)
    assert "20 samples, 1 channel, float32" in " ".join(out.split())


def test_compare_takes_irreps_of_ones_own(call):
    status, out, _ = call(
        "products", "compare", "--in1", "0e + 1o + 1e", "--in2", "1o", "--out", "1e + 2o", "--skip_time"
    )
    assert status == 0
    rows = lines_of(out)
    assert rows["clebsch_gordan_dense"].split()[1:3] == ["2/2", "2/2"]
    assert rows["gaunt_grid"].split()[1:3] == ["0/2", "0/2"]
    assert "gaunt_complete: nothing here (takes the coefficients of one function on the sphere)" in " ".join(
        out.split()
    )
    assert "1x0e + 1x1o + 1x1e with 1x1o into 1x1e + 1x2o" in out


def test_compare_tells_how_far_an_approximate_product_is_off(call):
    out = call("products", "compare", "--lmax", 2, "--products", "low_rank", "--skip_time")[1]
    error = make_product("low_rank", "0e + 1o + 2e", "0e + 1o + 2e").error
    assert 0 < error < 0.1
    assert f"approximate, relative error {error:.2g}" in out


def test_compare_says_that_there_is_no_path_and_times_nothing(call):
    status, out, _ = call("products", "compare", "--setting", "SISO", "--lmax", 3, "--outputs", "natural", *QUICK)
    assert status == 0
    assert out == "SISO with L = 3: no allowed path, expressivity 0; nothing is timed\n"


def test_explain_answers_by_words_and_by_status(call):
    status, out, _ = call("products", "explain", "2o x 2o -> 1e", "--product", "gaunt_grid")
    assert status == 1
    assert "impossible, l1 + l2 + l3 = 2 + 2 + 1 = 5 is odd" in out
    assert "clebsch_gordan_dense, gaunt_curl, gaunt_complete, matrix_parity" in out
    status, out, _ = call("products", "explain", "1o x 1o -> 1e", "--product", "gaunt_curl")
    assert status == 0
    assert "possible with constant 1.19682" in out
    status, out, _ = call("products", "explain", "1o x 1o -> 1e")
    assert status == 0
    rows = lines_of(out)
    assert " impossible " in rows["gaunt_fourier"]
    assert rows["clebsch_gordan_sparse"].split()[1:3] == ["possible", "1.73205"]
    assert rows["so2"].split()[1] == "possible"
    assert "approximately" in rows["low_rank"]
    status, out, _ = call("products", "explain", "1o x 1o -> 1o")
    assert status == 1
    assert out == "1o x 1o -> 1o: impossible, the product of 1o and 1o contains only 0e, 1e, 2e, whatever computes it\n"


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_bench_writes_a_table_that_plot_draws(call, tmp_path, suffix):
    table = tmp_path / f"bench.{suffix}"
    words = ("--lmax", "1:2", "--settings", "MIMO", "SISO", *TWO, *QUICK, "--output", table)
    status, out, err = call("products", "bench", *words)
    assert (status, err) == (0, "")
    rows = read_bench(table)
    assert [(row.setting, row.lmax, row.product) for row in rows] == [
        (setting, lmax, product) for setting, lmax in (("MIMO", 1), ("MIMO", 2), ("SISO", 2)) for product in TWO[1:]
    ]
    assert all(row.peak_flops_s and row.bandwidth_bytes_s for row in rows)
    assert "SISO with L = 1: no allowed path" in out
    assert "6 rows written" in out
    if suffix == "json":
        assert json.loads(table.read_text())[0]["product"] == "clebsch_gordan_sparse"
        return
    status, out, _ = call("products", "plot", table)
    assert status == 0
    page = (tmp_path / "bench.html").read_text()
    assert "Roofline" in page
    assert "gaunt_grid" in page
    assert str(tmp_path / "bench.html") in out


def test_bench_of_nothing_has_status_1_and_keeps_an_old_file(call, tmp_path):
    old = tmp_path / "bench.csv"
    old.write_text("precious")
    status, out, _ = call("products", "bench", "--lmax", 1, "--settings", "SISO", "--output", old, *TWO, *QUICK)
    assert status == 1
    assert "nothing is timed" in out
    assert f"{old} is not written" in out
    assert old.read_text() == "precious"


def test_check_shows_a_verdict_for_each_product_and_writes_every_number(call, tmp_path):
    table = tmp_path / "checks.json"
    names = ("gaunt_fourier", "matrix", "channelwise")
    status, out, err = call("products", "check", "--lmax", 2, "--products", *names, "--trials", 2, "--output", table)
    assert (status, err) == (0, "")
    rows = lines_of(out)
    assert " ".join(rows["product"].split()) == "product law f32 law f64 ref f32 ref f64 paths rank"
    *errors, paths, rank, verdict = rows["gaunt_fourier"].split()[1:]
    assert (paths, rank, verdict) == ("14", "9", "pass")
    assert [1e-9 < float(error) < 5e-6 for error in errors] == [True, False, True, False]
    assert rows["channelwise"].split()[-1] == "pass"
    assert len(rows["channelwise"].split()) == 4  # neither reference nor counts
    assert "matrix: of SO(3) only" in out
    written = json.loads(table.read_text())
    assert f"3 products, all {len(written)} checks passed" in out
    assert {(row["product"], row["check"]) for row in written if row["relation"] == ">="} == {("matrix", "reflections")}
    assert all(row["passed"] for row in written)


def test_check_fits_into_80_columns(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = call("products", "check", "--lmax", 1, "--products", "clebsch_gordan_sparse", "--trials", 1)[1]
    line = lines_of(out)["clebsch_gordan_sparse"]
    assert len(line.split()) == 8
    assert line.split()[-1] == "pass"


def test_check_of_a_broken_product_has_status_1_and_says_what_is_wrong(call, monkeypatch):
    from intertwine.products.gaunt.grid import GauntGrid

    forward = GauntGrid.forward
    monkeypatch.setattr(GauntGrid, "forward", lambda self, x, y: forward(self, x, y).flip(-1))
    words = ("--lmax", 1, "--products", "gaunt_grid", "clebsch_gordan_dense", "--dtypes", "float64", "--trials", 2)
    status, out, _ = call("products", "check", *words)
    assert status == 1
    rows = lines_of(out)
    assert rows["gaunt_grid"].split()[-1] == "FAIL"
    assert rows["clebsch_gordan_dense"].split()[-1] == "pass"
    assert "gaunt_grid: reference in float64 against gaunt_dense: " in out
    assert "expected at most 1e-12" in out
    assert " failed" in out.splitlines()[-1]
    assert "f32" not in out


def test_plot_without_a_file_draws_what_products_do(call, tmp_path):
    page = tmp_path / "what.html"
    status, out, err = call("products", "plot", "--lmax", 1, "--products", "gtp", "--output", page)
    assert (status, err) == (0, "")
    assert str(page) in out
    text = page.read_text()
    assert "all degrees up to L = 1" in text
    assert "gaunt_grid: 5 of 6" in text
    assert "clebsch_gordan_dense" not in text


@pytest.mark.parametrize("action", ["list", "compare", "explain", "check", "bench", "plot"])
def test_every_action_has_help(call, action):
    status, out, err = call("products", action, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: intertwine products {action}")


def test_help_names_the_actions(call):
    status, out, _ = call("products", "--help")
    assert status == 0
    assert "list,compare,explain,check,bench,plot" in out
    assert "  products " in call("--help")[1]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "required"),
        (("lits",), "did you mean `list`?"),
        (("list", "gaunt_gird"), "did you mean `gaunt_grid`?"),
        (("list", "--kind", "produkt"), "did you mean `product`?"),
        (("explain", "1o x 1o"), "2o x 2o -> 1e"),
        (("explain", "1o x 1o -> 1e", "--product", "gaunt_crul"), "did you mean `gaunt_curl`?"),
        (("compare", "--setting", "MUMO"), "SISO, SIMO, MIMO"),
        (("compare", "--products", "gaunt_gird"), "did you mean `gaunt_grid`?"),
        (("compare", "--direction", "backwards"), "did you mean `backward`?"),
        (("compare", "--batch", "0"), ">= 1"),
        (("compare", "--threads", "0"), "--threads 0"),
        (("compare", "--device", "cdua"), "did you mean `cuda`?"),
        (("compare", "--in1", "2x1o"), "leading axes"),
        (("compare", "--in2", "1o"), "--in1"),
        (("compare", "--in1", "1o", "--lmax", "3"), "--in1 with --lmax"),
        (("compare", "--in1", "1o", "--out", "3e"), "0e + 1x1e + 1x2e"),
        (("check", "--products", "gaunt_gird"), "did you mean `gaunt_grid`?"),
        (("check", "--lmax", "7"), "lmax from 1 to 6"),
        (("check", "--dtypes", "bfloat16"), "float32, float64"),
        (("plot", "--products", "so2"), "build it by its class"),
        (("plot", "--lmax", "0"), "1 to 6"),
        (("plot", "bench.csv", "--seed", "1"), "bench.csv with --seed"),
        (("bench", "--lmax", "3:1"), "the smaller first"),
        (("bench", "--lmax", "1:x"), "1:6"),
        (("bench", "--dtype", "float23"), "did you mean `float32`?"),
        (("bench", "--backends", "compile"), "did you mean `compiled`?"),
    ],
)
def test_wrong_usage_has_status_2_and_a_sentence(call, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    status, _, err = call("products", *words)
    assert status == 2
    assert part in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("bench", "--output", "bench.xlsx"), ".csv or .json"),
        (("check", "--output", "checks.txt"), ".csv or .json"),
        (("plot", "--output", "what.gif"), ".html, .svg"),
        (("plot", "none.csv"), "there is no such file"),
        (("plot", "bench.csv", "--output", "bench.gif"), ".html, .svg"),
    ],
)
def test_files_that_cannot_be_have_status_1_and_a_sentence(call, tmp_path, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bench.csv").write_text(
        "lmax,setting,product,backend,channels,batch,dtype,device,time_s,flops,bytes,expressivity,n_interactions\n"
        "1,MIMO,gaunt_grid,eager,1,10,float32,cpu,0.5,10,20,5,5\n"
    )
    status, _, err = call("products", *words)
    assert status == 1
    assert part in err
    assert "Traceback" not in err
