"""Learned frames: the law from an equivariant network, and its failure without; gradients, few points, priors."""

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, GroupError, NumericsError, ShapeError, SymmetryError
from intertwine.frames import FrameAverage, LearnedFrame, identity_prior
from intertwine.groups import SE, SO, E, O, parse_group
from intertwine.nn import VectorDeepSets
from intertwine.symmetry import equivariance_error

GROUPS = ["O(3)", "SO(3)", "E(3)", "SE(3)"]


def cloud(rng, batch=3, n=6):
    return torch.randn(batch, n, 3, generator=rng, dtype=torch.float64)


def axes_network(features="p", vectors=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return VectorDeepSets(features, vectors=vectors, dropout=0.0, rng=rng).double()


class Powers(nn.Module):
    """Equivariant vectors in any number of dimensions: sums of x |x|^k over the points."""

    def __init__(self, count):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(count, dtype=torch.float64))

    def forward(self, points, mask=None):
        seen = points if mask is None else torch.where(mask.unsqueeze(-1), points, 0.0)
        powers = seen.norm(dim=-1, keepdim=True) ** torch.arange(1.0, len(self.weight) + 1)
        return torch.einsum("bnk,bnd,k->bkd", powers, seen, self.weight)


class Uneven(nn.Module):
    def __init__(self):
        super().__init__()
        rng = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(3, 3, generator=rng, dtype=torch.float64))

    def forward(self, x):
        return torch.tanh(x @ self.weight + 0.2).cumsum(-2)


class Moving(nn.Module):
    def forward(self, positions, velocities, charges, graph=None):
        weight = torch.tensor([[1.0, 0.5, 0.2], [0.3, -1.0, 0.8], [0.1, 0.4, -0.6]], dtype=positions.dtype)
        return torch.tanh(positions @ weight + velocities + charges.unsqueeze(-1))


MOVING = {"positions": "point", "velocities": "vector", "charges": "scalar"}


# --- the law ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GROUPS)
def test_frames_move_with_the_cloud(name, rng):
    frame = LearnedFrame(axes_network(), name)
    points = cloud(rng)
    frames = frame(points)
    assert parse_group(f"{'SO' if 'S' in name else 'O'}(3)").contains(frames.linear).all()
    assert frames.valid.all()
    assert frames.count == 1
    for _ in range(5):
        g = frame.group.sample(rng=rng, dtype=torch.float64)
        after = frame(frame.group.apply(g, points))
        assert (after.linear - frame.group.linear(g) @ frames.linear).abs().max() < 1e-10
        assert (after.translation - frame.group.apply(g, frames.translation)).abs().max() < 1e-10


def test_a_bias_in_the_network_makes_this_fail(rng):
    """The fault of the published N-body network."""

    class Biased(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(x) + 0.1

    network = axes_network()
    network.own[0] = Biased(network.own[0])
    frame = LearnedFrame(network, "O(3)")
    points = cloud(rng)
    g = O(3).sample(rng=rng, dtype=torch.float64)
    assert (frame(points @ g.mT).linear - g @ frame(points).linear).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("name", "translation"), [*((name, False) for name in GROUPS), ("E(3)", True), ("SE(3)", True)]
)
def test_law_of_a_network_without_symmetry(name, translation, rng):
    frame = LearnedFrame(axes_network(), name, translation=translation)
    network = FrameAverage(Uneven(), frame, inputs={"x": "point"}, output="point")
    assert equivariance_error(network, {"x": cloud(rng)}, rng=rng).worst.relative < 1e-11
    bare = equivariance_error(network.backbone, {"x": cloud(rng)}, symmetry=network.symmetry, rng=rng)
    assert bare.worst.relative > 1e-2


@pytest.mark.parametrize("name", ["O(2)", "SO(2)", "E(2)", "SO(4)", "E(4)"])
def test_other_dimensions(name, rng):
    d = parse_group(name).n
    frame = LearnedFrame(Powers(d), name)
    points = torch.randn(2, 7, d, generator=rng, dtype=torch.float64)
    g = frame.group.sample(rng=rng, dtype=torch.float64)
    after = frame(frame.group.apply(g, points))
    torch.testing.assert_close(after.linear, frame.group.linear(g) @ frame(points).linear, rtol=0, atol=1e-9)


