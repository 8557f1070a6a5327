import json
import subprocess
import sys

import numpy as np
import pytest

from intertwine.errors import MissingExtraError, ShapeError
from intertwine.reporting import plots
from intertwine.reporting.style import graph_objects


def numbers(values):
    return np.asarray(values, float)


def rng(seed=1):
    return np.random.default_rng(seed)


def test_parity_shows_every_point_and_the_right_errors():
    reference = rng().normal(size=(20, 3))
    predicted = reference + np.array([3.0, -4.0, 0.0])
    figure = plots.parity(reference, predicted, "force", "eV/Å")
    assert figure.layout.title.text == f"RMSE {(25 / 3) ** 0.5:.3g}, MAE {7 / 3:.3g} eV/Å"
    points, line = figure.data
    np.testing.assert_array_equal(numbers(points.x), reference.reshape(-1).astype(np.float32))
    np.testing.assert_array_equal(numbers(points.y), predicted.reshape(-1).astype(np.float32))
    assert list(line.x) == list(line.y) == list(figure.layout.xaxis.range) == list(figure.layout.yaxis.range)


def test_many_points_are_counted_and_none_is_lost():
    reference = rng().normal(size=30_000)
    predicted = reference + 0.1 * rng(2).normal(size=30_000)
    figure = plots.parity(reference, predicted, "force", "eV/Å")
    density = figure.data[0]
    counts = numbers(density.customdata)
    assert counts.sum() == 30_000
    filled = counts > 0
    np.testing.assert_allclose(numbers(density.z)[filled], np.log10(counts[filled]), rtol=1e-6)
    assert np.isnan(numbers(density.z)[~filled]).all()
    # Rows of z belong to y: moving the data along y has to move the mean over the bins along y.
    shifted = plots.parity(reference, reference + 5.0, "force", "eV/Å").data[0]
    weight = numbers(shifted.customdata)
    assert (weight.sum(1) @ numbers(shifted.y) - weight.sum(0) @ numbers(shifted.x)) / 30_000 == pytest.approx(
        5, abs=0.1
    )
    assert len(figure.to_json()) < 250_000


@pytest.mark.parametrize(("x", "y"), [((3,), (4,)), ((0,), (0,)), ((2, 3), (3, 2))])
def test_arrays_that_do_not_fit_are_refused(x, y):
    with pytest.raises(ShapeError) as caught:
        plots.parity(np.zeros(x), np.zeros(y), "force", "eV")
    assert caught.value.got == {"x": x, "y": y}


def test_a_constant_quantity_still_gets_an_axis():
    figure = plots.parity(np.ones(3), np.ones(3), "energy", "eV")
    low, high = figure.layout.xaxis.range
    assert low < 1 < high


def test_errors_are_bars_while_they_are_of_one_size_and_dots_on_a_logarithmic_axis_when_not():
    cases = ["300 K", "600 K"]
    near = plots.error_by_case(cases, {"ours": [55, 98]}, {}, {"MACE": [9, None]}, "force RMSE", "meV/Å")
    assert [trace.type for trace in near.data] == ["bar", "scatter"]
    assert near.layout.yaxis.type != "log"
    far = plots.error_by_case(cases, {"ours": [55, 98]}, {"zero": [986, 1300]}, {"MACE": [9, 22]})
    assert [trace.type for trace in far.data] == ["scatter"] * 3
    assert far.layout.yaxis.type == "log"
    assert [trace.name for trace in far.data] == ["ours", "zero", "MACE (paper)"]
    assert len({trace.marker.color for trace in far.data}) == 3


def test_a_series_of_the_wrong_length_is_refused():
    with pytest.raises(ShapeError) as caught:
        plots.error_by_case(["a", "b"], {"ours": [1, 2]}, {"zero": [1]})
    assert caught.value.got == "1 values"


