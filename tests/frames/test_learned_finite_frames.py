"""Learned elements of finite groups: the law for any network of scores, estimators of gradients, ties, priors."""

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, GroupError, ShapeError
from intertwine.frames import (
    FiniteFrame,
    FrameAverage,
    LearnedFiniteFrame,
    OrbitScores,
    choose_element,
    identity_cross_entropy,
    matrices_of,
)
from intertwine.groups import parse_group
from intertwine.symmetry import equivariance_error

NAMES = ["C_1", "C_4", "C_5", "D_3", "D_4", "S_3"]


class Value(nn.Module):
    """Any network of clouds to one number."""

    def __init__(self, d, seed=0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(d, 8, generator=rng, dtype=torch.float64))

    def forward(self, points, mask=None):
        hidden = torch.tanh(points @ self.weight + 0.3)
        hidden = hidden if mask is None else torch.where(mask.unsqueeze(-1), hidden, 0.0)
        return hidden.sum((-2, -1))


class Uneven(nn.Module):
    def forward(self, x):
        rng = torch.Generator().manual_seed(1)
        return torch.tanh(x @ torch.randn(x.shape[-1], x.shape[-1], generator=rng, dtype=x.dtype) + 0.3)


def cloud(rng, d, n=5, batch=4):
    return torch.randn(batch, n, d, generator=rng, dtype=torch.float64)


def learned(name, **kwargs):
    d = matrices_of(parse_group(name)).shape[-1]
    return LearnedFiniteFrame(OrbitScores(Value(d), name), name, **kwargs)


@pytest.mark.parametrize("name", NAMES)
def test_elements_move_with_the_cloud(name, rng):
    frame = learned(name)
    group = frame.group
    points = cloud(rng, frame.dim)
    frames = frame(points)
    matrices = matrices_of(group)
    for element in range(group.order):
        after = frame(points @ matrices[element].mT)
        torch.testing.assert_close(after.linear, matrices[element] @ frames.linear, rtol=0, atol=1e-12)
    assert (frames.linear - matrices.unsqueeze(0)).abs().amax((-2, -1)).amin(1).max() == 0
    assert frames.valid.all()
    assert frames.count == 1


@pytest.mark.parametrize("name", NAMES)
def test_law_of_a_network_without_symmetry(name, rng):
    network = FrameAverage(Uneven(), learned(name), inputs={"x": "vector"}, output="vector")
    points = cloud(rng, network.frame.dim)
    assert equivariance_error(network, {"x": points}, rng=rng).worst.relative < 1e-12


def test_scores_that_do_not_follow_the_group_break_the_law(rng):
    class Fixed(nn.Module):
        def forward(self, points):
            return (points.sum(1) @ torch.arange(8.0, dtype=torch.float64).view(2, 4)).cos()

    network = FrameAverage(Uneven(), LearnedFiniteFrame(Fixed(), "C_4"), inputs={"x": "vector"}, output="vector")
    assert equivariance_error(network, {"x": cloud(rng, 2)}, rng=rng).worst.relative > 1e-2


def test_scores_are_values_of_the_turned_back_cloud(rng):
    value = Value(2)
    points = cloud(rng, 2)
    scores = OrbitScores(value, "D_3")(points)
    group = parse_group("D_3")
    for place, element in enumerate(group.elements()):
        back = group.apply(group.inverse(element), points)
        torch.testing.assert_close(scores[:, place], value(back))


def test_masks(rng):
    frame, points = learned("D_4"), cloud(rng, 2)
    mask = torch.arange(5) < torch.tensor([[5], [4], [3], [2]])
    together = frame(torch.where(mask.unsqueeze(-1), points, 7.0), mask)
    for place, size in enumerate((5, 4, 3, 2)):
        assert together.linear[place].equal(frame(points[place : place + 1, :size]).linear[0])


