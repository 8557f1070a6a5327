"""Fused layers of points against their formulas: values, gradients, running statistics, and shapes that do not fit."""

import pytest
import torch
from torch import nn

from intertwine.errors import ShapeError
from intertwine.nn.batch_moments import batch_moments, batch_moments_reference
from intertwine.nn.blocks import Buffers, CloudShift, cloud_groups, row_blocks, spread
from intertwine.nn.normed_linear import normed_linear, normed_linear_reference
from intertwine.nn.pooled_linear import largest_points, pooled_linear, pooled_linear_reference

DOUBLE = torch.float64


def draw(*shape, rng):
    return torch.randn(*shape, generator=rng, dtype=DOUBLE, requires_grad=True)


def same_gradients(outputs, expected, leaves, rng, **close):
    """Compare two ways to the same outputs, and the gradients of a random combination of them."""
    outputs, expected = (found if isinstance(found, tuple) else (found,) for found in (outputs, expected))
    factors = [torch.randn(out.shape, generator=rng, dtype=DOUBLE) for out in expected]
    for one, other in zip(outputs, expected, strict=True):
        torch.testing.assert_close(one, other, **close)
    found = torch.autograd.grad(outputs, leaves, factors, allow_unused=True)
    wanted = torch.autograd.grad(expected, leaves, factors, allow_unused=True)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, torch.zeros_like(one) if other is None else other, **close)


# --- blocks ----------------------------------------------------------------------------------------------


def test_blocks_cover_all_rows_in_whole_clouds():
    for count, multiple in ((10_000, 1), (7 * 1000, 7), (3 * 5000, 5000), (0, 1)):
        blocks = list(row_blocks(count, torch.device("cpu"), multiple))
        assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(count))
        assert all(block.start % multiple == 0 and block.stop % multiple == 0 for block in blocks)


def test_groups_hold_clouds_of_one_size():
    sizes = [3, 3, 3, 0, 5, 5, 100]
    groups = list(cloud_groups(sizes, 6))
    assert [(group.clouds.start, group.clouds.stop, group.size) for group in groups] == [
        (0, 2, 3), (2, 3, 3), (4, 5, 5), (5, 6, 5), (6, 7, 100),
    ]  # fmt: skip
    assert [row for group in groups for row in range(group.rows.start, group.rows.stop)] == list(range(sum(sizes)))


@pytest.mark.parametrize("sizes", [(4, 4, 4), (1, 0, 5, 2), (1, 1)])
def test_shifts_and_their_sums(sizes, rng):
    shift, rows = draw(len(sizes), 2, rng=rng), draw(sum(sizes), 2, rng=rng)
    shifts, total = CloudShift(sizes, torch.device("cpu")), torch.zeros(len(sizes), 2, dtype=DOUBLE)
    whole = slice(0, sum(sizes))
    assert torch.equal(shifts.rows(shift, whole), spread(shift, sizes))
    shifts.add(total, rows.detach(), whole)
    expected = [part.sum(0) for part in rows.split(list(sizes))]
    torch.testing.assert_close(total, torch.stack(expected).detach())


def test_buffers_are_used_again_and_forgotten_with_the_size():
    buffers, like = Buffers(), torch.zeros(1)
    one = buffers.take(5, 3, like)
    buffers.give([one])
    assert buffers.reclaim([one])
    buffers.give([one])
    assert buffers.take(5, 3, like) is one
    assert buffers.take(5, 3, like) is not one
    assert not buffers.reclaim([one]), "it is in use"
    buffers.give([one])
    assert buffers.take(6, 3, like).shape == (6, 3)
    assert buffers.take(5, 3, like) is not one


# --- moments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "channels"), [(9000, 7), (5, 3), (40, 1)])
def test_moments_equal_their_formula(rows, channels, rng):
    x = draw(rows, channels, rng=rng)
    same_gradients(batch_moments(x), batch_moments_reference(x), [x], rng)
    torch.testing.assert_close(batch_moments(x)[1], torch.cov(x.mT, correction=0).reshape(channels, channels))


