"""Frames of O(1,m) and SO(1,m): orthonormal in the metric, invariance under boosts, light, few vectors, bad input."""

import pytest
import torch

from intertwine.errors import GroupError, NumericsError, ShapeError
from intertwine.frames import FrameAverage, LorentzFrame
from intertwine.groups import O, minkowski_metric, parse_group
from intertwine.symmetry import equivariance_error

NAMES = ["O(1,1)", "SO(1,1)", "O(1,2)", "O(1,3)", "SO(1,3)"]
over_groups = pytest.mark.parametrize("name", NAMES)


def particles(rng, d=4, n=6, batch=5):
    """Energies and momenta of massive particles."""
    momenta = torch.randn(batch, n, d - 1, generator=rng, dtype=torch.float64)
    masses = 0.2 + torch.rand(batch, n, 1, generator=rng, dtype=torch.float64)
    energies = (masses**2 + momenta.square().sum(-1, keepdim=True)).sqrt()
    return torch.cat([energies, momenta], dim=-1)


def light(vectors):
    return torch.cat([vectors[..., 1:].norm(dim=-1, keepdim=True), vectors[..., 1:]], dim=-1)


def with_rapidity(group, rapidity, rng):
    """A boost of a given rapidity in a random direction, between two random orthogonal maps of space."""
    m = group.n - 1
    direction = torch.nn.functional.normalize(torch.randn(m, generator=rng, dtype=torch.float64), dim=0)
    boost = group.exp(torch.cat([torch.zeros(group.dim - m, dtype=torch.float64), rapidity * direction]))
    turn = torch.eye(group.n, dtype=torch.float64)
    turn[1:, 1:] = O(m).sample(rng=rng, dtype=torch.float64)
    if str(group).startswith("S"):
        turn[0, 0] = torch.linalg.det(turn[1:, 1:]).sign()
    return boost @ turn


class Multilayer(torch.nn.Module):
    def __init__(self, d, rng, outputs=1):
        super().__init__()
        self.first = torch.randn(d, 32, generator=rng, dtype=torch.float64) / d
        self.second = torch.randn(32, outputs, generator=rng, dtype=torch.float64)

    def forward(self, x):
        hidden = torch.tanh(x @ self.first + 0.1)
        return (hidden + hidden.cumsum(-2)) @ self.second


def network(name, rng, output="scalar"):
    d = parse_group(name).n
    backbone = Multilayer(d, rng, d if output == "vector" else 1)
    return FrameAverage(backbone, LorentzFrame(name), inputs={"x": "vector"}, output=output)


@over_groups
def test_axes_are_orthonormal_in_the_metric(name, rng):
    group = parse_group(name)
    frames = LorentzFrame(name)(particles(rng, group.n))
    eta = torch.diag(minkowski_metric(group.n, torch.float64))
    q = frames.linear[:, 0]
    assert (q.mT @ eta @ q - eta).abs().max() < 1e-10
    assert group.contains(q).all()
    torch.testing.assert_close(frames.inverse[:, 0], torch.linalg.inv(q), rtol=0, atol=1e-11)
    assert frames.inverse[:, 0].equal(eta @ q.mT @ eta)
    assert frames.valid.all()
    assert frames.count == 1


@over_groups
@pytest.mark.parametrize("rapidity", [0.0, 0.5, 2.0])
def test_a_network_is_invariant_under_boosts_and_rotations(name, rapidity, rng):
    group = parse_group(name)
    wrapped = network(name, rng)
    points = particles(rng, group.n)
    value = wrapped(points)
    for _ in range(10):
        moved = wrapped(points @ with_rapidity(group, rapidity, rng).mT)
        assert ((moved - value).abs().max() / value.abs().max()) < 1e-8
    bare = wrapped.backbone
    g = with_rapidity(group, max(rapidity, 0.5), rng)
    assert ((bare(points @ g.mT) - bare(points)).abs().max() / value.abs().max()) > 1e-2


@over_groups
def test_law_of_vectors(name, rng):
    group = parse_group(name)
    report = equivariance_error(network(name, rng, "vector"), {"x": particles(rng, group.n)}, rng=rng)
    assert report.worst.relative < 1e-9


def test_the_first_particle_is_at_rest_in_its_frame(rng):
    points = particles(rng)
    frames = LorentzFrame("O(1,3)")(points)
    seen = points @ frames.inverse[:, 0].mT
    first, second = seen[:, 0], seen[:, 1]
    assert first[:, 1:].abs().max() < 1e-12
    assert (first[:, 0] > 0).all()
    assert (second[:, 1].abs() > 0).all()
    assert second[:, 2:].abs().max() < 1e-12
    masses = (points.square() * minkowski_metric(4, torch.float64)).sum(-1).sqrt()
    torch.testing.assert_close(first[:, 0], masses[:, 0])


def test_space_like_vectors_come_first_and_time_is_still_the_first_axis(rng):
    points = particles(rng)
    points[:, 0, 0] = 0.0  # space-like
    frames = LorentzFrame("O(1,3)")(points)
    seen = points @ frames.inverse[:, 0].mT
    assert seen[:, 0, [0, 2, 3]].abs().max() < 1e-12
    assert (seen[:, 0, 1] > 0).all()


def test_proper_frames_tell_mirror_images(rng):
    points = particles(rng)
    mirror = torch.diag(torch.tensor([1.0, 1.0, 1.0, -1.0], dtype=torch.float64))
    for name, same in (("O(1,3)", True), ("SO(1,3)", False)):
        wrapped = network(name, rng)
        assert ((wrapped(points @ mirror) - wrapped(points)).abs().max() < 1e-9) == same


