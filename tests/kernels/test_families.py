"""Every kernel against its reference: values, first and second derivatives, and what a user may throw at it."""

import pytest
import torch
from problems import CHANNELS, FAMILIES, PROBLEMS, channelwise_problem, draw, orders, symmetric_problem

from intertwine.errors import ShapeError
from intertwine.kernels import ChannelwisePath, pack_paths
from intertwine.testing import DTYPES, tolerance

NAMES = list(FAMILIES)


def _reseeded(rng):
    return torch.Generator().manual_seed(rng.initial_seed())


def _compare(name, inputs, static, dtype, rng):
    family = FAMILIES[name]
    assert family.state("cpu", dtype) == "ready"
    ours = orders(family, inputs, static, _reseeded(rng))
    expected = orders(family.reference, inputs, static, _reseeded(rng))
    for order, (got, wanted) in enumerate(zip(ours, expected, strict=True)):
        for a, b in zip(got, wanted, strict=True):
            size = b.detach().abs().max().item() if b.numel() else 1.0
            torch.testing.assert_close(a, b, **tolerance(dtype, size=size, epsilons=64 * 4**order))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", NAMES)
def test_equal_to_the_reference_up_to_second_order(name, channels, dtype, rng):
    inputs, static = PROBLEMS[name](rng, dtype, channels)
    _compare(name, inputs, static, dtype, rng)


@pytest.mark.parametrize("nodes", [5, 9], ids=["many edges a node", "few edges a node"])
@pytest.mark.parametrize("missing", ["x", "y", "w"])
def test_second_derivatives_along_some_inputs_only(missing, nodes, rng):
    """Gradients go node by node or row by row, after how many edges share a node; each takes missing tangents."""
    inputs, static = channelwise_problem(rng, torch.float64, 17, nodes=nodes)
    seconds = []
    for function in (FAMILIES["channelwise"], FAMILIES["channelwise"].reference):
        leaves = [a.detach().requires_grad_(name != missing) for name, a in zip("xyw", inputs, strict=True)]
        value = function(*leaves, *static)
        wanted = [a for a in leaves if a.requires_grad]
        first = torch.autograd.grad(value, wanted, torch.ones_like(value), create_graph=True)
        seconds.append(torch.autograd.grad(first, wanted, [torch.ones_like(a) for a in wanted]))
    for got, expected in zip(*seconds, strict=True):
        size = expected.abs().max().item()
        torch.testing.assert_close(got, expected, **tolerance(torch.float64, size=size, epsilons=1024))


@pytest.mark.parametrize("slow", [False, True], ids=["channel fast", "multiplicity slow"])
@pytest.mark.parametrize("channels", [1, 17, 48])
@pytest.mark.parametrize("dtype", DTYPES)
def test_plain_product_without_edges_between_nodes(dtype, channels, slow, rng):
    inputs, static = channelwise_problem(rng, dtype, channels, summed=False, slow=slow)
    _compare("channelwise", inputs, static, dtype, rng)


@pytest.mark.parametrize("slow", [False, True], ids=["channel fast", "multiplicity slow"])
def test_large_rows_take_the_path_past_the_caches(slow, rng):
    """Streaming stores begin at 8 MiB of output."""
    inputs, static = channelwise_problem(rng, torch.float32, 64, edges=2000, summed=False, slow=slow)
    family = FAMILIES["channelwise"]
    assert inputs[0].shape[0] * static[-2] * 4 > 8 << 20
    got, wanted = family(*inputs, *static), family.reference(*inputs, *static)
    torch.testing.assert_close(got, wanted, **tolerance(torch.float32, size=wanted.abs().max().item(), epsilons=64))


@pytest.mark.parametrize("summed", [False, True], ids=["rows of their own", "between nodes"])
def test_large_derivatives_take_the_path_past_the_caches(summed, rng):
    """Streaming stores of the derivative by the weights begin at 8 MiB; between nodes the edges go in parts."""
    inputs, static = channelwise_problem(rng, torch.float32, 64, edges=5000, nodes=50, summed=summed)
    assert inputs[2].numel() * 4 > 8 << 20
    family = FAMILIES["channelwise"]
    results = []
    for function in (family, family.reference):
        leaves = [a.detach().requires_grad_() for a in inputs]
        value = function(*leaves, *static)
        results.append(torch.autograd.grad(value, leaves, torch.linspace(-1, 1, value.numel()).view_as(value)))
    for got, wanted in zip(*results, strict=True):
        size = wanted.abs().max().item()
        torch.testing.assert_close(got, wanted, **tolerance(torch.float32, size=size, epsilons=256))


