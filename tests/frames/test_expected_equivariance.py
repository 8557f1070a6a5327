"""The variance of outputs over the elements: a loop is the oracle; none for an equivariant network."""

import pytest
import torch

from intertwine.errors import ConfigError, ShapeError
from intertwine.frames import FrameAverage, PCAFrame, WeightedFrame, average_with_variance, frame_variance


class Uneven(torch.nn.Module):
    def __init__(self, rng):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(3, 4, generator=rng, dtype=torch.float64))

    def forward(self, x, mask=None, graph=None):
        hidden = torch.tanh(x @ self.weight + 0.2)
        return {"vector": hidden[..., :3], "scalar": hidden[..., 3]}


class Radial(torch.nn.Module):
    def forward(self, x):
        return {"vector": x * torch.sin(x.norm(dim=-1, keepdim=True)), "scalar": x.norm(dim=-1)}


KINDS = {"vector": "vector", "scalar": "scalar"}


def network(backbone, frame=None, inputs=None, output=None, **kwargs):
    chosen = frame or PCAFrame("E(3)")
    return FrameAverage(backbone, chosen, inputs=inputs or {"x": "point"}, output=output or KINDS, **kwargs)


def cloud(rng, batch=3, n=6):
    return torch.randn(batch, n, 3, generator=rng, dtype=torch.float64) * torch.tensor([1.0, 2.0, 3.0])


@pytest.mark.parametrize("frame", [PCAFrame("SE(3)"), WeightedFrame("SO(3)")], ids=str)
def test_variance_is_that_of_a_loop(frame, rng):
    backbone, points = Uneven(rng), cloud(rng)
    found, variance = average_with_variance(network(backbone, frame), x=points)
    frames = frame(points)
    total = 0.0
    for place in range(3):
        outputs = []
        for rotation in frames.linear[place]:
            raw = backbone((points[place] - frames.translation[place]) @ rotation)
            outputs.append((raw["vector"] @ rotation.mT, raw["scalar"]))
        for part, name in enumerate(KINDS):
            values = torch.stack([output[part] for output in outputs])
            weights = frames.weights[place].reshape(-1, *[1] * (values.ndim - 1))
            mean = (weights * values).sum(0)
            torch.testing.assert_close(found[name][place], mean)
            total = total + (weights * (values - mean) ** 2).sum(0).mean() / 3
    torch.testing.assert_close(variance, total)
    assert variance > 1e-3


def test_an_equivariant_network_has_no_variance(rng):
    _, variance = average_with_variance(network(Radial()), x=cloud(rng))
    assert variance < 1e-25


@pytest.mark.parametrize("output", [KINDS, "vector", ("vector", "scalar")])
def test_outputs_are_those_of_a_call(output, rng):
    class Shaped(Uneven):
        def forward(self, x):
            parts = super().forward(x)
            if output == "vector":
                return parts["vector"]
            return parts if isinstance(output, dict) else tuple(parts.values())

    wrapped = network(Shaped(rng), output=output)
    points = cloud(rng)
    found, variance = average_with_variance(wrapped, x=points)
    torch.testing.assert_close(found, wrapped(points), rtol=0, atol=1e-15)
    assert variance.shape == ()


def test_masked_points_do_not_count(rng):
    points, wrapped = cloud(rng), network(Uneven(rng), inputs={"x": "point", "mask": "mask"})
    mask = torch.arange(6) < torch.tensor([[6], [4], [5]])
    _, together = average_with_variance(wrapped, x=torch.where(mask.unsqueeze(-1), points, 7.0), mask=mask)
    alone = [
        average_with_variance(wrapped, x=points[i : i + 1, :size], mask=mask[i : i + 1, :size])[1]
        for i, size in ((0, 6), (1, 4), (2, 5))
    ]
    expected = (6 * alone[0] + 4 * alone[1] + 5 * alone[2]) / 15
    torch.testing.assert_close(together, expected)


