"""The stability report of frames, as numbers, and as users see it."""

import json
import math

import numpy as np
import pytest
import torch

from intertwine.cli.main import main
from intertwine.errors import NumericsError, ShapeError
from intertwine.frames import PCAFrame, measure_stability
from intertwine.groups import O


def ellipsoids(*squares, n=400):
    """Clouds whose covariances have exactly these eigenvalues, turned at random."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(len(squares), n, 3, generator=rng, dtype=torch.float64)
    points = points - points.mean(1, keepdim=True)
    whitened = points @ torch.linalg.inv(torch.linalg.cholesky(points.mT @ points)).mT
    turned = O(3).sample(len(squares), rng=rng, dtype=torch.float64)
    return whitened * torch.tensor(squares, dtype=torch.float64).sqrt().unsqueeze(1) @ turned.mT


def measure(points, **options):
    settings = {"frame": PCAFrame("E(3)", degenerate="ignore"), "rng": torch.Generator().manual_seed(1)} | options
    return measure_stability(points, **settings)


def test_gaps_are_those_of_the_eigenvalues():
    found = measure(ellipsoids((1.0, 2, 4), (1.0, 1, 4), (1.0, 3.99, 4)))
    assert found.gap.tolist() == pytest.approx([0.25, 0.0, 0.0025], abs=1e-10)
    assert found.valid.tolist() == [True, False, True]
    assert found.rank.tolist() == [3, 3, 3]


def test_axes_turn_as_noise_over_gap():
    """First order perturbation: a turn in the plane of two axes is normal, with a standard deviation that is known."""
    values, n, share = (1.0, 2.0, 16.0), 400, 0.01
    found = measure(ellipsoids(values, n=n), noise=(share,), draws=4000)
    scale = share * math.sqrt(sum(values) / n)
    pairs = [(values[0], values[1]), (values[0], values[2]), (values[1], values[2])]
    spreads = [scale * math.sqrt(a + b) / (b - a) for a, b in pairs]
    rng = np.random.default_rng(0)
    turns = [rng.normal(0, spread, 20000) for spread in spreads]
    each = [np.hypot(turns[0], turns[1]), np.hypot(turns[0], turns[2]), np.hypot(turns[1], turns[2])]
    expected = np.degrees(np.median(np.max(each, axis=0)))
    assert found.turn[0, 0].item() == pytest.approx(expected, rel=0.05)


def test_nearly_round_clouds_switch_and_long_ones_do_not():
    found = measure(ellipsoids((1.0, 2, 4), (1.0, 1.001, 4)), noise=(0.001, 0.1), draws=64)
    assert found.switching[0].tolist() == [0, 0]
    assert found.switching[1, 1] > 0.3
    assert found.switching[1, 0] < found.switching[1, 1]


def test_signs_of_axes_without_coordinates_do_not_count():
    flat = ellipsoids((1.0, 2, 4)) * 0
    flat[..., :2] = ellipsoids((1.0, 2, 4))[..., :2]
    line = torch.linspace(0, 1, 400).double()[None, :, None] * torch.ones(3).double()
    found = measure(torch.cat([flat, line]))
    assert found.elements.tolist() == [4, 2]
    assert found.rank.tolist() == [2, 1]
    assert found.gap[1].item() == pytest.approx(1)
    proper = measure(flat, frame=PCAFrame("SE(3)", degenerate="ignore"))
    assert proper.elements.tolist() == [4]


def test_masked_points_do_not_count():
    points = ellipsoids((1.0, 2, 4))
    more = torch.cat([points, torch.full((1, 50, 3), 1e3, dtype=torch.float64)], dim=1)
    mask = torch.arange(450)[None] < 400
    assert measure(more, mask=mask).gap.tolist() == pytest.approx(measure(points).gap.tolist())


def test_refuses_what_it_cannot_measure():
    with pytest.raises(ShapeError):
        measure(ellipsoids((1.0, 2, 4)), draws=0)
    with pytest.raises(NumericsError):
        measure(torch.full((1, 4, 3), torch.nan))


# --- the command -----------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    np.savez(tmp_path / "long.npz", points=ellipsoids((1.0, 2, 4))[0].numpy())
    rows = ellipsoids((1.0, 1.0001, 4))[0].numpy()
    np.savetxt(tmp_path / "round.csv", rows, delimiter=",", header="x,y,z", comments="")
    return [str(tmp_path / "long.npz"), str(tmp_path / "round.csv")]


def test_the_command_shows_the_least_stable_first(files, capsys):
    assert main(["frames", *files]) == 0
    out = capsys.readouterr().out
    assert out.index("round.csv") < out.index("long.npz")
    assert "1 of 2 have eigenvalues closer than 0.05" in out


def test_the_command_takes_all_clouds_of_a_file(tmp_path, capsys):
    shapes = [ellipsoids((1.0, 2, 4))[0].numpy(), ellipsoids((1.0, 1.0001, 4))[0].numpy()]
    np.savez(tmp_path / "many.npz", points=np.stack(shapes))
    assert main(["frames", str(tmp_path / "many.npz")]) == 0
    out = capsys.readouterr().out
    assert out.index("many.npz[1]") < out.index("many.npz[0]")
    assert "1 of 2 have eigenvalues closer than 0.05" in out


def test_the_command_writes_numbers_and_a_page(files, tmp_path, capsys):
    assert main(["frames", *files, "--output", str(tmp_path / "all.json")]) == 0
    clouds = json.loads((tmp_path / "all.json").read_text())["clouds"]
    assert [cloud["valid"] for cloud in clouds] == [True, False]
    assert clouds[0]["gap"] == pytest.approx(0.25, abs=1e-9)
    assert main(["frames", *files, "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "round.csv" in page
    assert "plotly" in page


def test_the_command_refuses_in_words(files, tmp_path, capsys):
    assert main(["frames", str(tmp_path / "none.ply")]) == 1
    assert "none.ply" in capsys.readouterr().err
    assert main(["frames", *files, "--output", "report.pdf"]) == 2
    assert ".html or .json" in capsys.readouterr().err
    assert main(["frames", *files, "--group", "S_4"]) == 2
    assert "E(d)" in capsys.readouterr().err
