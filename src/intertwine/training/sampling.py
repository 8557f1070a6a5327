"""Randomness and the order of data as functions of the seed: a run can be repeated and resumed exactly.

Nothing here changes the global random state for good: `isolated_randomness` puts it back.
"""

import contextlib
import hashlib
import random
from collections.abc import Callable, Iterator, Sequence, Sized
from typing import Any, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from intertwine.errors import ConfigError, DataError

__all__ = [
    "EpochSampler",
    "derived_seed",
    "generator",
    "isolated_randomness",
    "make_loader",
    "seed_everything",
    "split",
]


def derived_seed(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2^63) for one purpose; other purposes and seeds give unrelated numbers."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a CPU generator for one purpose, such as ``generator(recipe.seed, "split")``."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


def seed_everything(seed: int) -> None:
    """Set the global random states of torch, numpy and Python; use it inside `isolated_randomness`."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 (the legacy state is what other code draws from)
    random.seed(seed)


@contextlib.contextmanager
def isolated_randomness(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed all global random states for the time of a ``with`` block, and put them back after it."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            seed_everything(derived_seed(seed, *purpose))
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


def split(count: int, validation_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of the items to train on and of those to validate with, in the order of the shuffle.

    The shuffle is ``numpy.random.default_rng(seed).permutation`` with the validation part at the end, as in the
    published 3BPA experiments.

    Args:
        count: how many items there are.
        validation_fraction: part to hold out, rounded down to items; at least one, and never all.
        seed: of the shuffle.

    Raises:
        DataError: if there are fewer than two items.
    """
    if count < 2:
        raise DataError(
            "a split needs at least two items",
            got=count,
            fix="give more training data, or a validation file",
        )
    order = np.random.default_rng(seed).permutation(count)
    held = min(max(int(validation_fraction * count), 1), count - 1)
    return order[:-held], order[-held:]


class EpochSampler(Sampler[int]):
    """Visits the items in an order that only the seed and the epoch decide.

    With several processes the k-th batches of all of them together are the k-th batch of one process with
    the joint batch size. All get equally many items when shuffling: the first of the order are repeated to
    fill up.

    Args:
        size: number of items.
        seed: the recipe's seed; None keeps the natural order (validation), where nothing is repeated.
    """

    def __init__(self, size: int, seed: int | None = None) -> None:
        if size < 1:
            raise ConfigError("there are no items to sample", got=size, expected="at least one item")
        self.size = size
        self.seed = seed
        self.epoch = 0
        self.workers = generator(seed or 0, "workers", 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next pass; the trainer calls this."""
        self.epoch = epoch
        self.workers.manual_seed(derived_seed(self.seed or 0, "workers", epoch))

    def order(self) -> list[int]:
        """Return the order of this epoch over all processes."""
        if self.seed is None:
            return list(range(self.size))
        order = torch.randperm(self.size, generator=generator(self.seed, "order", self.epoch)).tolist()
        missing = -self.size % _world()[1]
        return order + (order * (1 + missing // self.size))[:missing]

    def __iter__(self) -> Iterator[int]:
        rank, world = _world()
        return iter(self.order()[rank::world])

    def __len__(self) -> int:
        rank, world = _world()
        return -(-self.size // world) if self.seed is not None else len(range(rank, self.size, world))


def make_loader(
    dataset: Dataset[Any] | Sequence[Any],
    batch_size: int,
    *,
    collate: Callable[[list[Any]], Any] | None = None,
    seed: int | None = None,
    workers: int = 0,
) -> DataLoader[Any]:
    """Return a loader whose order and worker seeds follow from ``seed``; without one, in natural order."""
    if not isinstance(dataset, Sized):
        raise ConfigError("this data set has no length", got=type(dataset).__name__, expected="__len__ defined")
    sampler = EpochSampler(len(dataset), seed)
    # Workers start anew in each epoch: persistent ones would carry random states over from the last.
    return DataLoader(
        cast("Dataset[Any]", dataset),  # whatever has items by number will do
        batch_size=batch_size,
        sampler=sampler,
        collate_fn=collate,
        num_workers=workers,
        generator=sampler.workers,
    )


def _world() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
