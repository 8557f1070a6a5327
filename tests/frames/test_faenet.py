"""FAENet's framings and frames of a plane: their elements, their laws, and the baseline that has none."""

import pytest
import torch

from intertwine.errors import ConfigError, NumericsError, ShapeError, SymmetryError
from intertwine.frames import FrameAverage, PCAFrame, PlanarFrame, WeightedFrame, faenet_framing
from intertwine.groups import SE, E, Embedded, O, T
from intertwine.symmetry import equivariance_error

MODES = ["all", "stochastic", "det", "se3-all", "se3-stochastic", "se3-det"]


def cloud(rng, batch=3, n=6):
    return torch.randn(batch, n, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0])


class Uneven(torch.nn.Module):
    def forward(self, x):
        weight = torch.tensor([[1.0, 0.5, 0.2], [0.3, -1.0, 0.8], [0.1, 0.4, -0.6]], dtype=x.dtype)
        return torch.tanh(x @ weight + 0.2).cumsum(-2)


def average(framing, **kwargs):
    return FrameAverage(Uneven(), **framing, inputs={"x": "point"}, output="point", **kwargs)


@pytest.mark.parametrize(
    ("mode", "planar", "count", "determinants"),
    [
        ("all", False, 8, {1, -1}),
        ("se3-all", False, 4, {1}),
        ("det", False, 1, None),
        ("se3-det", False, 1, {1}),
        ("all", True, 4, {1, -1}),
        ("se3-all", True, 2, {1}),
        ("det", True, 1, None),
    ],
)
def test_number_of_elements(mode, planar, count, determinants, rng):
    frames = faenet_framing(mode, planar=planar)["frame"](cloud(rng))
    assert frames.count == count
    assert O(3).contains(frames.linear).all()
    if determinants:
        assert set(torch.linalg.det(frames.linear).round().flatten().tolist()) == determinants


def test_axes_are_those_of_numpy_largest_first(rng):
    points = cloud(rng)
    frames = faenet_framing("all")["frame"](points)
    seen = points - points.mean(1, keepdim=True)
    axes = torch.linalg.eigh(seen.mT @ seen)[1].flip(-1)
    torch.testing.assert_close((frames.linear[:, 0].mT @ axes).abs(), torch.eye(3, dtype=torch.float64).expand(3, 3, 3))


@pytest.mark.parametrize("mode", MODES)
def test_the_drawn_element_is_one_of_the_frame(mode, rng):
    points = cloud(rng)
    network = average(faenet_framing(mode), rng=rng)
    frames = network.frames({"x": points})
    assert frames.count == (8 if mode == "all" else 4 if mode == "se3-all" else 1)
    group = "se3-all" if mode.startswith("se3") else "all"
    whole = faenet_framing(group)["frame"](points).linear
    distances = (frames.linear.unsqueeze(2) - whole.unsqueeze(1)).abs().amax((-2, -1))
    assert distances.amin(2).max() < 1e-12


@pytest.mark.parametrize(("mode", "group"), [("all", E(3)), ("se3-all", SE(3))])
def test_all_elements_keep_the_law(mode, group, rng):
    network = average(faenet_framing(mode))
    assert network.symmetry.group == group
    assert equivariance_error(network, {"x": cloud(rng)}, rng=rng).worst.relative < 1e-12


@pytest.mark.parametrize("mode", ["stochastic", "det", "se3-det"])
def test_one_element_does_not(mode, rng):
    law = average(faenet_framing("all")).symmetry
    report = equivariance_error(average(faenet_framing(mode)), {"x": cloud(rng)}, symmetry=law, rng=rng)
    assert report.worst.relative > 1e-2


@pytest.mark.parametrize(("group", "kept"), [("E(3)", T(3)), ("SE(3)", T(3)), ("O(3)", None), ("SO(3)", None)])
def test_signs_that_a_rule_fixes_keep_translations_at_most_and_declare_it(group, kept, rng):
    network = average({"frame": PCAFrame(group, signs="fixed")})
    if kept is None:
        assert network.symmetry is None
        with pytest.raises(SymmetryError, match="declares no symmetry"):
            equivariance_error(network, {"x": cloud(rng)}, rng=rng)
    else:
        assert network.symmetry.group == kept
        assert equivariance_error(network, {"x": cloud(rng)}, rng=rng).worst.relative < 1e-12
    planar = average({"frame": PlanarFrame(PCAFrame(group.replace("3", "2"), signs="fixed"))})
    if kept is None:
        assert planar.symmetry is None
    else:
        assert planar.symmetry.group == Embedded(T(2), 3)
        assert equivariance_error(planar, {"x": cloud(rng)}, rng=rng).worst.relative < 1e-12


