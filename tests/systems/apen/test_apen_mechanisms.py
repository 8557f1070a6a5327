"""Chains of boxes: exactly rigid by pieces, joined, on the surfaces of boxes."""

import numpy as np
import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.frames import PCAFrame, PiecewiseFrameAverage
from intertwine.systems.apen.data import chain


@pytest.mark.parametrize("joint", ["free", "hinge"])
@pytest.mark.parametrize("boxes", [1, 2, 5])
def test_each_box_moves_by_its_motion(boxes, joint):
    made = chain(boxes, 50, seed=3, joint=joint)
    assert made.part.bincount().tolist() == [50] * boxes
    for box in range(boxes):
        mine, motion = made.part == box, made.motions[box]
        moved = made.first[mine] @ motion[:3, :3].T + motion[:3, 3]
        assert torch.allclose(moved, made.second[mine], atol=1e-12)
        assert torch.allclose(motion[:3, :3] @ motion[:3, :3].T, torch.eye(3, dtype=torch.float64), atol=1e-12)
        assert float(motion[:3, :3].det()) == pytest.approx(1)
    assert torch.equal(made.motions[0], torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("joint", ["free", "hinge"])
def test_neighbours_stay_joined(joint):
    """Two boxes turn about a common point: their relative motion leaves it where it is, so it shifts along no axis."""
    made = chain(6, 400, seed=1, joint=joint)
    for box in range(5):
        relative = np.linalg.inv(made.motions[box].numpy()) @ made.motions[box + 1].numpy()
        turn, shift = relative[:3, :3], relative[:3, 3]
        values, vectors = np.linalg.eig(turn)
        axis = np.real(vectors[:, np.argmin(np.abs(values - 1))])
        assert abs(axis @ shift) < 1e-12
        assert np.abs(turn - np.eye(3)).max() > 1e-2
    # the first box lies along the axes: its joint is where its +x face is, in the middle
    place = torch.tensor([float(made.first[made.part == 0][:, 0].max()), 0.0, 0.0, 1.0], dtype=torch.float64)
    assert torch.allclose(made.motions[1] @ place, place, atol=1e-12)


def test_hinges_turn_by_less_than_half_a_turn_about_one_axis():
    free, hinge = [], []
    for seed in range(40):
        for joint, found in (("free", free), ("hinge", hinge)):
            turn = chain(2, 1, seed, joint=joint).motions[1, :3, :3]
            found.append(float(((turn.trace() - 1) / 2).clamp(-1, 1).arccos()))
    # the difference of two angles that are uniform in a half turn has the mean of a third of it
    assert np.mean(hinge) == pytest.approx(np.pi / 3, abs=0.25)
    # the angle of a uniform rotation has the mean pi / 2 + 2 / pi
    assert np.mean(free) == pytest.approx(np.pi / 2 + 2 / np.pi, abs=0.25)


def test_points_lie_on_boxes_uniformly_by_area():
    made = chain(1, 30000, seed=5)
    half = made.first.abs().amax(0)
    assert bool(((half > 0.1 - 1e-3) & (half < 0.4)).all())
    on = (made.first.abs() > half - 1e-9).sum(0).double()
    area = half.prod() / half
    assert (on / on.sum()).numpy() == pytest.approx((area / area.sum()).numpy(), abs=0.01)
    inside = made.first[made.first[:, 0].abs() > half[0] - 1e-9] / half
    assert inside.mean(0)[1:].numpy() == pytest.approx(np.zeros(2), abs=0.03)
    assert inside[:, 1:].square().mean(0).numpy() == pytest.approx(np.full(2, 1 / 3), abs=0.03)


def test_the_seed_decides():
    assert torch.equal(chain(3, 5, 1).second, chain(3, 5, 1).second)
    assert not torch.equal(chain(3, 5, 1).first, chain(3, 5, 2).first)
    with pytest.raises(ConfigError, match="needs boxes"):
        chain(0, 5, 1)


def test_a_network_that_is_averaged_by_parts_follows_a_mechanism():
    """The law of pieces, on bodies whose motions are known exactly."""
    made = chain(4, 30, seed=2)
    weights = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def network(positions, part, parts, inside=None):
        return {"moved": torch.tanh(positions @ weights), "told": torch.tanh(positions @ weights)[:, :1]}

    average = PiecewiseFrameAverage(
        network, PCAFrame("SE(3)"), inputs={"positions": "point"}, outputs={"moved": "point", "told": "scalar"}
    )
    first, second = (average(made.part, positions=points) for points in (made.first, made.second))
    turns, shifts = made.motions[made.part, :3, :3], made.motions[made.part, :3, 3]
    expected = (turns @ first["moved"].unsqueeze(-1)).squeeze(-1) + shifts
    assert torch.allclose(second["moved"], expected, atol=1e-12)
    assert torch.allclose(second["told"], first["told"], atol=1e-12)
    whole = average(torch.zeros_like(made.part), positions=made.second)["told"]
    assert not torch.allclose(whole, average(torch.zeros_like(made.part), positions=made.first)["told"], atol=1e-2)