def test_moments_pass_gradcheck(rng):
    assert torch.autograd.gradcheck(batch_moments, (draw(6, 5, rng=rng),))


# --- pooling ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 16, 17, 100, 300, 1024])
def test_largest_points_are_found(count, rng):
    values = torch.randn(2, count, 5, generator=rng)
    found, place = largest_points(values)
    assert torch.equal(found, values.amax(1))
    assert torch.equal(values.gather(1, place.unsqueeze(1)).squeeze(1), found)


def test_the_first_of_equal_points_is_found():
    values = torch.zeros(1, 200, 1)
    assert largest_points(values)[1].item() == 0
    values[:, [37, 38, 150]] = 1
    assert largest_points(values)[1].item() == 37


@pytest.mark.parametrize("sizes", [(40, 40, 40), (3, 0, 50, 1), (1,), (3000, 5)])
def test_pooling_equals_its_formula(sizes, rng):
    x, weight, bias = draw(sum(sizes), 6, rng=rng), draw(20, 6, rng=rng), draw(20, rng=rng)
    leaves = [x, weight, bias]
    same_gradients(pooled_linear(*leaves, sizes), pooled_linear_reference(*leaves, sizes), leaves, rng)


def test_pooling_passes_gradcheck_and_needs_no_gradient_of_rows(rng):
    x, weight, bias = draw(9, 3, rng=rng), draw(4, 3, rng=rng), draw(4, rng=rng)
    assert torch.autograd.gradcheck(lambda *leaves: pooled_linear(*leaves, (4, 5)), (x, weight, bias))
    pooled_linear(x.detach(), weight, bias, (4, 5)).sum().backward()
    assert weight.grad is not None


def test_no_clouds_give_no_values():
    empty = torch.zeros(0, 3)
    assert pooled_linear(empty, torch.ones(4, 3), torch.ones(4), ()).shape == (0, 4)


def test_the_whole_image_is_never_in_memory():
    """64 clouds of 512 points and 512 channels: 64 MB in float32, where blocks of 8 MB are made."""
    x, weight, bias = torch.randn(64 * 512, 8), torch.randn(512, 8), torch.zeros(512)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        pooled_linear(x, weight, bias, (512,) * 64)
    largest = max(event.self_cpu_memory_usage / max(event.count, 1) for event in profile.key_averages())
    assert largest < 16e6


# --- normalised maps -------------------------------------------------------------------------------------