def test_gradients_pass_as_through_the_softmax(rng):
    """The value is that of the highest score, the derivative that of the mean over the softmax."""
    frame, points = learned("C_5", temperature=0.7), cloud(rng, 2)
    target = torch.randn(4, 2, 2, generator=rng, dtype=torch.float64)
    weight = frame.scores.network.weight
    (got,) = torch.autograd.grad((frame(points).linear[:, 0] * target).sum(), weight)
    soft = (frame.scores(points) / 0.7).softmax(-1)
    mean = torch.einsum("bg,gij->bij", soft, matrices_of(parse_group("C_5")))
    (want,) = torch.autograd.grad((mean * target).sum(), weight)
    torch.testing.assert_close(got, want)
    assert got.abs().max() > 1e-4


def test_scores_are_learned_towards_a_task(rng):
    """A network that knows one orientation teaches the scores to turn clouds into it."""
    upright = torch.tensor([[0.0, 3.0], [0.5, 0.0], [-0.5, 0.0]], dtype=torch.float64)
    turns = matrices_of(parse_group("C_4"))
    points = upright @ turns.mT + 0.05 * cloud(rng, 2, n=3)
    frame = learned("C_4")
    optimiser = torch.optim.Adam(frame.parameters(), lr=0.05)
    for _ in range(100):
        optimiser.zero_grad()
        seen = points @ frame(points).linear[:, 0]
        (seen - upright).square().mean().backward()
        optimiser.step()
    assert (points @ frame(points).linear[:, 0] - upright).abs().max() < 0.3


def test_drawn_elements_follow_the_softmax(rng):
    scores = torch.tensor([[0.5, 1.5, -0.3]], dtype=torch.float64)
    drawn = choose_element(scores.expand(20_000, -1), 0.8, drawn=True, rng=rng).mean(0)
    torch.testing.assert_close(drawn, (scores / 0.8).softmax(-1)[0], rtol=0, atol=0.015)
    assert choose_element(scores).tolist() == [[0.0, 1.0, 0.0]]


def test_gumbel_draws_in_training_only(rng):
    frame, points = learned("C_4", estimator="gumbel"), cloud(rng, 2, batch=64)
    one, two = (frame(points, rng=torch.Generator().manual_seed(seed)).linear for seed in (1, 2))
    assert not one.equal(two)
    assert one.equal(frame(points, rng=torch.Generator().manual_seed(1)).linear)
    frame.eval()
    assert frame(points, rng=rng).linear.equal(learned("C_4")(points).linear)


def test_clouds_that_an_element_keeps_are_tied(rng):
    square = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    frames = learned("C_4")(torch.stack([square, cloud(rng, 2, n=4, batch=1)[0]]))
    assert frames.valid.tolist() == [False, True]


def test_the_prior_is_the_cross_entropy_of_the_identity(rng):
    scores = torch.randn(6, 4, generator=rng, dtype=torch.float64)
    expected = nn.functional.cross_entropy(scores, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(identity_cross_entropy(scores), expected)
    frame = FiniteFrame("C_4")
    assert frame.matrices[0].equal(torch.eye(2, dtype=torch.float64))


def test_no_points(rng):
    frames = learned("D_3")(torch.zeros(2, 0, 2, dtype=torch.float64))
    assert frames.linear.isfinite().all()
    assert not frames.valid.any()


def test_what_does_not_fit_is_refused(rng):
    for group in ("SO(2)", "S_n"):
        with pytest.raises(GroupError):
            LearnedFiniteFrame(Value(2), group)
    for wrong in ({"estimator": "reinforce"}, {"temperature": 0.0}):
        with pytest.raises(ConfigError):
            learned("C_4", **wrong)
    with pytest.raises(ShapeError) as caught:
        LearnedFiniteFrame(Value(2), "C_4")(cloud(rng, 2))
    assert caught.value.expected == "(4, 4)"
    with pytest.raises(ShapeError):
        OrbitScores(nn.Identity(), "C_4")(cloud(rng, 2))
