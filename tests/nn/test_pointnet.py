"""PointNet: contract, the fused network against the one written out, weights, masks, memory and repeated passes."""

import copy

import pytest
import torch
from torch import nn

from intertwine.errors import ConfigError, NumericsError, ShapeError
from intertwine.nn import PointNet
from intertwine.nn.pointnet import PooledHead, PooledLinear, SharedMLP
from intertwine.testing import ModuleContract

DOUBLE = torch.float64
SMALL = {"inputs": 4, "trunk": (8, 12, 20, 48), "head": (16, 12, 8)}


def scrambled(module, rng):
    """Give norms scales of both signs, so that what is largest before and after them differs."""
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm1d):
                for tensor in (part.weight, part.bias, part.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=rng))
                part.running_var.copy_(torch.rand(part.running_var.shape, generator=rng) + 0.5)
    return module


def pair(rng, **settings):
    """A fused network and one that is written out, with equal weights."""
    fused = scrambled(PointNet(**(SMALL | settings), rng=rng), rng).double()
    plain = PointNet(**(SMALL | settings), fused=False).double()
    plain.load_state_dict(fused.state_dict())
    return fused, plain


class _Points(ModuleContract):
    batches = True
    differentiable = 1

    def build(self):
        rng = torch.Generator().manual_seed(3)
        return scrambled(PointNet(**SMALL, rng=rng), rng).eval()

    def inputs(self, rng, dtype):
        return {"points": torch.randn(2, 9, 4, generator=rng, dtype=dtype)}

    def singles(self, rng, dtype):
        return [{"points": torch.randn(1, 9, 4, generator=rng, dtype=dtype)} for _ in range(3)]

    def join(self, singles):
        return {"points": torch.cat([single["points"] for single in singles])}

    def empty_inputs(self, dtype):
        return {"points": torch.zeros(0, 9, 4, dtype=dtype)}


class TestPointNet(_Points):
    compiles = False  # the fused pooling is a loop over clouds


class TestPointNetWrittenOut(_Points):
    differentiable = 2

    def build(self):
        rng = torch.Generator().manual_seed(3)
        return scrambled(PointNet(**SMALL, fused=False, rng=rng), rng).eval()


def test_the_published_network_has_its_number_of_weights():
    assert sum(weight.numel() for weight in PointNet().parameters()) == 2_509_699


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", [(70, 70, 70), (1, 3, 50, 0, 17)])
def test_the_fused_network_equals_the_one_written_out(training, sizes, rng):
    fused, plain = pair(rng)
    mask = torch.arange(max(sizes)) < torch.tensor(sizes).unsqueeze(1)
    points = torch.randn(*mask.shape, 4, generator=rng, dtype=DOUBLE)
    factor = torch.randn(*mask.shape, 3, generator=rng, dtype=DOUBLE)
    found = {}
    for name, network in (("fused", fused), ("plain", plain)):
        network.train(training)
        given = points.clone().requires_grad_()
        output = network(given, mask)
        (output * factor).sum().backward()
        found[name] = [output, given.grad, *(p.grad for p in network.parameters()), *network.buffers()]
    for one, other in zip(found["fused"], found["plain"], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_many_blocks_equal_one(rng):
    """More rows than a block, and clouds that do not divide it."""
    fused, plain = pair(rng)
    points = torch.randn(9, 1000, 4, generator=rng, dtype=DOUBLE)
    for network in (fused, plain):
        network(points).square().sum().backward()
    for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-8)


def test_the_step_passes_gradcheck(rng):
    network = scrambled(PointNet(2, (3, 4, 6), (5, 3), 2, rng=rng), rng).double()
    points = torch.randn(2, 6, 2, generator=rng, dtype=DOUBLE, requires_grad=True)
    weights = [network.head.wide.map.weight, network.head.wide.norm.weight, network.head.first.weight]

    def call(given, *_):
        return network(given)

    assert torch.autograd.gradcheck(call, (points, *weights))


def test_float32_is_near_float64(rng):
    fused, plain = pair(rng)
    points = torch.randn(4, 300, 4, generator=rng, dtype=DOUBLE)
    expected = plain(points)
    torch.testing.assert_close(fused.float()(points.float()).double(), expected, rtol=1e-4, atol=1e-4)


