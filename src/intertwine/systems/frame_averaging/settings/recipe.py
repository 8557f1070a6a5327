"""The recipe: one task with its data and its network, and how it is trained."""

from dataclasses import dataclass, field
from typing import Literal

from intertwine.errors import ConfigError
from intertwine.systems.frame_averaging.settings.digits import DigitsTask
from intertwine.systems.frame_averaging.settings.graphs import GraphsTask
from intertwine.systems.frame_averaging.settings.normals import NormalsTask
from intertwine.systems.frame_averaging.settings.particles import ParticlesTask
from intertwine.training.settings import TrainingSettings

__all__ = ["FrameAveragingRecipe"]


@dataclass(frozen=True)
class FrameAveragingRecipe:
    """A network averaged over frames, for one of four tasks: the one whose section is there."""

    particles: ParticlesTask | None = None
    """Charged particles: where they will be."""
    graphs: GraphsTask | None = None
    """Graphs: which class each belongs to."""
    normals: NormalsTask | None = None
    """Clouds of points on surfaces: the normal at each."""
    digits: DigitsTask | None = None
    """Digits as sets of points: which digit each is."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    seed: int = 0
    """Seed of the initial weights and of the order of the data."""

    def __post_init__(self) -> None:
        given = self._given()
        if len(given) != 1:
            raise ConfigError(
                "a recipe of frame averaging has one task",
                got=", ".join(given) or "none",
                expected="one of the sections particles, normals, graphs, digits",
            )

    @property
    def task(self) -> Literal["particles", "normals", "graphs", "digits"]:
        """The name of the section that is there."""
        return self._given()[0]  # pyright: ignore[reportReturnType]

    def _given(self) -> list[str]:
        return [name for name in ("particles", "normals", "graphs", "digits") if getattr(self, name) is not None]
