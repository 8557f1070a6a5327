"""Message passing in Triton through the interpreter; `test_gpu_channelwise.py` starts it in its own process."""

import pytest
import torch
from problems import draw, orders
from triton_checks import check_parts, close, interpreted, twin

from intertwine.errors import ShapeError
from intertwine.kernels import ChannelwisePath, pack_paths
from intertwine.kernels.family import Implementation
from intertwine.kernels.gpu import implementation

TYPES = [torch.float32, torch.float64, torch.bfloat16]
# odd numbers below, between and above the lanes of a program; both kinds of number for one of them
SIZES = [(1, TYPES[1]), (3, TYPES[0]), (13, TYPES[1]), (33, TYPES[0]), (33, TYPES[1]), (123, TYPES[1])]


def coupling(rng, *shape):
    """A random coupling, about a third of it zero, as those of irreps are."""
    values = draw(rng, *shape)
    return values * (values.abs() > 0.4)


def problem(rng, dtype, channels, *, edges=4, nodes=3, source=True, destination=True, slow=False, shared=False):
    """Three paths, two of which read one block of x; with ``shared`` they also write one block and have one weight."""
    c, z, w = channels, [0, 3, 6], [0, 1, 2]
    if shared:
        z, w = [0, 0, 3], [0, 0, 1]
    paths = [
        ChannelwisePath(0, 0, z[0] * c, w[0] * c, c, coupling(rng, 1, 3, 3)),
        ChannelwisePath(c, 0, z[1] * c, w[1] * c, c, coupling(rng, 3, 3, 3)),
        ChannelwisePath(c, 3, z[2] * c, w[2] * c, c, coupling(rng, 3, 1, 1)),
    ]
    packed, terms = pack_paths(paths)
    rows, dim = nodes if source else edges, (z[2] + 1) * c
    inputs = [draw(rng, *shape, dtype=dtype) for shape in ((rows, 4 * c), (edges, 4), (edges, (w[2] + 1) * c))]
    indices = [
        torch.randint(max(nodes, 1), (edges,), generator=rng) if flag else None for flag in (source, destination)
    ]
    return inputs, [*indices, packed, terms, nodes, dim, slow]


def compare(inputs, static, dtype, rng):
    family, seed = interpreted("channelwise"), rng.initial_seed()
    ours, wanted = (
        orders(function, inputs, static, torch.Generator().manual_seed(seed)) for function in (family, family.reference)
    )
    for order, (a, b) in enumerate(zip(ours, wanted, strict=True)):
        for got, expected in zip(a, b, strict=True):
            close(got, expected, dtype, order)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_the_check_at_first_use_passes(dtype):
    assert interpreted("channelwise").state("cpu", dtype) == "ready"


@pytest.mark.parametrize(("channels", "dtype"), SIZES)
def test_equal_to_the_reference_up_to_second_order(channels, dtype, rng):
    inputs, static = problem(rng, dtype, channels)
    compare(inputs, static, dtype, rng)


@pytest.mark.parametrize("slow", [False, True], ids=["channel fast", "multiplicity slow"])
@pytest.mark.parametrize(("source", "destination"), [(False, False), (True, False), (False, True)])
def test_with_one_index_or_none(source, destination, slow, rng):
    inputs, static = problem(rng, torch.float64, 5, source=source, destination=destination, slow=slow)
    compare(inputs, static, torch.float64, rng)


def test_paths_that_share_blocks_and_weights(rng):
    inputs, static = problem(rng, torch.float64, 5, shared=True)
    compare(inputs, static, torch.float64, rng)


def test_gaps_are_zero(rng):
    inputs, static = problem(rng, torch.float64, 2)
    wide = [torch.cat([a, draw(rng, len(a), 3)], dim=1) for a in inputs]
    compare(wide, [*static[:5], static[5] + 3, False], torch.float64, rng)


def test_derivatives_and_tangents_one_by_one(rng):
    inputs, static = problem(rng, torch.float64, 3)
    check_parts("channelwise", inputs, static, rng)


@pytest.mark.parametrize(("edges", "nodes"), [(0, 3), (1, 9), (0, 0)])
def test_nodes_without_edges(edges, nodes, rng):
    inputs, static = problem(rng, torch.float64, 3, edges=edges, nodes=nodes)
    compare(inputs, static, torch.float64, rng)


def test_strided_inputs_and_indices(rng):
    inputs, static = problem(rng, torch.float64, 3)
    strided = [a.T.contiguous().T for a in inputs]
    pairs = torch.stack(static[:2], dim=1)
    assert not any(a.is_contiguous() for a in (*strided, pairs[:, 0]))
    compare(strided, [pairs[:, 0], pairs[:, 1], *static[2:]], torch.float64, rng)


def test_gradients_against_finite_differences(rng):
    inputs, static = problem(rng, torch.float64, 1, edges=2)
    leaves = [a.requires_grad_() for a in inputs]

    def call(*args):
        return interpreted("channelwise")(*args, *static)

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_edge_to_nowhere_is_refused(place, wrong, rng):
    inputs, static = problem(rng, torch.float64, 2)
    static[place][1] = wrong
    with pytest.raises(ShapeError) as caught:
        interpreted("channelwise")(*inputs, *static)
    assert wrong in caught.value.got.values()


def test_missing_rows_are_refused(rng):
    inputs, static = problem(rng, torch.float64, 2)
    with pytest.raises(ShapeError) as caught:
        implementation("channelwise").value([inputs[0], inputs[1], inputs[2][1:]], static)
    assert caught.value.got["w"] == (3, 6)


def test_blocks_that_overlap_in_part_are_refused(rng):
    paths = [ChannelwisePath(0, 0, z, 2 * z, 2, torch.ones(1, 1, 1)) for z in (0, 1)]
    packed, terms = pack_paths(paths)
    inputs = [draw(rng, *shape) for shape in ((4, 2), (4, 1), (4, 4))]
    with pytest.raises(ShapeError, match="overlap"):
        implementation("channelwise").value(inputs, [None, torch.zeros(4).long(), packed, terms, 1, 3, False])


@pytest.mark.parametrize("kind", ["value", "gradient", "tangent"])
def test_a_broken_kernel_is_found_at_first_use(kind):
    good = implementation("channelwise")

    def broken(*arguments):
        found = getattr(good, kind)(*arguments)
        return found * 1.001 if kind == "value" else [None if a is None else a * 1.001 for a in found]

    operators = {name: getattr(good, name) for name in ("value", "gradient", "tangent")} | {kind: broken}
    family = twin("channelwise", Implementation(**operators), label=f"broken_{kind}")
    with pytest.warns(UserWarning, match="differs from the reference"):
        assert not family.ready("cpu", torch.float32)
