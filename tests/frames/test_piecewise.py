"""Averages over the frames of parts: the law of pieces, finer and coarser partitions, soft parts, small parts."""

import pytest
import torch
from torch import nn

from intertwine.errors import ShapeError
from intertwine.frames import Memberships, PCAFrame, PiecewiseFrameAverage, move_parts, piecewise_error
from intertwine.groups import SE, E


class MaxNetwork(nn.Module):
    """A network of the points of a part, with max pooling and without any symmetry of space."""

    def __init__(self, seed=0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.first = nn.Parameter(torch.randn(4, 16, generator=rng, dtype=torch.float64))
        self.last = nn.Parameter(torch.randn(32, 7, generator=rng, dtype=torch.float64))

    def forward(self, position, mass, part, parts, inside=None):
        hidden = torch.tanh(torch.cat([position, mass.unsqueeze(-1)], dim=-1) @ self.first)
        weighted = hidden if inside is None else hidden * inside.unsqueeze(-1)
        place = part.unsqueeze(-1).expand_as(hidden)
        pooled = torch.zeros(parts, 16, dtype=hidden.dtype).scatter_reduce(
            0, place, weighted, "amax", include_self=False
        )
        out = torch.tanh(torch.cat([hidden, pooled[part]], dim=-1)) @ self.last
        return {"vote": out[:, :3], "direction": out[:, 3:6], "score": out[:, 6]}


def average(group="E(3)"):
    return PiecewiseFrameAverage(
        MaxNetwork(),
        PCAFrame(group, degenerate="ignore"),
        inputs={"position": "point", "mass": "scalar"},
        outputs={"vote": "point", "direction": "vector", "score": "scalar"},
    )


def cloud(n=60, parts=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    part = torch.arange(n) % parts
    points = torch.randn(n, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2, 3]) + 4 * part[:, None]
    return points, torch.randn(n, generator=rng, dtype=torch.float64), part


def error(network, used, true, group=None, output="direction"):
    points, mass, _ = cloud()
    kinds = {"direction": "vector", "vote": "point", "score": "scalar"}
    return piecewise_error(
        lambda x: network(used, position=x, mass=mass)[output].reshape(len(x), -1),
        points,
        true,
        group or E(3),
        output=kinds[output],
        rng=torch.Generator().manual_seed(3),
    )


@pytest.mark.parametrize("output", ["direction", "vote", "score"])
@pytest.mark.parametrize("group", [E(3), SE(3)], ids=str)
def test_outputs_follow_each_part(group, output):
    _, _, part = cloud()
    assert error(average(str(group)), part, part, group, output) < 1e-12


def test_finer_partitions_keep_the_law():
    _, _, part = cloud()
    rng = torch.Generator().manual_seed(1)
    refined = part * 4 + torch.randint(4, (60,), generator=rng)
    pairs = part * 10 + torch.arange(60) // 3 // 2
    for fine in (refined, pairs, torch.arange(60)):
        assert error(average(), fine, part, output="vote") < 1e-12


def test_a_partition_that_mixes_two_parts_breaks_the_law():
    _, _, part = cloud()
    assert error(average(), part.clamp(max=1), part) > 0.1


def test_other_parts_do_not_leak():
    points, mass, part = cloud()
    network = average()
    before = network(part, position=points, mass=mass)
    moved = torch.where((part == 1).unsqueeze(1), points.flip(0) ** 3, points)
    after = network(part, position=moved, mass=mass)
    for name, values in before.items():
        assert torch.equal(values[part != 1], after[name][part != 1])
        assert not torch.equal(values[part == 1], after[name][part == 1])


def test_order_of_points_and_names_of_parts_do_not_matter():
    points, mass, part = cloud()
    network = average()
    before = network(part, position=points, mass=mass)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    renamed = torch.tensor([5, 0, 3])[part]
    after = network(renamed[order], position=points[order], mass=mass[order])
    for name, values in before.items():
        torch.testing.assert_close(after[name], values[order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_small_parts_are_exact(size):
    points, mass, _ = cloud()
    part = torch.arange(60) // size
    found = average()(part, position=points, mass=mass)
    assert error(average(), part, part, output="vote") < 1e-12
    if size == 1:
        torch.testing.assert_close(found["vote"], points)
        assert found["direction"].abs().max() < 1e-12


def test_mirror_images_are_told_apart_by_rotations_only():
    points, mass, part = cloud()
    mirrored = points * torch.tensor([1.0, 1.0, -1.0])
    for group, same in (("E(3)", True), ("SE(3)", False)):
        network = average(group)
        one, other = (network(part, position=x, mass=mass)["score"] for x in (points, mirrored))
        assert ((one - other).abs().max() < 1e-10) == same


def test_soft_parts_with_weights_of_one_and_zero_are_the_hard_ones():
    points, mass, part = cloud()
    network = average()
    hard = network(part, position=points, mass=mass)
    point = torch.arange(60).repeat(2)
    both = torch.cat([part, (part + 1) % 3])
    weight = torch.cat([torch.ones(60), torch.zeros(60)]).double()
    soft = network(Memberships(point, both, 3, 60, inside=weight, outside=weight), position=points, mass=mass)
    for name in ("vote", "direction"):
        torch.testing.assert_close(soft[name], hard[name], rtol=0, atol=1e-11)


def test_empty_parts_and_clouds_and_gradients():
    points, mass, part = cloud(n=7)
    points.requires_grad_()
    found = average()(part * 5, position=points, mass=mass)
    sum(v.square().sum() for v in found.values()).backward()
    assert points.grad.isfinite().all()
    nothing = average()(part[:0], position=points[:0].detach(), mass=mass[:0])
    assert nothing["vote"].shape == (0, 3)


def test_moving_parts_moves_each_by_its_own_element():
    points, _, part = cloud()
    g = E(3).sample(3, rng=torch.Generator().manual_seed(0), dtype=torch.float64)
    moved = move_parts(E(3), g, points, part)
    for place in range(3):
        torch.testing.assert_close(moved[part == place], E(3).apply(g[place], points[part == place]))


def test_refuses_in_words():
    points, mass, part = cloud()
    with pytest.raises(ShapeError) as rows:
        average()(part[:5], position=points, mass=mass)
    assert "5 rows" in rows.value.expected
    with pytest.raises(ShapeError):
        average()(part - 1, position=points, mass=mass)
    with pytest.raises(ShapeError):
        average()(part.float(), position=points, mass=mass)
    with pytest.raises(ShapeError):
        PiecewiseFrameAverage(MaxNetwork(), PCAFrame("E(3)"), inputs={"mass": "scalar"}, outputs={})