def test_the_origin_is_moved_by_the_last_vector(rng):
    network, points = axes_network(), cloud(rng)
    frames = LearnedFrame(network, "E(3)", translation=True)(points)
    centroid = points.mean(1)
    step = network(points - centroid.unsqueeze(1))[:, 3]
    torch.testing.assert_close(frames.translation, centroid + step)
    assert step.norm(dim=-1).min() > 1e-4


@pytest.mark.parametrize(("features", "name"), [("pv", "E(3)"), ("pva", "SE(3)"), ("pvc", "E(3)"), ("pvac", "SE(3)")])
def test_networks_that_read_velocities_and_charges(features, name, rng):
    network = axes_network(features)
    frame = LearnedFrame(network, name, reads=network.reads)
    average = FrameAverage(Moving(), frame, inputs=MOVING, output="vector")
    given = {"positions": cloud(rng), "velocities": cloud(rng), "charges": cloud(rng)[..., 0]}
    assert equivariance_error(average, given, rng=rng).worst.relative < 1e-11
    still = given | {"velocities": 2 * given["velocities"]}
    assert (average.frames(still).linear - average.frames(given).linear).abs().max() > 1e-3


def test_networks_that_read_more_in_one_tensor(rng):
    network = axes_network("pvc")
    frame = LearnedFrame(network, "E(3)", reads=network.reads)
    given = {"positions": cloud(rng), "velocities": cloud(rng), "charges": cloud(rng)[..., 0]}
    dense = FrameAverage(Moving(), frame, inputs=MOVING, output="point")(**given)
    ragged = FrameAverage(Moving(), frame, inputs=MOVING | {"graph": "graphs"}, output="point")
    flat = {name: value.flatten(0, 1) for name, value in given.items()}
    sizes = torch.arange(3).repeat_interleave(6)
    torch.testing.assert_close(ragged(**flat, graph=sizes), dense.flatten(0, 1))


def test_masks_give_what_each_cloud_gives_alone(rng):
    frame = LearnedFrame(axes_network(), "E(3)")
    points = cloud(rng)
    mask = torch.arange(6) < torch.tensor([[6], [5], [4]])
    together = frame(torch.where(mask.unsqueeze(-1), points, torch.nan), mask)
    for place, size in enumerate((6, 5, 4)):
        alone = frame(points[place : place + 1, :size])
        torch.testing.assert_close(together.linear[place], alone.linear[0])
        torch.testing.assert_close(together.translation[place], alone.translation[0])


def test_single_precision(rng):
    points = cloud(rng)
    network = axes_network()
    double = LearnedFrame(network, "E(3)")(points)
    single = LearnedFrame(network.float(), "E(3)")(points.float())
    assert single.linear.dtype == single.translation.dtype == torch.float32
    torch.testing.assert_close(single.linear.double(), double.linear, rtol=0, atol=1e-3)


# --- learning --------------------------------------------------------------------------------------------


def test_gradients_flow_into_the_network(rng):
    network = axes_network()
    frame = LearnedFrame(network, "E(3)", translation=True)
    average = FrameAverage(Uneven(), frame, inputs={"x": "point"}, output="vector")
    points = cloud(rng, batch=1, n=4).requires_grad_()
    assert torch.autograd.gradcheck(average, points)
    average(points).sum().backward()
    used = [weight.grad for weight in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in used)
    assert max(gradient.abs().max() for gradient in used) > 1e-4
    assert len(list(average.parameters())) == len(used) + 1


def test_derivatives_by_weights_are_those_of_finite_differences(rng):
    network, points = axes_network(), cloud(rng)
    frame = LearnedFrame(network, "SE(3)")
    weight = network.output.weight
    direction = torch.randn(weight.shape, generator=rng, dtype=torch.float64)
    target = torch.randn(3, 3, generator=rng, dtype=torch.float64)

    def value():
        return (frame(points).linear * target).sum()

    (gradient,) = torch.autograd.grad(value(), weight)
    step = 1e-6
    with torch.no_grad():
        weight += step * direction
        above = value()
        weight -= 2 * step * direction
        below = value()
    assert (gradient * direction).sum().item() == pytest.approx(((above - below) / (2 * step)).item(), rel=1e-6)


