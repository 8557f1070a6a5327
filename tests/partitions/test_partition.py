"""Partitions as numbers: the order of finer and coarser, mixed parts, majorities; against sets of sets."""

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intertwine.errors import ShapeError
from intertwine.partitions import compact_ids, is_subpartition, majority, mixing, same_partition

labels = st.integers(1, 12).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 4), min_size=n, max_size=n)] * 3))


def blocks(part):
    return {frozenset(i for i, p in enumerate(part) if p == q) for q in part}


def inside(fine, coarse):
    return all(any(block <= other for other in blocks(coarse)) for block in blocks(fine))


@settings(deadline=None, max_examples=150)
@given(labels)
def test_the_order_of_partitions_is_that_of_sets(three):
    a, b, _ = three
    ta, tb, tc = map(torch.tensor, three)
    assert is_subpartition(ta, tb) == inside(a, b)
    pairs = set(zip(a, b, strict=True))
    assert is_subpartition(ta, tb) == (len(pairs) == len(set(a))), "pairs are as many as parts"
    assert is_subpartition(ta, ta)
    both = torch.tensor([5 * i + j for i, j in zip(a, b, strict=True)])
    assert is_subpartition(both, ta)
    if is_subpartition(ta, tb) and is_subpartition(tb, tc):
        assert is_subpartition(ta, tc)
    if is_subpartition(ta, tb) and is_subpartition(tb, ta):
        assert blocks(a) == blocks(b)
    assert same_partition(ta, tb) == (blocks(a) == blocks(b))


def test_transitivity_is_not_vacuous():
    chain = torch.tensor([[0, 1, 2, 3], [0, 0, 1, 2], [0, 0, 0, 1], [0, 0, 0, 0]])
    for i in range(4):
        for j in range(4):
            assert is_subpartition(chain[i], chain[j]) == (i <= j)


@settings(deadline=None, max_examples=100)
@given(labels)
def test_mixed_parts_and_majorities_by_counting(three):
    fine, coarse, _ = three
    found, winners = (
        mixing(torch.tensor(fine), torch.tensor(coarse)),
        majority(torch.tensor(fine), torch.tensor(coarse)),
    )
    for place, part in enumerate(sorted(set(fine))):
        inside_part = [coarse[i] for i, p in enumerate(fine) if p == part]
        counts = Counter(inside_part)
        best = min(c for c in counts if counts[c] == max(counts.values()))
        assert int(winners[place]) == best
        assert bool(found.mixed[place]) == (len(counts) > 1)
        for i, p in enumerate(fine):
            if p == part:
                assert bool(found.outside[i]) == (coarse[i] != best)
    assert found.parts == pytest.approx(float(found.mixed.float().mean()))
    assert found.points == pytest.approx(float(found.outside.float().mean()))


@settings(deadline=None, max_examples=100)
@given(labels)
def test_compact_numbers_have_no_gaps_and_keep_the_partition(three):
    part, batch, _ = three
    ids = compact_ids(torch.tensor(part) * 7 - 3)
    assert sorted(set(ids.tolist())) == list(range(len(set(part))))
    assert blocks(ids.tolist()) == blocks(part)
    cut = compact_ids(torch.tensor(part), torch.tensor(batch))
    assert blocks(cut.tolist()) == blocks(list(zip(batch, part, strict=True)))
    order = sorted(zip(batch, cut.tolist(), strict=True))
    assert [p for _, p in order] == sorted(p for _, p in order), "parts of one cloud follow one another"


def test_partitions_of_no_point():
    empty = torch.zeros(0, dtype=torch.int64)
    assert compact_ids(empty, empty).shape == (0,)
    assert is_subpartition(empty, empty)
    assert mixing(empty, empty).parts == 0.0
    assert mixing(empty, empty).points == 0.0
    assert majority(empty, empty).shape == (0,)


@pytest.mark.parametrize("wrong", [torch.zeros(3, dtype=torch.int64), torch.zeros(4), torch.zeros(4, 1).long()])
def test_what_is_no_partition_of_the_same_points_is_refused(wrong):
    for function in (is_subpartition, mixing, majority, same_partition, compact_ids):
        with pytest.raises(ShapeError, match="whole number for each point"):
            function(torch.zeros(4, dtype=torch.int64), wrong)
