"""How likely random partitions mix true parts: printed values, enumeration and sampling."""

import itertools
import math
from collections import Counter

import pytest
import torch

from intertwine.errors import ConfigError, ShapeError
from intertwine.partitions import (
    draw_blocks,
    draw_labels,
    mean_uncertainty,
    mixing_probability,
    mixing_share,
    stirling2,
    uncertainty,
)


def set_partitions(n):
    """All partitions of n items, as restricted growth strings."""
    grown = [[0]]
    for _ in range(n - 1):
        grown = [[*s, k] for s in grown for k in range(max(s) + 2)]
    return grown


def mixes(part, truth):
    return len(set(zip(part, truth, strict=True))) > len(set(part))


def true_parts(sizes):
    return [i for i, size in enumerate(sizes) for _ in range(size)]


@pytest.mark.parametrize(
    ("sizes", "model", "values"),
    [
        ((3, 3), "blocks", {2: 0.967742, 3: 0.933333, 4: 0.830769, 5: 0.6, 6: 0}),
        ((4, 4, 4), "blocks", {3: 0.999988, 6: 0.999548, 9: 0.978855, 10: 0.924340, 11: 0.727273, 12: 0}),
        ((2, 2), "labels", {4: 0.671875}),
        ((3, 3), "labels", {6: 0.791024, 36: 0.223784, 1000: 0.008964}),
    ],
)
def test_printed_values(sizes, model, values):
    for parts, value in values.items():
        assert mixing_probability(sizes, parts, model) == pytest.approx(value, abs=5.1e-7)


@pytest.mark.parametrize("sizes", [(1, 1), (2, 3), (4, 1), (2, 2, 2), (5, 3), (1, 3, 4)])
def test_blocks_by_enumeration(sizes):
    n, truth = sum(sizes), true_parts(sizes)
    every = set_partitions(n)
    for k in range(1, n + 1):
        some = [p for p in every if max(p) + 1 == k]
        assert len(some) == stirling2(n, k)
        share = sum(mixes(p, truth) for p in some) / len(some)
        assert mixing_probability(sizes, k) == pytest.approx(share, abs=1e-14)


@pytest.mark.parametrize(("sizes", "parts"), [((1, 1), 3), ((2, 3), 4), ((2, 2, 2), 3), ((4, 2), 5)])
def test_labels_by_enumeration(sizes, parts):
    truth = true_parts(sizes)
    every = list(itertools.product(range(parts), repeat=len(truth)))
    share = sum(mixes(p, truth) for p in every) / len(every)
    assert mixing_probability(sizes, parts, "labels") == pytest.approx(share, abs=1e-14)


@pytest.mark.parametrize("sizes", [(3, 3), (4, 4, 4), (1, 6), (10, 20, 5)])
def test_finer_partitions_mix_less_and_singletons_never(sizes):
    n = sum(sizes)
    values = [mixing_probability(sizes, k) for k in range(2, n + 1)]
    assert all(b < a for a, b in itertools.pairwise(values) if a < 1 - 1e-15)
    assert values[-1] == 0
    cross = (n**2 - sum(size**2 for size in sizes)) / 2
    assert mixing_probability(sizes, n - 1) == pytest.approx(cross / math.comb(n, 2), rel=1e-14)
    assert mixing_probability(sizes, 10**6, "labels") == pytest.approx(cross / 10**6, rel=1e-2)


def test_sampled_labels_agree_with_the_closed_form():
    rng = torch.Generator().manual_seed(0)
    drawn = draw_labels(torch.full((4, 4), 0.25), 200_000, rng)
    assert mixing_share(drawn, torch.tensor([0, 0, 1, 1])) == pytest.approx(0.672, abs=0.003)


def test_sampled_blocks_are_uniform():
    rng = torch.Generator().manual_seed(0)
    drawn = draw_blocks(6, 5, 60_000, rng)
    counts = Counter(tuple(p) for p in drawn.tolist())
    assert set(counts) == {tuple(p) for p in set_partitions(6) if max(p) == 4}
    expected = 60_000 / stirling2(6, 5)
    assert max(abs(c - expected) for c in counts.values()) < 5 * math.sqrt(expected)
    truth = torch.tensor([0, 0, 0, 1, 1, 1])
    assert mixing_share(drawn, truth) == pytest.approx(0.6, abs=5 * math.sqrt(0.24 / 60_000))
    assert mixing_share(draw_blocks(7, 7, 100, rng), torch.tensor([0, 0, 0, 1, 1, 1, 1])) == 0


def test_rows_that_differ_between_points_are_followed():
    rng = torch.Generator().manual_seed(1)
    q = torch.tensor([[1.0, 0.0], [0.7, 0.3], [0.0, 1.0]], dtype=torch.float64)
    drawn = draw_labels(q, 50_000, rng)
    assert drawn[:, 0].eq(0).all()
    assert drawn[:, 2].eq(1).all()
    # the second point joins the third, of another true part, in three of ten draws
    assert mixing_share(drawn, torch.tensor([0, 0, 1])) == pytest.approx(0.3, abs=0.01)
    assert float(uncertainty(q.amax(-1))) == pytest.approx(0.3, abs=1e-14)
    assert float(mean_uncertainty(q.amax(-1))) == pytest.approx(0.1, abs=1e-14)
    zhat = q.argmax(-1)
    assert float((drawn != zhat).any(1).double().mean()) == pytest.approx(0.3, abs=0.01)


def test_uncertainty_of_each_cloud():
    top = torch.tensor([0.9, 0.8, 1.0, 0.5], dtype=torch.float64)
    batch = torch.tensor([0, 0, 1, 3])
    assert uncertainty(top, batch, 4).tolist() == pytest.approx([0.28, 0, 0, 0.5])
    assert mean_uncertainty(top, batch, 4).tolist() == pytest.approx([0.15, 0, 0, 0.5])
    tiny = torch.full((4096,), 1 - 1e-14, dtype=torch.float64)
    assert float(uncertainty(tiny)) == pytest.approx(4096 * (1 - (1 - 1e-14)), rel=1e-6)


def test_what_cannot_be_drawn_is_refused():
    rng = torch.Generator().manual_seed(0)
    for sizes, parts in (((3, 0), 2), ((), 2), ((3, 3), 0), ((3, 3), 7)):
        with pytest.raises(ConfigError):
            mixing_probability(sizes, parts)
    with pytest.raises(ConfigError):
        draw_blocks(3, 4, 5, rng)
    for q in (torch.full((3, 2), 0.6), torch.tensor([[1.5, -0.5]]), torch.ones(3)):
        with pytest.raises(ShapeError):
            draw_labels(q, 5, rng)
    with pytest.raises(ShapeError):
        mixing_share(torch.zeros(0, 3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64))
