"""The kernels for CUDA on a device: right, the same bits again, compiled, and without messages in memory."""

import pytest
import torch
from problems import CHANNELS, FAMILIES, PROBLEMS, channelwise_problem, draw, orders

from intertwine.kernels.gpu import register
from intertwine.testing import tolerance

pytestmark = pytest.mark.gpu

TYPES = [torch.float32, torch.float64, torch.bfloat16]
NAMES = list(FAMILIES)


@pytest.fixture(scope="module", autouse=True)
def _registered():
    register()


def moved(values):
    return [a.cuda() if isinstance(a, torch.Tensor) else a for a in values]


def on_device(function, inputs, static, rng):
    """Value and derivatives of a problem on the device, with cotangents drawn on the host."""
    leaves = [a.detach().cuda().requires_grad_() for a in inputs]
    value = function(*leaves, *moved(static))
    g = draw(rng, *value.shape, dtype=value.dtype).cuda().requires_grad_()
    first = torch.autograd.grad(value, leaves, g, create_graph=True)
    along = [draw(rng, *part.shape, dtype=part.dtype).cuda() for part in first]
    second = torch.autograd.grad(first, [*leaves, g], along, materialize_grads=True)
    return [value], list(first), list(second)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_check_at_first_use_passes(name, dtype):
    assert FAMILIES[name].state("cuda", dtype) == "ready"


@pytest.mark.parametrize("dtype", TYPES[:2], ids=str)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_reference_on_the_host(name, channels, dtype, rng):
    inputs, static = PROBLEMS[name](rng, dtype, channels)
    family, seed = FAMILIES[name], rng.initial_seed()
    ours = on_device(family, inputs, static, torch.Generator().manual_seed(seed))
    exact = [a.double() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in static]
    wide = [a.double() for a in inputs]
    wanted = orders(family.reference, wide, exact, torch.Generator().manual_seed(seed))
    for order, (a, b) in enumerate(zip(ours, wanted, strict=True)):
        for got, expected in zip(a, b, strict=True):
            size = expected.detach().abs().max().item() if expected.numel() else 1.0
            limits = tolerance(dtype, size=size, epsilons=64 * 4 ** (order + 1))
            torch.testing.assert_close(got.detach().cpu().double(), expected.detach(), **limits)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_again(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float32, 33)
    seed = rng.initial_seed()
    first, second = (on_device(FAMILIES[name], inputs, static, torch.Generator().manual_seed(seed)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(a, b, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_compiled_without_breaks(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float32, 16)
    leaves = [a.cuda().requires_grad_() for a in inputs]
    fixed = moved(static)

    def call(*args):
        return FAMILIES[name](*args, *fixed)

    got, wanted = torch.compile(call, fullgraph=True)(*leaves), call(*leaves)
    assert torch.equal(got, wanted)
    for a, b in zip(torch.autograd.grad(got.sum(), leaves), torch.autograd.grad(wanted.sum(), leaves), strict=True):
        torch.testing.assert_close(a, b)


def test_no_edges_and_strided_rows(rng):
    inputs, static = channelwise_problem(rng, torch.float32, 13, edges=0)
    got = FAMILIES["channelwise"](*moved(inputs), *moved(static))
    assert torch.equal(got, torch.zeros_like(got))
    inputs, static = channelwise_problem(rng, torch.float32, 13)
    strided = [a.T.contiguous().T.cuda() for a in inputs]
    wanted = FAMILIES["channelwise"](*moved(inputs), *moved(static))
    assert torch.equal(FAMILIES["channelwise"](*strided, *moved(static)), wanted)


def test_no_message_is_stored(rng):
    edges, channels = 20_000, 64
    inputs, static = channelwise_problem(rng, torch.float32, channels, edges=edges, nodes=500)
    inputs, static = moved(inputs), moved(static)
    FAMILIES["channelwise"](*inputs, *static)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    z = FAMILIES["channelwise"](*inputs, *static)
    torch.cuda.synchronize()
    messages = edges * z.shape[1] * 4
    assert torch.cuda.max_memory_allocated() - before < messages / 10