def test_the_prior_is_the_mean_square_from_the_identity_and_teaches_it(rng):
    """In the orientation of the training data the frame becomes the identity, so that these are seen as they are."""

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(6, 2, generator=rng, dtype=torch.float64))

        def forward(self, points):
            return torch.einsum("bnd,nv->bvd", points, self.weight)

    network = Mixed()
    frame = LearnedFrame(network, "SE(3)")
    points = cloud(rng, batch=1)
    frames = frame(points)
    expected = (frames.linear - torch.eye(3)).square().sum() / 9
    assert identity_prior(frames).item() == pytest.approx(expected.item())
    optimiser = torch.optim.SGD(network.parameters(), lr=1.0)
    for _ in range(400):
        optimiser.zero_grad()
        identity_prior(frame(points)).backward()
        optimiser.step()
    assert identity_prior(frame(points)) < 0.01 * expected


# --- few points ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("name", ["O(3)", "SO(3)"])
def test_points_that_span_less_keep_the_law_when_relaxed(name, rank, rng):
    basis = O(3).sample(rng=rng, dtype=torch.float64)[:rank]
    points = torch.randn(2, 6, rank, generator=rng, dtype=torch.float64) @ basis
    relaxed, strict = (LearnedFrame(axes_network(), name, relaxed=relaxed) for relaxed in (True, False))
    assert relaxed(points).valid.all()
    enough = name == "SO(3)" and rank == 2
    assert strict(points).valid.tolist() == [enough] * 2
    network = FrameAverage(Uneven(), relaxed, inputs={"x": "point"}, output="vector")
    assert equivariance_error(network, {"x": points}, rng=rng).worst.relative < 1e-10


def test_a_network_that_gives_too_little_is_not_valid(rng):
    """Three copies of one vector are no axes for points in space."""

    class Repeated(nn.Module):
        def forward(self, points, mask=None):
            return points[:, :1].expand(-1, 3, -1)

    frames = LearnedFrame(Repeated(), "O(3)")(cloud(rng))
    assert not frames.valid.any()
    assert frames.rank.tolist() == [1, 1, 1]
    assert O(3).contains(frames.linear).all()


@pytest.mark.parametrize("number", [0, 1, 4])
@pytest.mark.parametrize("name", GROUPS)
def test_no_point_one_point_and_coincident_points(number, name):
    frame = LearnedFrame(axes_network(), name)
    points = torch.full((2, number, 3), 2.0, dtype=torch.float64, requires_grad=True)
    frames = frame(points)
    assert O(3).contains(frames.linear).all()
    assert frames.rank.tolist() == [0 if "E" in name or not number else 1] * 2
    assert not LearnedFrame(axes_network(), name, relaxed=False)(points).valid.any()
    frames.linear.sum().backward()
    assert points.grad is None or points.grad.isfinite().all()


# --- errors ----------------------------------------------------------------------------------------------


def test_vector_products_are_refused_for_groups_with_reflections():
    network = axes_network("pva")
    for name in ("O(3)", "E(3)"):
        with pytest.raises(SymmetryError) as caught:
            LearnedFrame(network, name, reads=network.reads)
        assert f"S{name}" in caught.value.fix
    for group in (SO(3), SE(3)):
        assert LearnedFrame(network, group, reads=network.reads).group == group
    assert LearnedFrame(axes_network(), E(3)).group == E(3)


def test_what_does_not_fit_is_refused(rng):
    with pytest.raises(GroupError):
        LearnedFrame(axes_network(), "GL(3)")
    with pytest.raises(GroupError):
        LearnedFrame(axes_network(), "O(3)", translation=True)
    with pytest.raises(ShapeError) as caught:
        LearnedFrame(axes_network(vectors=2), "O(3)")(cloud(rng))
    assert caught.value.got == (3, 2, 3)
    assert LearnedFrame(axes_network(vectors=2), "SO(3)")(cloud(rng)).valid.all()
    network = axes_network("pv")
    frame = LearnedFrame(network, "E(3)", reads=network.reads)
    average = FrameAverage(Uneven(), frame, inputs={"x": "point"}, output="point")
    with pytest.raises(ShapeError) as caught:
        average(x=cloud(rng))
    assert caught.value.expected == "velocities"
    with pytest.raises(NumericsError):
        LearnedFrame(axes_network(), "O(3)")(torch.full((1, 4, 3), torch.nan))
    with pytest.raises(ConfigError):
        VectorDeepSets("q")
