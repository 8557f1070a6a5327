"""Pictures of product benchmarks: slopes, what is divided by what, the roof, and files."""

import json
import subprocess
import sys

import numpy as np
import pytest

from intertwine.errors import DataError, MissingExtraError
from intertwine.products.survey.bench_table import BenchRow
from intertwine.reporting.products import (
    bench_sections,
    draw_bench,
    fit_slope,
    group_rows,
    roofline,
    time_against_degree,
)

LIMITS = {"peak_flops_s": 1e11, "bandwidth_bytes_s": 1e10}


def row(lmax, product="gaunt_grid", time=1e-3, freedom=None, **more):
    fields = {
        "lmax": lmax, "setting": "MIMO", "product": product, "backend": "eager", "channels": 2, "batch": 100,
        "dtype": "float32", "device": "cpu", "time_s": time, "flops": 1000 * lmax, "bytes": 100,
        "expressivity": freedom or 4 * lmax + 1, "n_interactions": 5, "p10_s": 0.9 * time, "p90_s": 1.2 * time,
        "threads": 1, "torch": "2.13", **LIMITS,
    }  # fmt: skip
    return BenchRow(**(fields | more))


def cubic(lmaxs=(1, 2, 3, 4, 5), **more):
    return [row(lmax, time=1e-4 * lmax**3, **more) for lmax in lmaxs]


def values(array):
    return np.asarray(array, float)


# --- numbers -------------------------------------------------------------------------------------------------


def test_a_power_is_found_and_small_degrees_do_not_bend_it():
    degrees = np.arange(1, 9)
    slope, offset = fit_slope(degrees, 2e-5 * degrees**2.7)
    assert slope == pytest.approx(2.7)
    assert np.exp(offset) == pytest.approx(2e-5)
    times = np.where(degrees < 3, 1.0, degrees**4.0)  # overhead rules degrees 1 and 2
    assert fit_slope(degrees, times)[0] == pytest.approx(4)
    bent = np.array([1.0, 1.0, 9.0, 1.0])  # two degrees from 3 on are too few for a fit of their own
    assert fit_slope([1, 2, 3, 4], bent)[0] == pytest.approx(np.polyfit(np.log([1, 2, 3, 4]), np.log(bent), 1)[0])
    assert fit_slope([1, 2], [1, 4])[0] == pytest.approx(2)
    assert fit_slope([2, 3], [4, 9])[0] == pytest.approx(2)
    assert fit_slope([0, 1], [1, 1]) is None
    assert fit_slope([3, 3], [1, 2]) is None


def test_times_are_drawn_in_milliseconds_with_their_percentiles_and_slope():
    figure = time_against_degree([*cubic(), row(0)])
    curve, fit = figure.data
    assert list(curve.x) == [1, 2, 3, 4, 5]
    np.testing.assert_allclose(values(curve.y), 0.1 * values(curve.x) ** 3)
    np.testing.assert_allclose(values(curve.error_y.array), 0.2 * values(curve.y))
    np.testing.assert_allclose(values(curve.error_y.arrayminus), 0.1 * values(curve.y))
    assert curve.name == "gaunt_grid  L<sup>3.0</sup>"
    assert list(fit.x) == [3, 5]  # the degrees that were fitted
    np.testing.assert_allclose(values(fit.y), [2.7, 12.5])
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    assert list(figure.layout.xaxis.ticktext) == ["1", "2", "3", "4", "5"]


def test_times_are_divided_by_the_degrees_of_freedom():
    figure = time_against_degree(cubic(), per_freedom=True)
    np.testing.assert_allclose(values(figure.data[0].y), [1e2 * n**3 / (4 * n + 1) for n in range(1, 6)])
    assert "µs" in figure.layout.yaxis.title.text
    assert figure.data[0].customdata[2][0] == 13


def test_two_ways_to_one_map_share_a_colour_and_every_product_has_a_name():
    names = ["gaunt_grid_separable", "gaunt_grid", "clebsch_gordan_dense", "of the user"]
    figure = time_against_degree([item for name in names for item in cubic(product=name)])
    drawn = {trace.legendgroup: trace for trace in figure.data if trace.showlegend is not False}
    assert list(drawn) == ["clebsch_gordan_dense", "gaunt_grid", "gaunt_grid_separable", "of the user"]
    grid, separable = drawn["gaunt_grid"], drawn["gaunt_grid_separable"]
    assert grid.line.color == separable.line.color != drawn["clebsch_gordan_dense"].line.color
    assert (grid.line.dash, separable.line.dash) == ("solid", "dash")