def test_masked_clouds_equal_clouds_alone(rng):
    fused, _ = pair(rng)
    fused.eval()
    points = torch.randn(3, 20, 4, generator=rng, dtype=DOUBLE)
    mask = torch.arange(20) < torch.tensor([[20], [7], [1]])
    points[~mask] = torch.nan
    together = fused(points, mask)
    for cloud, size in enumerate((20, 7, 1)):
        alone = fused(points[cloud : cloud + 1, :size])
        torch.testing.assert_close(together[cloud, :size], alone[0], rtol=1e-12, atol=1e-12)
        assert (together[cloud, size:] == 0).all()


def test_two_steps_do_not_share_memory_and_a_pass_may_be_repeated(rng):
    fused, plain = pair(rng)
    first, second = torch.randn(2, 3, 40, 4, generator=rng, dtype=DOUBLE)
    for network in (fused, plain):
        a, b = network(first).square().sum(), network(second).square().sum()
        a.backward(retain_graph=True)
        a.backward()
        b.backward()
    for one, other in zip(fused.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-8, atol=1e-8)


def test_a_repeated_pass_over_overwritten_values_is_refused(rng):
    fused, _ = pair(rng)
    points = torch.randn(3, 40, 4, generator=rng, dtype=DOUBLE)
    loss = fused(points).sum()
    loss.backward(retain_graph=True)
    fused(points).sum().backward()
    fused(points)
    with pytest.raises(NumericsError, match="overwritten"):
        loss.backward()


def test_copies_have_memory_of_their_own(rng):
    fused, _ = pair(rng)
    points = torch.randn(3, 40, 4, generator=rng, dtype=DOUBLE)
    fused(points).sum().backward()
    twin = copy.deepcopy(fused)
    assert twin._memory is not fused._memory
    torch.testing.assert_close(twin(points), fused(points))


def test_the_step_needs_less_memory_than_what_it_never_writes(rng):
    """Eight clouds of 512 points, 2048 pooled channels: their image of all points would be 32 MB, joined 77 MB."""
    network = PointNet(rng=rng)
    points = torch.randn(8, 512, 3, generator=rng)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        network(points).sum().backward()
    largest = max(event.self_cpu_memory_usage / max(event.count, 1) for event in profile.key_averages())
    assert largest < 20e6


def test_statistics_without_gradients_are_learnt_too(rng):
    fused, plain = pair(rng)
    points = torch.randn(3, 40, 4, generator=rng, dtype=DOUBLE)
    with torch.no_grad():
        torch.testing.assert_close(fused(points), plain(points))
    for one, other in zip(fused.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_parts_written_out_equal_the_fused_ones(rng):
    rows, sizes = torch.randn(60, 5, generator=rng, dtype=DOUBLE), (20, 40)
    for build, call in (
        (lambda fused: SharedMLP((5, 8, 6), slope=0.2, last_active=False, fused=fused), lambda m: m(rows)[-1]),
        (lambda fused: PooledLinear(5, 9, fused=fused), lambda m: m(rows, sizes)),
        (lambda fused: PooledHead((5,), 9, (7, 4), 2, fused=fused), lambda m: m([rows], sizes)),
    ):
        one, other = scrambled(build(True), rng).double(), build(False).double()
        other.load_state_dict(one.state_dict())
        for training in (True, False):
            torch.testing.assert_close(call(one.train(training)), call(other.train(training)))
        for a, b in zip(one.buffers(), other.buffers(), strict=True):
            torch.testing.assert_close(a, b)


def test_clouds_and_widths_that_do_not_fit_are_refused(rng):
    network = PointNet(**SMALL)
    with pytest.raises(ShapeError, match="batches"):
        network(torch.zeros(5, 4))
    with pytest.raises(ShapeError, match="batches"):
        network(torch.zeros(2, 5, 4), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(ShapeError, match="two rows"):
        network(torch.zeros(1, 1, 4))
    with pytest.raises(ConfigError):
        PointNet(trunk=(8,))