@pytest.mark.parametrize("slow", [False, True], ids=["channel fast", "multiplicity slow"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_paths_that_share_weights_and_outputs_add_up(dtype, slow, rng):
    """Two paths with one block of weights and one of outputs, and weights and outputs that no path names."""
    channels, edges = 19, 6
    couplings = [draw(rng, 3, 3, 3), draw(rng, 1, 1, 3)]
    packed, terms = pack_paths(
        [
            ChannelwisePath(0, 1, channels, channels, channels, couplings[0]),
            ChannelwisePath(3 * channels, 0, channels, channels, channels, couplings[1]),
        ]
    )
    inputs = [draw(rng, edges, size, dtype=dtype) for size in (4 * channels, 4, 3 * channels)]
    static = [None, None, packed, terms, edges, 5 * channels, slow]
    _compare("channelwise", inputs, static, dtype, rng)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_against_finite_differences(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float64, 2)
    leaves = [a.requires_grad_() for a in inputs]

    def call(*args):
        return FAMILIES[name](*args, *static)

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_third_derivatives_come_from_the_reference(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float64, 2)
    leaves = [a.requires_grad_() for a in inputs]

    def curvature(*args):
        value = FAMILIES[name](*args, *static)
        first = torch.autograd.grad(value.square().sum(), args, create_graph=True)
        return torch.autograd.grad(sum(part.square().sum() for part in first), args, create_graph=True)

    assert torch.autograd.gradcheck(curvature, leaves, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_only_some_inputs_need_gradients(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float64, 3)
    for index in range(len(inputs)):
        leaves = [a.clone().requires_grad_(i == index) for i, a in enumerate(inputs)]
        got = torch.autograd.grad(FAMILIES[name](*leaves, *static).square().sum(), leaves[index])[0]
        wanted = torch.autograd.grad(FAMILIES[name].reference(*leaves, *static).square().sum(), leaves[index])[0]
        torch.testing.assert_close(got, wanted, **tolerance(torch.float64, size=wanted.abs().max().item()))


@pytest.mark.parametrize("name", NAMES)
def test_strided_inputs(name, rng):
    inputs, static = PROBLEMS[name](rng, torch.float64, 5)
    spread = [torch.stack([a, a + 1], dim=-1)[..., 0] for a in inputs]
    assert not any(a.is_contiguous() for a in spread)
    torch.testing.assert_close(FAMILIES[name](*spread, *static), FAMILIES[name](*inputs, *static), rtol=0, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "empty"),
    [
        ("channelwise", {"edges": 0}),
        ("symmetric_polynomials", {"atoms": 0}),
        ("harmonics", {"count": 0}),
        ("grid_product", {"batch": 0}),
    ],
)
def test_empty_batches(name, empty, dtype, rng):
    if name == "harmonics":
        inputs, static = PROBLEMS[name](rng, dtype, 0)
    else:
        inputs, static = PROBLEMS[name](rng, dtype, 4, **empty)
    _compare(name, inputs, static, dtype, rng)


@pytest.mark.parametrize("name", NAMES)
def test_results_repeat_to_the_bit_whatever_the_threads(name, rng):
    """More atoms and edges than one chunk of work; sums have a fixed order."""
    more = {"channelwise": {"edges": 3000, "nodes": 300}, "symmetric_polynomials": {"atoms": 600}}.get(name, {})
    inputs, static = PROBLEMS[name](rng, torch.float32, 40, **more)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append([a for parts in orders(FAMILIES[name], inputs, static, _reseeded(rng)) for a in parts])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_nodes_without_edges_are_zero(rng):
    inputs, static = channelwise_problem(rng, torch.float64, 4)
    static[1] = torch.zeros_like(static[1])
    assert (FAMILIES["channelwise"](*inputs, *static)[1:] == 0).all()


def test_indices_out_of_range_are_refused(rng):
    inputs, static = channelwise_problem(rng, torch.float64, 4)
    for place in (0, 1):
        for wrong in (-1, 5):
            bad = list(static)
            bad[place] = static[place].clone()
            bad[place][3] = wrong
            with pytest.raises(ShapeError) as caught:
                FAMILIES["channelwise"](*inputs, *bad)
            assert "node" in str(caught.value)
    inputs, static = symmetric_problem(rng, torch.float64, 4)
    static[0] = static[0] + 1
    with pytest.raises(ShapeError) as caught:
        FAMILIES["symmetric_polynomials"](*inputs, *static)
    assert caught.value.got["largest"] == 3


def test_inputs_are_not_changed(rng):
    for name in NAMES:
        inputs, static = PROBLEMS[name](rng, torch.float64, 6)
        before = [a.clone() for a in inputs]
        orders(FAMILIES[name], inputs, static, rng)
        assert all(torch.equal(a, b) for a, b in zip(before, inputs, strict=True))


def test_a_wrong_twin_is_seen_by_the_comparison(rng):
    """The comparison of this file fails for a kernel that is wrong by a thousandth in one derivative only."""
    inputs, static = channelwise_problem(rng, torch.float64, 4)
    reference = FAMILIES["channelwise"].reference

    class Twin(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g * 1.001

    def twin(x, *rest):
        return reference(Twin.apply(x), *rest)

    ours, expected = (orders(f, inputs, static, _reseeded(rng)) for f in (twin, reference))
    torch.testing.assert_close(ours[0][0], expected[0][0])
    size = expected[1][0].abs().max().item()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(ours[1][0], expected[1][0], **tolerance(torch.float64, size=size, epsilons=256))


def test_derivatives_without_cotangents_are_left_out(rng):
    """Only the gradient by one input is differentiated again: the other cotangents are None."""
    inputs, static = channelwise_problem(rng, torch.float64, 3)
    results = []
    for function in (FAMILIES["channelwise"], FAMILIES["channelwise"].reference):
        leaves = [a.clone().requires_grad_() for a in inputs]
        first = torch.autograd.grad(function(*leaves, *static).square().sum(), leaves, create_graph=True)
        results.append(torch.autograd.grad(first[1].square().sum(), leaves))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, **tolerance(torch.float64, size=b.abs().max().item(), epsilons=1024))
    assert draw(rng, 1).shape == (1,)
