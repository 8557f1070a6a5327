from dataclasses import dataclass, field
from typing import Literal

from intertwine.training.settings import TrainingSettings, check_fields


@dataclass(frozen=True)
class RadialSettings:
    """Of the radial part."""

    cutoff: float = 5.0
    """Where it ends."""
    functions: int = 4
    """How many."""


@dataclass(frozen=True)
class ModelSettings:
    """Of the network."""

    width: int = 8
    """Hidden
    units."""
    dropout: float = 0.1
    """Chance to drop a unit."""
    kind: Literal["well", "hill"] = "well"
    """The shape."""
    radial: RadialSettings = RadialSettings()
    """The radial part."""

    def __post_init__(self):
        check_fields(self, width=(self.width > 0, "at least 1"), dropout=(0 <= self.dropout < 1, "in [0, 1)"))


@dataclass(frozen=True)
class DataSettings:
    """Of the data."""

    items: int
    """How many points are drawn."""
    poison: int | None = None
    """Item with a value that is not a number."""
    extra: dict[str, str] = field(default_factory=dict)
    """More files by name."""
    shape: tuple[int, ...] = (3,)
    """Sizes."""


@dataclass(frozen=True)
class ToyRecipe:
    """All of it."""

    data: DataSettings
    """The data."""
    model: ModelSettings = ModelSettings()
    """The network."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """The training."""
    seed: int = 0
    """Decides everything random."""
