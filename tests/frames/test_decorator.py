"""Plain functions averaged over frames: the golden numbers, the law, a function that has none, what is kept of it."""

import copy
import inspect

import pytest
import torch

from intertwine.errors import ConfigError, ShapeError
from intertwine.frames import FrameAverage, PCAFrame, frame_averaged
from intertwine.symmetry import equivariance_error

DOUBLE = torch.float64


def bent(x):
    """Bend the points."""
    matrix = torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.7, -0.4], [-0.6, 0.2, 0.1]], dtype=x.dtype)
    return torch.tanh(x @ matrix + torch.tensor([0.1, -0.2, 0.3], dtype=x.dtype))


def decorated(group="E(3)", output="point", **settings):
    return frame_averaged(PCAFrame(group), inputs={"x": "point"}, output=output, **settings)(bent)


def test_golden_numbers(golden):
    """Item 3 of section 7 of the specification."""
    found = decorated()(golden.unsqueeze(0))[0]
    rows = torch.tensor([[-0.47500491, -0.18706010, -0.07209055], [-0.33961278, -0.13461532, 0.03993002]], dtype=DOUBLE)
    torch.testing.assert_close(found[[0, 5]], rows, rtol=0, atol=5e-9)
    assert found.sum().item() == pytest.approx(-0.27364681, abs=5e-9)
    proper = decorated("SE(3)")(x=golden.unsqueeze(0))[0]
    assert proper.sum().item() == pytest.approx(-0.27321719, abs=5e-9)


def test_the_law_holds_for_the_average_and_not_for_the_function(rng):
    points = torch.randn(3, 6, 3, generator=rng, dtype=DOUBLE)
    average = decorated()
    assert equivariance_error(average, {"x": points}, rng=rng).worst.relative < 1e-12
    assert equivariance_error(bent, {"x": points}, symmetry=average.symmetry, rng=rng).worst.relative > 1e-2


def test_it_is_the_wrapper_under_the_name_of_the_function(rng):
    average = decorated(mode="stochastic", samples=2)
    assert isinstance(average, FrameAverage)
    assert (average.__name__, average.__doc__, average.samples) == ("bent", "Bend the points.", 2)
    assert list(inspect.signature(average).parameters) == ["x"]
    points = torch.randn(2, 6, 3, generator=rng, dtype=DOUBLE)
    whole = decorated()
    torch.testing.assert_close(
        whole(points), FrameAverage(bent, PCAFrame("E(3)"), inputs={"x": "point"}, output="point")(points)
    )
    assert torch.equal(copy.deepcopy(whole)(points), whole(points))


def test_several_outputs_and_arguments_without_a_kind(rng):
    @frame_averaged(PCAFrame("O(3)"), inputs={"x": "vector"}, output={"length": "scalar", "pull": "vector"})
    def parts(x, factor):
        return {"length": factor * bent(x).norm(dim=-1), "pull": factor * bent(x)}

    points = torch.randn(2, 6, 3, generator=rng, dtype=DOUBLE)
    once, twice = parts(points, factor=1.0), parts(points, factor=2.0)
    torch.testing.assert_close(twice["length"], 2 * once["length"])
    torch.testing.assert_close(twice["pull"], 2 * once["pull"])


def test_what_is_no_function_is_refused(golden):
    with pytest.raises(ConfigError, match="can be called"):
        frame_averaged(PCAFrame("E(3)"), inputs={"x": "point"}, output="point")(3)
    with pytest.raises(ShapeError):
        decorated()(golden)


def test_weights_of_a_module_are_held_once():
    module = torch.nn.Linear(3, 3)
    average = frame_averaged(PCAFrame("E(3)"), inputs={"input": "point"}, output="point")(module)
    assert average.__wrapped__ is module
    assert len(average.state_dict()) == len(module.state_dict())


def test_points_may_be_said_to_be_of_points():
    points = torch.randn(2, 6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    said, meant = (
        FrameAverage(lambda x: x.tanh(), PCAFrame("E(3)"), inputs={"x": kind}, output="point")(x=points)
        for kind in ("point of points", "point")
    )
    assert torch.equal(said, meant)
