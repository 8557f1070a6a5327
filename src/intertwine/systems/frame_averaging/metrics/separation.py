"""Which graphs a family of networks tells apart: pairs whose embeddings are near to each other in every network."""

import numpy as np
from numpy.typing import NDArray

from intertwine.errors import ShapeError

__all__ = ["CLOSE", "Undistinguished", "close_pairs"]

CLOSE = 1e-3
"""Embeddings nearer than this, as the sum of absolute differences, are not told apart; of Puny et al., ICLR 2022."""


class Undistinguished:
    """Pairs of items that none of the networks seen so far has told apart.

    Args:
        threshold: sum of absolute differences up to which embeddings are the same.
    """

    def __init__(self, threshold: float = CLOSE) -> None:
        self.threshold = threshold
        self.pairs: NDArray[np.int32] | None = None
        self.counts: list[int] = []

    def update(self, embeddings: NDArray[np.floating]) -> int:
        """Add a network by the embeddings (items, numbers) it gives, and return how many pairs are left."""
        if self.pairs is None:
            self.pairs = close_pairs(embeddings, self.threshold)
        else:
            first, second = self.pairs.T
            self.pairs = self.pairs[np.abs(embeddings[first] - embeddings[second]).sum(-1) <= self.threshold]
        self.counts.append(len(self.pairs))
        return len(self.pairs)

    @property
    def networks_to_zero(self) -> int | None:
        """How many networks it took until no pair was left; None if some are."""
        return self.counts.index(0) + 1 if 0 in self.counts else None


def close_pairs(embeddings: NDArray[np.floating], threshold: float) -> NDArray[np.int32]:
    """Return all pairs (pairs, 2) of items with embeddings no further apart than ``threshold``, first item smaller.

    Exact, without a list of all pairs: items are sorted by the number that varies most, and compared with the next,
    the next but one, and so on, until no two are within the threshold in that number alone.

    Args:
        embeddings: one row for each item.
        threshold: of the sum of absolute differences.
    """
    if embeddings.ndim != 2:
        raise ShapeError("embeddings are one row for each item", got=embeddings.shape, expected="(items, numbers)")
    if embeddings.shape[1] == 0 or len(embeddings) < 2:
        return np.stack(np.triu_indices(len(embeddings), 1), axis=1).astype(np.int32)
    key = embeddings[:, int(np.argmax(embeddings.std(0)))]
    order = np.argsort(key, kind="stable").astype(np.int32)
    rows, key = embeddings[order], key[order]
    found = [np.zeros((0, 2), np.int32)]
    for step in range(1, len(rows)):
        (near,) = np.nonzero(key[step:] - key[:-step] <= threshold)
        if not near.size:
            break
        near = near[np.abs(rows[near + step] - rows[near]).sum(-1) <= threshold]
        found.append(np.stack([order[near], order[near + step]], axis=1))
    return np.sort(np.concatenate(found), axis=1)