def problem(rng, sizes, slope, outputs=6, parts=(4, 3), shift=True):
    rows = sum(sizes)
    norms = [nn.BatchNorm1d(outputs).double() for _ in range(2)]
    with torch.no_grad():
        for tensor in (norms[0].weight, norms[0].bias, norms[0].running_mean):
            tensor.copy_(torch.randn(outputs, generator=rng))
    norms[1].load_state_dict(norms[0].state_dict())
    inputs, weights = [draw(rows, n, rng=rng) for n in parts], [draw(outputs, n, rng=rng) for n in parts]
    options = {"bias": draw(outputs, rng=rng), "slope": slope}
    if shift:
        options |= {"shift": draw(len(sizes), outputs, rng=rng), "sizes": sizes}
    return inputs, weights, norms, options


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("sizes", [(40, 40), (2, 0, 90), (5000, 5000)])
def test_normalised_maps_equal_their_formula(training, slope, sizes, rng):
    inputs, weights, norms, options = problem(rng, sizes, slope)
    for norm in norms:
        norm.train(training)
    found = normed_linear(inputs, weights, norms[0], **options)
    expected = normed_linear_reference(inputs, weights, norms[1], **options)
    leaves = [*inputs, *weights, options["bias"], options["shift"]]
    same_gradients(found, expected, leaves, rng, rtol=1e-8, atol=1e-8)
    for one, other in zip(norms[0].buffers(), norms[1].buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_gradients_of_the_norm_are_those_of_torch(rng):
    inputs, weights, norms, options = problem(rng, (30,), 0.1, shift=False)
    factor = torch.randn(30, 6, generator=rng, dtype=DOUBLE)
    for norm, compute in zip(norms, (normed_linear, normed_linear_reference), strict=True):
        (compute(inputs, weights, norm, **options) * factor).sum().backward()
    torch.testing.assert_close(norms[0].weight.grad, norms[1].weight.grad)
    torch.testing.assert_close(norms[0].bias.grad, norms[1].bias.grad)


def test_a_bias_before_a_norm_that_learns_has_no_gradient(rng):
    inputs, weights, norms, options = problem(rng, (30,), 0.0, shift=False)
    normed_linear(inputs, weights, norms[0], **options).square().sum().backward()
    assert torch.equal(options["bias"].grad, torch.zeros(6, dtype=DOUBLE))


def test_normalised_maps_pass_gradcheck(rng):
    inputs, weights, norms, options = problem(rng, (4, 5), 0.3, outputs=3, parts=(2, 2))

    def call(a, b, v, w, shift):
        return normed_linear([a, b], [v, w], norms[0], shift=shift, sizes=(4, 5), slope=0.3)

    assert torch.autograd.gradcheck(call, (*inputs, *weights, options["shift"]))


def test_means_far_from_zero_lose_nothing(rng):
    """In float32 about 1e4: a difference of mean squares would lose the variance of 1."""
    x = (torch.randn(20_000, 1, generator=rng) + 1e4).requires_grad_()
    norm = nn.BatchNorm1d(1)
    found = normed_linear([x], [torch.ones(1, 1)], norm, slope=1.0)
    assert found.std().item() == pytest.approx(1, abs=1e-3)
    assert norm.running_var.item() == pytest.approx(0.9 + 0.1 * x.double().var().item(), rel=1e-5)


def test_a_moving_average_without_momentum_is_the_mean_of_all_batches(rng):
    norms = [nn.BatchNorm1d(2, momentum=None).double() for _ in range(2)]
    for _ in range(3):
        x = torch.randn(20, 2, generator=rng, dtype=DOUBLE)
        normed_linear([x], [torch.eye(2, dtype=DOUBLE)], norms[0])
        norms[1](x)
    for one, other in zip(norms[0].buffers(), norms[1].buffers(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_wrong_gradient_would_be_seen(rng, monkeypatch):
    """The comparison with the formula catches a backward pass that forgets that statistics depend on the rows."""
    from intertwine.nn import normed_linear as module

    monkeypatch.setattr(module.torch, "addcmul", lambda *args, **kwargs: torch.ones(()), raising=True)
    inputs, weights, norms, options = problem(rng, (40,), 0.0, shift=False)
    expected = normed_linear_reference(inputs, weights, norms[1], **options)
    with pytest.raises(AssertionError):
        same_gradients(normed_linear(inputs, weights, norms[0], **options), expected, inputs, rng)


def test_rows_that_do_not_fit_are_refused(rng):
    inputs, weights, norms, options = problem(rng, (4, 5), 0.0)
    with pytest.raises(ShapeError, match="do not fit"):
        pooled_linear(inputs[0], weights[1], torch.zeros(6), (4, 5))
    with pytest.raises(ShapeError, match="do not fit"):
        pooled_linear(inputs[0], weights[0], torch.zeros(6), (4, 4))
    with pytest.raises(ShapeError, match="sizes"):
        normed_linear(inputs, weights, norms[0], shift=options["shift"])
    with pytest.raises(ShapeError, match="one shift"):
        normed_linear(inputs, weights, norms[0], shift=options["shift"][:1], sizes=(4, 5))
    with pytest.raises(ShapeError, match="different numbers"):
        normed_linear([inputs[0], inputs[1][:3]], weights, norms[0])
    with pytest.raises(ShapeError, match="two rows"):
        normed_linear([inputs[0][:1]], weights[:1], norms[0])