@pytest.mark.parametrize(
    ("kind", "shape"), [("scalar of graphs", (4,)), ("vector", (3,)), ("vector of graphs", (3, 3))]
)
def test_clouds_with_as_many_channels_as_points_are_not_masked(kind, shape, rng):
    """The output of a cloud counts whole, and an input reaches the network whole, whatever the mask."""
    given = torch.randn(2, *shape, generator=rng, dtype=torch.float64)

    class Pooled(torch.nn.Module):
        def forward(self, x, mask, given):
            seen = torch.where(mask.unsqueeze(-1), x, 0.0).sum(1).cumsum(-1).tanh()
            return given * (1 + seen.sum(-1)).reshape(-1, *[1] * len(shape))

    frame, points = PCAFrame("E(3)", degenerate="ignore"), cloud(rng, batch=2, n=shape[0])
    mask = torch.arange(shape[0]) < torch.tensor([[shape[0]], [2]])
    wrapped = FrameAverage(Pooled(), frame, inputs={"x": "point", "mask": "mask", "given": kind}, output=kind)
    found, variance = average_with_variance(wrapped, x=points, mask=mask, given=given)
    frames, factors = frame(points, mask), []
    for place, rotations in enumerate(frames.linear):
        seen = [(points[place] - frames.translation[place])[mask[place]] @ rotation for rotation in rotations]
        factors.append(torch.stack([1 + x.sum(0).cumsum(-1).tanh().sum() for x in seen]))
    expected = torch.stack([f.mean() * own for f, own in zip(factors, given, strict=True)])
    torch.testing.assert_close(found, expected)
    spread = torch.stack([f.var(unbiased=False) * own.square() for f, own in zip(factors, given, strict=True)])
    torch.testing.assert_close(variance, spread.mean())


def test_rows_that_are_said_to_be_points_must_be(rng):
    wrapped = network(Uneven(rng), inputs={"x": "point", "mask": "mask", "graph": "scalar of points"})
    with pytest.raises(ShapeError, match="scalars of points do not fit"):
        wrapped(cloud(rng), torch.ones(3, 6, dtype=torch.bool), torch.zeros(3, 5))


def test_clouds_in_one_tensor_give_the_same(rng):
    points, backbone = cloud(rng), Uneven(rng)
    _, dense = average_with_variance(network(backbone), x=points)
    flat = network(backbone, inputs={"x": "point", "graph": "graphs"})
    index = torch.arange(3).repeat_interleave(6)
    _, ragged = average_with_variance(flat, x=points.flatten(0, 1), graph=index)
    torch.testing.assert_close(ragged, dense)


def test_drawn_elements_estimate_the_variance_without_bias(rng):
    points, backbone = cloud(rng, batch=1), Uneven(rng)
    _, exact = average_with_variance(network(backbone), x=points)
    copies = points.expand(4096, -1, -1)
    drawn = network(backbone, mode="stochastic", samples=2, rng=rng)
    framed, frames = drawn.canonicalise(x=copies)
    each = drawn.each(backbone(**framed), frames, x=copies)
    pairs = [(values.split(1), weights.split(1)) for values, weights in each.values()]
    variances = [[frame_variance(*one, drawn=True).item() for one in zip(*pair, strict=True)] for pair in pairs]
    by_copy = torch.tensor(variances, dtype=torch.float64).sum(0)
    assert abs(by_copy.mean() - exact) < 5 * by_copy.std() / 64
    assert abs(by_copy.mean() / 2 - exact) > 5 * by_copy.std() / 128  # without the factor n / (n - 1)
    assert abs(average_with_variance(drawn, x=copies)[1] - exact) < 5 * by_copy.std() / 64


def test_the_penalty_teaches_equivariance(rng):
    backbone, points = Uneven(rng), cloud(rng)
    wrapped = network(backbone)
    optimiser = torch.optim.Adam(backbone.parameters(), lr=0.05)
    first = None
    for _ in range(60):
        optimiser.zero_grad()
        _, variance = average_with_variance(wrapped, x=points)
        first = variance.item() if first is None else first
        variance.backward()
        optimiser.step()
    assert variance.item() < 0.3 * first


def test_empty_batches_have_no_variance():
    assert frame_variance(torch.zeros(0, 8, 3), torch.zeros(0, 8)) == 0


def test_one_draw_and_wrong_shapes_are_refused(rng):
    with pytest.raises(ConfigError):
        average_with_variance(network(Uneven(rng), mode="stochastic", rng=rng), x=cloud(rng))
    with pytest.raises(ShapeError):
        frame_variance(torch.zeros(2, 8, 3), torch.zeros(2, 4))
    with pytest.raises(ShapeError):
        frame_variance(torch.zeros(2, 8, 3), torch.zeros(2, 8), mask=torch.ones(2, 5, dtype=torch.bool))