def test_the_roof_is_that_of_the_machine_and_points_lie_where_they_were_measured():
    figure = roofline([*cubic(), *cubic(direction="backward")])
    roof, points = figure.data
    x, y = values(roof.x), values(roof.y)
    np.testing.assert_allclose(y, np.minimum(100, 10 * x))
    assert x[1] == 10  # the ridge
    assert x[0] < 10 * 1 < x[2]
    assert roof.name == "10.0 GB/s, 100 GFLOP/s"
    np.testing.assert_allclose(values(points.x), [10, 20, 30, 40, 50])
    np.testing.assert_allclose(values(points.y), [1000 * n * 200 / (1e-4 * n**3) / 1e9 for n in range(1, 6)])
    assert list(points.text) == ["1", "2", "3", "4", "5"]
    bare = roofline([row(2, peak_flops_s=None)])
    assert len(bare.data) == 1


# --- pages and files -----------------------------------------------------------------------------------------


def test_rows_that_cannot_be_compared_are_kept_apart():
    mixed = [*cubic(), *cubic(batch=7), *cubic(direction="backward"), *cubic(dtype="float64"), *cubic(setting="SIMO")]
    assert len(group_rows(mixed)) == 5
    assert [item.lmax for item in group_rows(reversed(cubic())).popitem()[1]] == [1, 2, 3, 4, 5]
    sections = bench_sections(mixed)
    assert [section.title for section in sections[:3]] == [
        "MIMO, forward, eager", "MIMO, forward, eager", "MIMO, forward and backward, eager",
    ]  # fmt: skip
    assert [len(section.figures) for section in sections] == [3, 3, 2, 3, 3]  # no roofline of derivatives


def test_a_section_says_how_it_was_measured_and_what_was_not_steady():
    rows = [*cubic(), *cubic(product="matrix", lmaxs=(1, 2), steady=False)]
    (section,) = bench_sections(rows)
    assert "Batch 100, 2 channels, float32 on cpu" in section.text
    assert "Not steady after the warm-up: matrix at L = 1, matrix at L = 2" in section.text
    (table,) = section.tables
    assert [line[:2] for line in table.rows] == [["gaunt_grid", 3.0], ["matrix", 3.0]]
    assert table.rows[0][2:6] == [5, 21, 5000, pytest.approx(12.5)]
    assert table.rows[1][2:] == [None] * 6
    with pytest.raises(DataError):
        bench_sections([])


def test_a_page_stands_alone(tmp_path):
    (path,) = draw_bench(tmp_path / "bench.html", cubic())
    text = path.read_text()
    assert path.name == "bench.html"
    for part in ("MIMO, forward, eager", "Roofline", "Time for each degree of freedom", "gaunt_grid"):
        assert part in text
    assert 'src="http' not in text


def test_static_pictures_go_through_the_exporter_one_file_each(tmp_path, monkeypatch):
    import plotly.graph_objects

    def write_image(figure, path, **size):
        path.write_text(json.loads(figure.to_json())["layout"]["title"]["text"])

    monkeypatch.setattr(plotly.graph_objects.Figure, "write_image", write_image)
    paths = draw_bench(tmp_path / "out" / "bench.svg", cubic())
    assert [path.name for path in paths] == ["bench-time.svg", "bench-freedom.svg", "bench-roofline.svg"]
    assert paths[0].read_text() == "Time of one call"
    several = draw_bench(tmp_path / "b.png", [*cubic(), *cubic(batch=7)])
    assert [path.name for path in several[::3]] == ["b-1-time.png", "b-2-time.png"]


def test_without_the_exporter_the_error_says_what_works(tmp_path, monkeypatch):
    import plotly.graph_objects

    def write_image(figure, path, **size):
        raise ValueError("Image export requires something")

    monkeypatch.setattr(plotly.graph_objects.Figure, "write_image", write_image)
    with pytest.raises(MissingExtraError) as caught:
        draw_bench(tmp_path / "bench.svg", cubic())
    assert ".html" in caught.value.fix
    with pytest.raises(DataError):
        draw_bench(tmp_path / "bench.gif", cubic())


def test_importing_the_pictures_imports_nothing_heavy():
    code = (
        "import sys, intertwine.reporting.products\n"
        "sys.exit(', '.join(sorted({'plotly', 'jinja2', 'torch'} & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
