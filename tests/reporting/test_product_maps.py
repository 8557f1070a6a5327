"""Pictures of what products do: values on the sphere, couplings and crosses, and the entries of the Fourier tables."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError, DataError
from intertwine.products.gaunt.torus import count_nonzeros, fourier_to_harmonics, harmonics_to_fourier
from intertwine.reporting.product_maps import draw_products, product_sections
from intertwine.reporting.product_plots import coupling_map, fourier_sparsity, functions_on_sphere


def values(array):
    return np.asarray(array, float)


def of_type(figure, kind):
    return [trace for trace in figure.data if trace.type == kind]


@pytest.fixture(scope="module")
def sections():
    return product_sections(lmax=2, seed=1)


# --- functions on the sphere ---------------------------------------------------------------------------------


def test_a_sphere_is_drawn_with_the_axis_y_upwards_and_coloured_by_relative_values():
    points = np.array([[[1.0, 0, 0], [0, 1, 0], [0, 0, 1]], [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]])
    figure = functions_on_sphere(points, {"height": points[..., 1] * 4, "zero": 0 * points[..., 0]})
    height, zero = of_type(figure, "surface")
    np.testing.assert_allclose(values(height.z), points[..., 1])
    np.testing.assert_allclose(np.cross([1, 0, 0], [0, 1, 0]), [0, 0, 1])
    np.testing.assert_allclose(values(height.x), points[..., 2])
    np.testing.assert_allclose(values(height.y), points[..., 0])
    np.testing.assert_allclose(values(height.surfacecolor), points[..., 1])
    np.testing.assert_allclose(values(height.customdata), 4 * points[..., 1])
    assert not values(zero.surfacecolor).any()
    assert (height.cmin, height.cmax) == (-1, 1)
    assert "largest |value| 4" in figure.layout.annotations[0].text
    labels = {trace.text[1]: (trace.x[1], trace.y[1], trace.z[1]) for trace in of_type(figure, "scatter3d")}
    assert {name: np.argmax(end) for name, end in labels.items()} == {"z": 0, "x": 1, "y": 2}


def test_the_third_sphere_is_the_first_times_the_second_and_the_fourth_the_curl_of_both(sections):
    """The curl product by differences along the sphere, which share no code with it."""
    figure = sections[0].pictures[0].figure
    f, g, product, curl = (values(trace.customdata) for trace in of_type(figure, "surface"))
    np.testing.assert_allclose(product, f * g, atol=1e-6 * np.abs(product).max())
    assert np.abs(f).max() > 0.5
    first = of_type(figure, "surface")[0]
    beta = np.arccos(np.clip(values(first.z)[:, :1], -1, 1))
    rings, angles = f.shape
    step = np.pi / (rings - 1), 2 * np.pi / (angles - 1)
    (f_beta, f_alpha), (g_beta, g_alpha) = (np.gradient(field, *step, edge_order=2) for field in (f, g))
    inner = slice(6, -6), slice(2, -2)  # away from the poles and from the ends of the differences
    expected = (f_beta * g_alpha - f_alpha * g_beta)[inner] / np.sin(beta[6:-6])
    assert np.abs(expected - curl[inner]).max() < 0.02 * np.abs(curl).max()
    assert np.abs(curl).max() > 0.5


def test_the_caption_states_the_difference_that_was_measured(sections):
    text = sections[0].pictures[0].caption
    assert "seed 1" in text
    assert float(text.partition("at most ")[2].split()[0]) < 1e-13


# --- couplings -----------------------------------------------------------------------------------------------


def test_couplings_lie_at_their_degrees_and_missing_ones_are_crossed():
    allowed = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, 1), (1, 1, 2)]
    own = {(1, 1, 2): 4.0, (0, 1, 1): 1.0}
    figure = coupling_map({"some": own, "all": dict.fromkeys(allowed, 2.0)}, {"some": allowed, "all": allowed})
    some, whole = of_type(figure, "heatmap")
    cells = values(some.z)
    pairs = list(figure.layout.yaxis.ticktext)
    assert pairs == ["0, 0", "0, 1", "1, 0", "1, 1"]
    assert cells[3, 2] == 1
    assert cells[1, 1] == 0.25
    assert np.isfinite(cells).sum() == 2
    assert some.text[3][2] == "1, 1 → 2"
    np.testing.assert_array_equal(np.nan_to_num(values(whole.z)).sum(), 6)
    crosses, none, legend = of_type(figure, "scatter")
    assert {(pairs[y], x) for x, y in zip(crosses.x, crosses.y, strict=True)} == {
        ("0, 0", 0), ("1, 0", 1), ("1, 1", 0), ("1, 1", 1),
    }  # fmt: skip
    assert len(none.x) == 0
    assert "not expressed" in legend.name
    titles = [note.text for note in figure.layout.annotations]
    assert titles == ["some: 2 of 6", "all: 6 of 6"]
    assert "l3" in figure.layout.xaxis.title.text
    assert "l1, l2" in figure.layout.yaxis.title.text
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first pair on top


def test_the_maps_of_products_are_the_rules_of_their_couplings(sections):
    """Even sums, odd sums, all, and all but scalar with scalar: counted by rule, not by product."""
    figure = sections[1].pictures[0].figure
    panels = {trace.name: np.isfinite(values(trace.z)) for trace in of_type(figure, "heatmap")}
    pairs = [(a, b) for a in range(3) for b in range(3)]
    rules = {
        "clebsch_gordan_dense": lambda a, b, c: True,
        "gaunt_grid": lambda a, b, c: (a + b + c) % 2 == 0,
        "gaunt_curl": lambda a, b, c: (a + b + c) % 2 == 1,
        "gaunt_complete": lambda a, b, c: True,
        "matrix_parity": lambda a, b, c: True,
        "vector_spherical": lambda a, b, c: (a, b, c) != (0, 0, 0),
    }
    assert list(panels) == list(rules)
    for name, keeps in rules.items():
        expected = [[abs(a - b) <= c <= a + b and keeps(a, b, c) for c in range(5)] for a, b in pairs]
        np.testing.assert_array_equal(panels[name], expected, err_msg=name)
    crosses = of_type(figure, "scatter")
    assert [len(trace.x) for trace in crosses[:-1]] == [0, 5, 14, 0, 0, 1]


def test_a_product_without_parity_is_drawn_as_well_and_its_accidental_zeros_are_crossed():
    (_, section, _) = product_sections(lmax=6, products=["mtp"])
    crosses = of_type(section.pictures[0].figure, "scatter")[0]
    pairs = [(a, b) for a in range(7) for b in range(7)]
    found = {tuple(sorted((*pairs[y], x))) for x, y in zip(crosses.x, crosses.y, strict=True)}
    assert found == {(3, 5, 6)}
    assert len(crosses.x) == 6


# --- Fourier tables ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lmax", [1, 3])
def test_drawn_entries_are_those_of_the_tables(lmax):
    forth, back = harmonics_to_fourier(lmax).numpy(), fourier_to_harmonics(lmax, 2 * lmax).numpy()
    figure = fourier_sparsity({"forth": forth, "back": back})
    panels = of_type(figure, "heatmap")
    for trace, table, bandwidth in zip(panels, (forth, back), (lmax, 2 * lmax), strict=True):
        kind = values(trace.z).reshape(-1, 2 * lmax + 1, 2 * bandwidth + 1).transpose(0, 2, 1)
        kept = table[:, :, bandwidth - lmax : bandwidth + lmax + 1]
        np.testing.assert_array_equal(kind == 0, np.abs(kept.real) > 1e-10)
        np.testing.assert_array_equal(kind == 1, np.abs(kept.imag) > 1e-10)
        assert not np.abs(table).sum() > np.abs(kept).sum() + 1e-9  # nothing is left out
    count = count_nonzeros(lmax)
    share = 100 * count / forth.size
    assert figure.layout.annotations[0].text == f"forth: {count} of {forth.size} entries ({share:.2g} %)"
    assert {1: 11, 3: 86}[lmax] == count
    hover = panels[0].text[1 * 1 + 1 + 1]  # l = 1, m = 1
    assert sum(bool(text) for text in hover) == np.count_nonzero(np.abs(forth[3]) > 1e-10)
    assert any(text.startswith("l = 1, m = 1; u = ") for text in hover)


def test_rounding_is_no_entry():
    table = torch.zeros(1, 3, 3, dtype=torch.complex128)
    table[0, 1, 1], table[0, 0, 1] = 2, 1e-14
    figure = fourier_sparsity({"one": table.numpy()})
    assert "1 of 9 entries" in figure.layout.annotations[0].text
    assert np.isfinite(values(figure.data[0].z)).sum() == 1


# --- pages and files -----------------------------------------------------------------------------------------


def test_a_page_stands_alone(tmp_path):
    (path,) = draw_products(tmp_path / "what.html", lmax=1)
    text = path.read_text()
    for part in (
        "Functions on the sphere",
        "Which degrees couple",
        "Sparsity of the Fourier tables",
        "outputs up to 2",
    ):
        assert part in text
    assert 'src="http' not in text


def test_static_pictures_are_one_file_each(tmp_path, monkeypatch):
    import plotly.graph_objects

    def write_image(figure, path, width, height, scale):
        path.write_text(f"{height} {json.loads(figure.to_json())['data'][0]['type']}")

    monkeypatch.setattr(plotly.graph_objects.Figure, "write_image", write_image)
    paths = draw_products(tmp_path / "out" / "what.svg", lmax=3)
    assert [path.name for path in paths] == ["what-sphere.svg", "what-couplings.svg", "what-fourier.svg"]
    assert paths[0].read_text() == "480 surface"
    height, kind = paths[1].read_text().split()
    assert int(height) > 480  # what is tall is not squeezed
    assert kind == "heatmap"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [({"lmax": 0}, ConfigError), ({"lmax": 7}, ConfigError), ({"products": ["so2"]}, ConfigError)],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, arguments, error):
    with pytest.raises(error):
        draw_products(tmp_path / "what.html", **arguments)
    with pytest.raises(DataError):
        draw_products(tmp_path / "what.gif")
    assert list(tmp_path.iterdir()) == []


def test_importing_the_pictures_imports_nothing_heavy():
    code = (
        "import sys, intertwine.reporting.product_maps\n"
        "sys.exit(', '.join(sorted({'plotly', 'jinja2', 'torch'} & set(sys.modules))) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
