"""Digits as sets of points: images in the idx format, points drawn from their bright pixels, and batches of both."""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from intertwine.errors import DataError
from intertwine.graphs import TensorBatch
from intertwine.training.datasets import find_data
from intertwine.training.sampling import generator, make_loader

__all__ = ["DigitData", "PointSets", "draw_points", "make_data", "read_idx"]

_CHUNK = 4096


@dataclass(frozen=True)
class PointSets(TensorBatch):
    """Sets of points of one size, with their classes where they are known."""

    points: Float[Tensor, "sets points 2"]
    labels: Int64[Tensor, " sets"] | None = None

    @property
    def num_graphs(self) -> int:
        """The number of sets."""
        return len(self.points)

    def rows(self, chosen: slice | list[int]) -> "PointSets":
        """Return some of the sets."""
        return PointSets(self.points[chosen], None if self.labels is None else self.labels[chosen])


def read_idx(path: str | Path) -> UInt8[Tensor, "items ..."]:
    """Return the bytes of an idx file, plain or compressed by gzip.

    Raises:
        DataError: if it is missing, cut off, or of another format.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except FileNotFoundError as error:
        raise DataError(f"there is no file {path}", got=path, expected="an idx file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut off", got=str(error), expected="an idx file") from error
    axes = content[3] if len(content) > 3 and content[:3] == b"\x00\x00\x08" else 0
    start = 4 + 4 * axes
    if not axes or len(content) < start:
        raise DataError(f"{path} is not an idx file of bytes", got=content[:4].hex(), expected="000008 and axes")
    shape = np.frombuffer(content[4:start], ">u4").astype(int).tolist()
    if len(content) - start != int(np.prod(shape)):
        raise DataError(f"{path} is cut off", got=f"{len(content) - start} bytes", expected=f"{int(np.prod(shape))}")
    return torch.frombuffer(bytearray(content[start:]), dtype=torch.uint8).reshape(shape)


def draw_points(
    images: UInt8[Tensor, "images height width"], points: int, threshold: int, rng: torch.Generator
) -> Float[Tensor, "images points 2"]:
    """Return points drawn from the bright pixels of images, x to the right and y down, scaled to [-1, 1].

    Args:
        images: brightness from 0 to 255.
        points: number of points of each image, drawn with replacement.
        threshold: pixels brighter than this may be drawn.
        rng: source of pixels, and of places inside them.

    Raises:
        DataError: if no pixel of an image is bright enough.
    """
    height, width = images.shape[1:]
    bright = (images > threshold).flatten(1)
    dark = (~bright.any(-1)).nonzero().flatten().tolist()
    if dark:
        raise DataError(
            "no pixel of an image is bright enough",
            got={"images": dark[:8]},
            expected=f"pixels brighter than {threshold}",
            fix="lower data.threshold, or leave these images out",
        )
    found = []
    for part in bright.split(_CHUNK):
        pixel = torch.multinomial(part.float(), points, replacement=True, generator=rng)
        place = torch.stack([pixel % width, pixel // width], dim=-1)
        place = place + torch.rand(place.shape, generator=rng)
        found.append(2 * place / torch.tensor([width, height]) - 1)
    return torch.cat(found) if found else torch.zeros(0, points, 2)


def make_data(recipe: Any) -> "DigitData":
    """Return the data of a recipe; files are read by ``setup``."""
    return DigitData(recipe)


class DigitData(LightningDataModule):
    """Training, validation and test sets of a recipe: ``train``, ``validation`` and ``test`` after ``setup``.

    Args:
        recipe: with the section ``digits``.
    """

    train: PointSets
    validation: PointSets
    test: PointSets

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        self.recipe, self.settings = recipe, recipe.digits.data

    def setup(self, stage: str | None = None) -> None:
        """Read what a stage needs (``fit``, ``validate``, ``test``; None is all), once.

        Raises:
            DataError: if a file is missing or damaged, or holds too few images.
        """
        settings = self.settings
        if stage != "test" and not hasattr(self, "train"):
            whole = self._read(settings.train_images, settings.train_labels, "train points")
            count = len(whole.points) - settings.held_out
            if count < 1:
                raise DataError(
                    "there are too few training images to hold some out",
                    got={"images": len(whole.points), "data.held_out": settings.held_out},
                )
            used = min(count, settings.train_samples or count)
            self.train, self.validation = whole.rows(slice(used)), whole.rows(slice(count, None))
        if stage in (None, "test") and not hasattr(self, "test"):
            self.test = self._read(settings.test_images, settings.test_labels, "test points")

    def train_dataloader(self) -> DataLoader[PointSets]:
        """Return shuffled batches."""
        return self._loader(self.train, self.recipe.training.batch_size, self.recipe.seed)

    def val_dataloader(self) -> DataLoader[PointSets]:
        """Return validation batches."""
        return self._loader(self.validation, self.recipe.training.evaluation_batch_size)

    def test_dataloader(self) -> DataLoader[PointSets]:
        """Return test batches."""
        return self._loader(self.test, self.recipe.training.evaluation_batch_size)

    def _read(self, images: str, labels: str, purpose: str) -> PointSets:
        pictures, digits = read_idx(find_data(images)), read_idx(find_data(labels))
        if pictures.ndim != 3 or digits.shape != pictures.shape[:1]:
            raise DataError(
                "images and labels do not fit together",
                got={images: tuple(pictures.shape), labels: tuple(digits.shape)},
                expected="(images, height, width) and (images,)",
            )
        rng = generator(self.settings.seed, purpose)
        return PointSets(draw_points(pictures, self.settings.points, self.settings.threshold, rng), digits.long())

    def _loader(self, sets: PointSets, size: int, seed: int | None = None) -> DataLoader[PointSets]:
        workers = self.recipe.training.data_workers

        return make_loader(_Rows(len(sets.points)), size, collate=sets.rows, seed=seed, workers=workers)


class _Rows(Dataset[int]):
    """The numbers of rows: whole batches are gathered from tensors at once."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> int:
        return row