def test_the_fixed_element_has_coordinates_with_positive_sums(rng):
    linear = faenet_framing("det")["frame"](cloud(rng)).linear
    assert (linear.sum(-2) >= 0).all()
    proper = faenet_framing("se3-det")["frame"](cloud(rng)).linear
    assert (proper[..., :2].sum(-2) >= 0).all()


@pytest.mark.parametrize("mode", ["stochastic", "se3-stochastic"])
def test_draws_have_the_full_average_as_their_mean(mode, rng):
    """Within five standard errors of 4,096 draws; an element that is left out would be seen."""
    points = cloud(rng, batch=1)
    exact = average(faenet_framing(mode.replace("stochastic", "all")))(points)[0]
    copies = points.expand(4096, -1, -1)
    drawn = average(faenet_framing(mode), rng=rng)(copies)
    error = drawn.std(0) / 64
    assert ((drawn.mean(0) - exact).abs() <= 5 * error).all()
    biased = drawn[(drawn[:, 0, 0] - exact[0, 0]) > 0]
    assert ((biased.mean(0) - exact).abs() > 5 * biased.std(0) / len(biased) ** 0.5).any()


def test_draws_of_an_equivariant_network_do_not_vary(rng):
    class Radial(torch.nn.Module):
        def forward(self, x):
            return x * torch.sin(x.norm(dim=-1, keepdim=True))

    network = FrameAverage(Radial(), **faenet_framing("stochastic"), inputs={"x": "point"}, output="point", rng=rng)
    drawn = network(cloud(rng, batch=1).expand(64, -1, -1))
    assert drawn.std(0).max() < 1e-12


def test_other_names_are_refused():
    with pytest.raises(ConfigError) as caught:
        faenet_framing("random")
    assert "se3-stochastic" in caught.value.expected


# --- frames of a plane -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "inner", [PCAFrame("E(2)"), PCAFrame("SE(2)"), PCAFrame("O(2)"), WeightedFrame("SE(2)")], ids=str
)
def test_planar_frames_have_the_symmetry_of_the_plane(inner, rng):
    network = FrameAverage(Uneven(), PlanarFrame(inner), inputs={"x": "point"}, output="point")
    assert network.symmetry.group == Embedded(inner.group, 3)
    assert equivariance_error(network, {"x": cloud(rng)}, rng=rng).worst.relative < 1e-12


def test_planar_frames_have_no_more_than_that(rng):
    network = FrameAverage(Uneven(), PlanarFrame(PCAFrame("E(2)")), inputs={"x": "point"}, output="point")
    claim = network.symmetry.restrict(E(3))
    assert equivariance_error(network, {"x": cloud(rng)}, symmetry=claim, rng=rng).worst.relative > 1e-2


def test_planar_frames_are_those_of_the_plane_with_a_third_axis(rng):
    points = cloud(rng)
    frames, inner = PlanarFrame(PCAFrame("E(2)"))(points), PCAFrame("E(2)")(points[..., :2])
    assert frames.linear[..., :2, :2].equal(inner.linear)
    assert frames.translation.equal(torch.nn.functional.pad(inner.translation, (0, 1)))
    expected = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(3, 4, 3)
    assert frames.linear[..., 2].equal(expected)
    assert frames.linear[..., 2, :].equal(expected)
    assert frames.rank.tolist() == [3, 3, 3]


def test_planar_frames_of_segments(rng):
    points = cloud(rng)
    frame = PlanarFrame(PCAFrame("SE(2)"))
    index = torch.arange(3).repeat_interleave(6)
    torch.testing.assert_close(frame.of_segments(points.flatten(0, 1), index, 3).linear, frame(points).linear)


def test_planar_frames_follow_the_policy_of_the_inner_frame(cube):
    with pytest.raises(NumericsError):
        PlanarFrame(PCAFrame("E(2)", degenerate="error"))(cube[None])
    assert not PlanarFrame(PCAFrame("E(2)", degenerate="ignore"))(cube[None]).valid
    tall = cube * torch.tensor([1.0, 2.0, 1.0])
    assert PlanarFrame(PCAFrame("E(2)", degenerate="error"))(tall[None]).valid
    with pytest.raises(ShapeError):
        PlanarFrame(PCAFrame("E(2)"))(torch.zeros(1, 4, 2))
    with pytest.raises(ShapeError):
        PlanarFrame(PCAFrame("E(2)")).of_segments(torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64), 1)