@over_groups
def test_light_has_frames_too(name, rng):
    """Every vector is null: axes come from sums of two."""
    group = parse_group(name)
    points = light(particles(rng, group.n))
    frames = LorentzFrame(name)(points)
    # on a line light goes two ways only, and one of them may be missing
    both_ways = (points[..., 1] > 0).any(1) & (points[..., 1] < 0).any(1)
    expected = both_ways if group.n == 2 else torch.ones(5, dtype=torch.bool)
    assert frames.valid.equal(expected)
    assert group.contains(frames.linear[:, 0]).all()
    wrapped = network(name, rng)
    value = wrapped(points)[expected]
    for _ in range(5):
        moved = wrapped(points @ with_rapidity(group, 1.0, rng).mT)[expected]
        torch.testing.assert_close(moved, value, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["O(1,3)", "SO(1,3)"])
def test_parallel_light_has_no_frame(name, rng):
    one = light(particles(rng, n=1))
    for points in (one, torch.cat([one, 2 * one, 0 * one], dim=1)):
        frames = LorentzFrame(name)(points)
        assert not frames.valid.any()
        assert parse_group(name).contains(frames.linear[:, 0]).all()


def test_a_plane_that_touches_the_light_cone_has_no_frame():
    points = torch.tensor([[[1.0, 0, 0, 1.0], [0, 1.0, 0, 0]], [[1.0, 0, 0, 0.5], [0, 1.0, 0, 0]]], dtype=torch.float64)
    assert LorentzFrame("O(1,3)")(points).valid.tolist() == [False, True]


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["O(1,3)", "SO(1,3)"])
def test_few_vectors_keep_the_law_with_projected_vectors(name, rank, rng):
    points = particles(rng, n=rank)
    points = torch.cat([points, points.sum(1, keepdim=True)], dim=1)  # dependent
    wrapped = network(name, rng, "vector")
    frames = LorentzFrame(name)(points)
    assert frames.valid.all()
    assert frames.rank.tolist() == [rank] * 5
    report = equivariance_error(wrapped, {"x": points}, rng=rng)
    assert report.worst.relative < 1e-9
    if rank < 3 or name == "O(1,3)":
        assert torch.linalg.matrix_rank(torch.cat([points, wrapped(points)], 1), rtol=1e-8).tolist() == [rank] * 5


@pytest.mark.parametrize("name", ["O(1,3)", "SO(1,3)"])
def test_space_like_vectors_alone_keep_the_law(name, rng):
    """The missing axis is that of time."""
    points = particles(rng, n=3)
    points[..., 0] = 0.0
    points = points @ with_rapidity(parse_group(name), 0.7, rng).mT
    report = equivariance_error(network(name, rng, "vector"), {"x": points}, rng=rng)
    assert report.worst.relative < 1e-9


def test_masks_give_what_each_cloud_gives_alone(rng):
    points = particles(rng, n=8)
    mask = torch.rand(5, 8, generator=rng) < 0.7
    frame = LorentzFrame("O(1,3)")
    together = frame(torch.where(mask.unsqueeze(-1), points, torch.nan), mask)
    for place in range(5):
        alone = frame(points[place : place + 1, mask[place]])
        torch.testing.assert_close(together.linear[place], alone.linear[0], rtol=0, atol=1e-12)
    segments = frame.of_segments(points[mask], mask.nonzero()[:, 0], 5)
    torch.testing.assert_close(segments.linear, together.linear, rtol=0, atol=1e-12)


def test_single_precision(rng):
    points = particles(rng)
    single = LorentzFrame("O(1,3)")(points.float())
    assert single.linear.dtype == single.inverse.dtype == torch.float32
    expected = LorentzFrame("O(1,3)")(points)
    torch.testing.assert_close(single.linear.double(), expected.linear, rtol=1e-3, atol=1e-3)


def test_null_vectors_in_single_precision_are_recognised(rng):
    """What rounding leaves of their size in the metric is no mass."""
    points = light(particles(rng).float())
    frames = LorentzFrame("O(1,3)")(points)
    assert frames.valid.all()
    double = LorentzFrame("O(1,3)")(light(points.double()))
    torch.testing.assert_close(frames.linear.double(), double.linear, rtol=1e-3, atol=1e-3)


def test_gradients(rng):
    points = particles(rng, n=5, batch=1).requires_grad_()
    frame = LorentzFrame("O(1,3)", differentiate=True)
    wrapped = FrameAverage(Multilayer(4, rng, 4), frame, inputs={"x": "vector"}, output="vector")
    assert torch.autograd.gradcheck(wrapped, points)
    assert not LorentzFrame("O(1,3)")(points).linear.requires_grad


def test_no_vectors():
    frames = LorentzFrame("SO(1,2)")(torch.zeros(2, 0, 3))
    assert frames.linear[:, 0].equal(torch.eye(3).expand(2, -1, -1))
    assert frames.rank.tolist() == [0, 0]


def test_wrong_groups_shapes_and_numbers_are_refused():
    with pytest.raises(GroupError) as caught:
        LorentzFrame("O(4)")
    assert caught.value.got == "O(4)"
    with pytest.raises(ShapeError):
        LorentzFrame("O(1,3)")(torch.zeros(2, 5, 3))
    points = torch.zeros(2, 5, 4)
    points[0, 0, 0] = torch.nan
    with pytest.raises(NumericsError):
        LorentzFrame("O(1,3)")(points)