def test_learning_curves_leave_out_what_was_not_measured():
    x = np.arange(6.0)
    loss = {"training": (x, x + 1), "validation": (x, np.where(x % 2 == 0, x + 2, np.nan))}
    figure = plots.learning_curves({"loss": loss, "force RMSE": {"validation": (x, x + 3)}})
    training, validation, force = figure.data
    assert list(training.x) == list(x)
    assert list(validation.x) == [0, 2, 4]
    assert list(validation.y) == [2, 4, 6]
    assert force.line.color == validation.line.color != training.line.color
    assert [trace.showlegend for trace in figure.data] == [True, True, False]
    assert figure.layout.yaxis.type == figure.layout.yaxis2.type == "log"
    assert figure.layout.yaxis2.domain[0] == pytest.approx(0)
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]


def test_drift_matches_numpy_and_a_known_slope():
    time = np.linspace(0, 3, 50)
    energy = 0.25 * time - 4 + 0.1 * rng().normal(size=50)
    np.testing.assert_allclose(plots.linear_drift(time, energy), np.polyfit(time, energy, 1), rtol=1e-10)
    np.testing.assert_allclose(plots.linear_drift(time, 0.25 * time - 4), (0.25, -4), rtol=1e-12)
    assert plots.linear_drift([1.0], [2.0]) == (0.0, 2.0)


def test_energies_are_per_atom_and_relative_to_the_first_frame():
    time = np.arange(100) / 100
    potential, kinetic = np.cos(time) - 17660, np.sin(time) + 2
    figure = plots.energy_drift(time, potential + kinetic, potential, kinetic, atoms=10)
    traces = {trace.name.split()[0]: trace for trace in figure.data}
    for name, values in (("total", potential + kinetic), ("potential", potential), ("kinetic", kinetic)):
        np.testing.assert_allclose(numbers(traces[name].y), 100 * (values - values[0]), rtol=1e-5, atol=1e-6)
    slope = np.polyfit(time, 100 * (potential + kinetic), 1)[0]
    ends = numbers(traces["drift"].y)
    assert ends[1] - ends[0] == pytest.approx(slope * 0.99, rel=1e-9)


def test_a_long_run_is_thinned():
    time = np.arange(200_000) / 1000
    figure = plots.energy_drift(time, time, time, time, atoms=3)
    assert max(len(trace.x) for trace in figure.data) <= 2500


def test_errors_by_element_are_densities_with_their_own_rmse():
    z = np.repeat([1, 8], 500)
    errors = rng().normal(size=(1000, 3)) * np.where(z == 1, 1.0, 3.0)[:, None]
    figure = plots.element_errors(z, errors, "meV/Å", bins=30)
    for trace, kind in zip(figure.data, (1, 8), strict=True):
        own = errors[z == kind]
        symbol, rmse = trace.name.split()
        assert symbol == {1: "H", 8: "O"}[kind]
        assert float(rmse) == pytest.approx(np.sqrt(np.mean(own**2)), rel=5e-3)
        x = numbers(trace.x)
        inside = np.mean(np.abs(own) <= x[-1] + (x[1] - x[0]) / 2)
        assert np.nansum(numbers(trace.y)) * (x[1] - x[0]) == pytest.approx(inside, rel=1e-4)
    with pytest.raises(ShapeError):
        plots.element_errors(z, errors[1:], "meV/Å")


def test_figures_survive_json_and_both_grounds():
    figure = plots.parity(np.arange(5.0), np.arange(5.0), "energy", "eV")
    layout = json.loads(figure.to_json())["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"


def test_a_missing_plotly_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(MissingExtraError) as caught:
        graph_objects()
    assert "intertwine[train]" in caught.value.fix


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, intertwine.reporting, intertwine.reporting.plots, intertwine.reporting.molecule, "
        "intertwine.reporting.tables\n"
        "heavy = {'plotly', 'jinja2', 'ase', 'torch', 'scipy', 'lightning'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
