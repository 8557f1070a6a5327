"""Parts that touch: what goes from one to the next, and which motions change nothing."""

from dataclasses import replace

import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.groups import SE, E
from intertwine.symmetry import equivariance_error
from intertwine.systems.apen.model import APEN
from intertwine.systems.apen.model.contact import Contact, near_points
from intertwine.systems.apen.settings import ModelSettings

SMALL = ModelSettings(
    classes=5,
    sigma=(0.1, 0.2),
    scalars=8,
    vectors=4,
    widths=(8, 16),
    hidden=16,
    head=(16,),
    partition="oracle",
    contact=3,
)


def network(seed=0, **changes):
    rng = torch.Generator().manual_seed(seed)
    made = APEN(replace(SMALL, **changes), rng=rng).double()
    for weight in made.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=rng) / max(weight.shape[-1], 1) ** 0.5)
    return made.eval()


def ball_joint(seed=0):
    """Two bodies that touch in one point each, at the origin; the rest of them is far from it."""
    rng = torch.Generator().manual_seed(seed)
    side = torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64)
    left, right = (torch.randn(20, 3, generator=rng, dtype=torch.float64) * 0.1 + s * side for s in (-1, 1))
    near = torch.tensor([[0.0, 0.0, 1e-6]], dtype=torch.float64)
    points = torch.cat([left, 0 * near, right, near])
    return points, torch.arange(2).repeat_interleave(21)


def turned(points, part, degrees):
    """The second body turned about the joint."""
    angle = torch.tensor(degrees, dtype=torch.float64).deg2rad()
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rotation = torch.stack([c, -s, zero, s, c, zero, zero, zero, one]).view(3, 3)
    return torch.where((part == 1).unsqueeze(1), points @ rotation.mT, points), rotation


@pytest.mark.parametrize("degrees", [10.0, -45.0, 80.0])
def test_joints_may_turn(degrees):
    points, part = ball_joint()
    model = network()
    moved, rotation = turned(points, part, degrees)
    before, after = model(points, true_part=part), model(moved, true_part=part)
    assert (after["logits"] - before["logits"]).abs().max() < 1e-10
    votes = before["votes"].clone()
    votes[:, part == 1] = votes[:, part == 1] @ rotation.mT
    assert (after["votes"] - votes).abs().max() < 1e-10


def test_what_no_longer_touches_is_noticed():
    points, part = ball_joint()
    apart = points + 5.0 * part.unsqueeze(1)
    for contact, changes in ((3, True), (0, False)):
        model = network(contact=contact)
        gap = (model(apart, true_part=part)["logits"] - model(points, true_part=part)["logits"]).abs().max()
        assert (gap > 1e-3) == changes


@pytest.mark.parametrize("group", ["E(3)", "SE(3)"])
def test_whole_clouds_may_move(group):
    rng = torch.Generator().manual_seed(3)
    points = torch.randn(90, 3, generator=rng, dtype=torch.float64)
    model = network(group=group, partition="predicted", cells=20)
    inputs = {"positions": points, "batch": torch.arange(2).repeat_interleave(45)}
    assert equivariance_error(model, inputs, rng=rng).worst.relative < 1e-8
    g = (E if group == "E(3)" else SE)(3).sample(rng=rng, dtype=torch.float64)
    assert torch.equal(model(E(3).apply(g, points))["parts"], model(points)["parts"])


def test_the_order_of_points_does_not_matter():
    points, part = ball_joint()
    model, order = network(), torch.randperm(len(points), generator=torch.Generator().manual_seed(1))
    found = model(points[order], true_part=part[order])["logits"]
    torch.testing.assert_close(found, model(points, true_part=part)["logits"][order], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_features_go_as_far_as_there_are_rounds(rounds):
    """A chain of parts: the first knows of the last of those that are as many contacts away as there are rounds."""
    parts = 6
    part = torch.arange(parts).repeat_interleave(2)
    # two points of each part, the second of which is beside the first of the next
    near = torch.stack([torch.arange(12), torch.tensor([1, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 10])], dim=1)
    layer = Contact(4, rounds, norm="none", activation="silu", rng=torch.Generator().manual_seed(0)).double()
    scalars = torch.randn(12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for last in range(parts):
        changed = torch.where((part == last).unsqueeze(1), scalars + 10.0, scalars)
        # the second point hears of the next part what that knows
        differs = not torch.equal(layer(scalars, part, near)[1], layer(changed, part, near)[1])
        assert differs == (last <= rounds + 1), last


def test_one_part_touches_nothing():
    points = torch.randn(7, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = torch.zeros(7, dtype=torch.int64)
    model = network()
    assert model(points, true_part=whole)["logits"].isfinite().all()


def test_clouds_of_few_points_are_as_if_alone():
    """Of one point, of fewer than there are neighbours, and of more: in one batch, with points of clouds mixed."""
    rng = torch.Generator().manual_seed(5)
    batch = torch.arange(4).repeat_interleave(torch.tensor([1, 2, 30, 4]))[torch.randperm(37, generator=rng)]
    points = torch.randn(37, 3, generator=rng, dtype=torch.float64).requires_grad_()
    near = near_points(points.detach(), 4, batch)
    assert torch.equal(batch[near], batch.unsqueeze(1).expand(-1, 4)), "neighbours are of the own cloud"
    assert torch.equal(near[:, 0], torch.arange(37)), "each is its own first"
    model, part = network(), torch.arange(37) % 2
    logits = model(points, batch, true_part=part)["logits"]
    for cloud in range(4):
        own = batch == cloud
        alone = model(points[own], true_part=part[own])["logits"]
        torch.testing.assert_close(logits[own], alone, rtol=1e-12, atol=1e-12)
        exact = torch.cdist(points[own], points[own]).argsort(1)[:, :4]
        want, got = own.nonzero().flatten()[exact], near[own]
        assert [set(row) for row in got.tolist()] == [set(row) for row in want.tolist()]
    gradient = torch.autograd.grad(logits.square().sum(), points)[0]
    assert gradient.isfinite().all()


def test_settings_are_refused_in_words():
    for name in ("contact", "contact_rounds"):
        with pytest.raises(ConfigError, match=name):
            ModelSettings(**{name: -1})


def test_reports_need_a_trial():
    points, part = ball_joint()
    with pytest.raises(ConfigError, match="means over motions"):
        network().equivariance_report(points, true_part=part, trials=0, rng=torch.Generator().manual_seed(0))
