"""Settings of the task of digits as sets of points: its data, its network, and how often frames are drawn."""

import re
from dataclasses import dataclass, field
from typing import Literal

from intertwine.training.settings import check_fields

__all__ = ["DigitsDataSettings", "DigitsModelSettings", "DigitsTask"]


@dataclass(frozen=True)
class DigitsDataSettings:
    """Images of digits in the idx format of MNIST, of which points are drawn."""

    train_images: str = "mnist/train-images-idx3-ubyte.gz"
    """File of training images."""
    train_labels: str = "mnist/train-labels-idx1-ubyte.gz"
    """File of their digits."""
    test_images: str = "mnist/t10k-first5000-images-idx3-ubyte.gz"
    """File of test images."""
    test_labels: str = "mnist/t10k-first5000-labels-idx1-ubyte.gz"
    """File of their digits."""
    held_out: int = 5000
    """Training images, the last ones, that are kept for validation."""
    train_samples: int | None = None
    """Use only the first images for training; empty uses all."""
    points: int = 100
    """Points of each digit: pixels drawn with replacement, each at a random place inside the pixel."""
    threshold: int = 64
    """Pixels brighter than this, of 255, may be drawn."""
    seed: int = 1
    """Seed of the points and of their order, which are drawn once."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            held_out=(self.held_out >= 1, "at least 1"),
            train_samples=(self.train_samples is None or self.train_samples >= 1, "at least 1, or empty"),
            points=(self.points >= 1, "at least 1"),
            threshold=(0 <= self.threshold < 255, "from 0 to 254"),
        )


@dataclass(frozen=True)
class DigitsModelSettings:
    """A perceptron on the coordinates of all points, and the frames it is averaged over."""

    frame: Literal["none", "sort", "random", "separated", "group"] = "random"
    """Orders of the points: that of the file, along x, along random directions, along fixed directions weighted by the
    smallest gap, or any."""
    widths: tuple[int, ...] = (150, 100, 50)
    """Widths of the hidden layers."""
    samples: int = 1
    """Elements drawn for each set in each call, in training and where nothing else is said."""
    directions: int | None = None
    """Fixed directions (`separated`); empty takes as many as are enough to separate the points, one more than there
    are points."""
    directions_seed: int = 0
    """Seed of the fixed directions."""
    motions: str = "none"
    """Motions of the plane that change no score either: E(2), SE(2), O(2) or SO(2), by principal axes; T(2), by the
    centroid; or C_n or D_n, such as C_4, all n turns, or turns and flips, about the middle of the image."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            motions=(
                re.fullmatch(r"none|(E|SE|O|SO|T)\(2\)|[CD]_[1-9]\d*", self.motions) is not None,
                "none, E(2), SE(2), O(2), SO(2), T(2), or C_n or D_n such as C_4: digits lie in a plane",
            ),
            widths=(all(width >= 1 for width in self.widths), "at least 1 each"),
            samples=(self.samples >= 1, "at least 1"),
            directions=(self.directions is None or self.directions >= 1, "at least 1, or empty"),
        )


@dataclass(frozen=True)
class DigitsTask:
    """Digits as sets of points: which digit it is, whatever the order of the points."""

    data: DigitsDataSettings = field(default_factory=DigitsDataSettings)
    model: DigitsModelSettings = field(default_factory=DigitsModelSettings)
    draws: tuple[int, ...] = (1, 5, 10, 25)
    """Numbers of drawn elements that scores are averaged over when a run is evaluated; predictions use the last."""

    def __post_init__(self) -> None:
        check_fields(self, draws=(bool(self.draws) and min(self.draws) >= 1, "at least one number of at least 1"))
