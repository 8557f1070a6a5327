import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intertwine.errors import ShapeError
from intertwine.graphs import segment_mean, segment_softmax, segment_sum
from intertwine.testing import tolerance


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 20), st.integers(1, 6), st.lists(st.integers(0, 3), max_size=2))
def test_sum_and_mean_match_numpy(seed, items, count, channels):
    rng = torch.Generator().manual_seed(seed)
    values = torch.randn(items, *channels, generator=rng, dtype=torch.float64)
    index = torch.randint(count, (items,), generator=rng)
    wanted = np.zeros((count, *channels))
    np.add.at(wanted, index.numpy(), values.numpy())
    np.testing.assert_allclose(segment_sum(values, index, count), wanted, rtol=1e-13, atol=1e-14)
    sizes = np.maximum(np.bincount(index.numpy(), minlength=count), 1).reshape(-1, *[1] * len(channels))
    np.testing.assert_allclose(segment_mean(values, index, count), wanted / sizes, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("reduce", [segment_sum, segment_mean, segment_softmax])
def test_first_and_second_derivatives(reduce):
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(6, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 3, 3, 1, 0, 0])
    function = lambda v: reduce(v**3, index, 5)  # noqa: E731
    assert torch.autograd.gradcheck(function, values)
    assert torch.autograd.gradgradcheck(function, values)


def test_equal_calls_give_equal_bits():
    rng = torch.Generator().manual_seed(0)
    values = torch.randn(5000, generator=rng)
    index = torch.randint(7, (5000,), generator=rng)
    assert torch.equal(segment_sum(values, index, 7), segment_sum(values, index, 7))


def test_softmax_is_that_of_each_segment_and_does_not_overflow():
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(9, 2, generator=rng, dtype=torch.float64)
    index = torch.tensor([3, 0, 3, 3, 1, 0, 3, 1, 1])
    found = segment_softmax(scores, index, 5)
    for segment in range(5):
        rows = index == segment
        torch.testing.assert_close(found[rows], torch.softmax(scores[rows], dim=0))
    moved = segment_softmax(scores + torch.tensor([800.0, -800.0]), index, 5)
    torch.testing.assert_close(moved, found, **tolerance(torch.float64, 1 << 14))
    assert segment_softmax(scores[:0], index[:0], 5).shape == (0, 2)


@pytest.mark.parametrize("reduce", [segment_sum, segment_mean, segment_softmax])
@pytest.mark.parametrize("index", [torch.zeros(3, dtype=torch.int64), torch.zeros(4, 1, dtype=torch.int64)])
def test_one_index_per_row(index, reduce):
    with pytest.raises(ShapeError) as caught:
        reduce(torch.zeros(4, 2), index, 2)
    assert caught.value.got["values"] == (4, 2)
