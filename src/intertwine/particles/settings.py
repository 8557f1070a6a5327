"""Settings of simulated particles and of the data to learn from: what recipes of several systems hold.

This file imports neither torch nor numpy, so that recipes can be read and checked at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from intertwine.errors import check_fields

__all__ = ["ParticleDataSettings", "SimulationSettings"]


@dataclass(frozen=True)
class SimulationSettings:
    """The simulated particles: as in the published data sets, from the same random numbers."""

    particles: int = 5
    """Number of particles of each simulation."""
    seed: int = 43
    """Seed of the stream of random numbers that all simulations are drawn from, one after another."""
    random_numbers: Literal["published", "independent"] = "published"
    """Those of the published generator, or blocks of independent ones, which are drawn at once."""
    stream: tuple[int, int, int] = (10000, 2000, 2000)
    """Simulations that the stream holds for training, validation and test, in this order."""
    steps: int = 5000
    """Steps of the integrator; each lasts 0.001 time units."""
    save_every: int = 100
    """Steps between saved frames; frame k is the state after `save_every * (k + 1)` steps."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            particles=(self.particles >= 1, "at least 1"),
            seed=(0 <= self.seed < 2**32, "from 0 to 4294967295"),
            stream=(min(self.stream) >= 0, "numbers of at least 0"),
            steps=(self.steps > self.save_every, "more than save_every"),
            save_every=(self.save_every >= 1, "at least 1"),
        )

    @property
    def frames(self) -> int:
        """Number of saved frames: the last step is not saved."""
        return (self.steps - 1) // self.save_every


@dataclass(frozen=True)
class ParticleDataSettings:
    """Which simulations to learn from: files, or new ones where no file is named."""

    train: str | None = None
    """File of training simulations (`loc_*.npy` of the published layout, `.npz` or `.csv`); empty simulates them."""
    validation: str | None = None
    """File of validation simulations; empty holds out the end of the training file, or simulates them."""
    validation_fraction: float = 0.2
    """Part of the training file held out for validation when no validation file is given."""
    test: Mapping[str, str] = field(default_factory=dict)
    """Test files by name; empty simulates a test set where the training data are simulated too."""
    train_samples: int | None = None
    """Use only the first simulations for training; empty uses all."""
    validation_samples: int | None = None
    """Use only the first simulations for validation; empty uses all."""
    test_samples: int | None = None
    """Use only the first simulations of each test set; empty uses all."""
    start_frame: int = 30
    """Frame from which a prediction starts."""
    end_frame: int = 40
    """Frame whose positions are predicted."""
    test_frames: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Further simulated test sets by name, from one frame to another, such as `{shifted: [20, 30]}`."""
    frame_time: float = 0.1
    """Time between two frames; only the baseline of constant velocity uses it."""
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    """How simulations are made."""

    def __post_init__(self) -> None:
        counts = (self.train_samples, self.validation_samples, self.test_samples)
        simulated = self.train is None
        last = self.simulation.frames
        names = ("train_samples", "validation_samples", "test_samples")
        limits = {
            name: (count is None or 1 <= count <= (most if simulated else count), f"1 to {most}, or empty")
            for name, count, most in zip(names, counts, self.simulation.stream, strict=True)
        }
        check_fields(
            self,
            train=(self.train != "", "a file, or null to simulate"),
            validation=(self.validation != "", "a file, or null"),
            validation_fraction=(0 < self.validation_fraction < 1, "between 0 and 1"),
            start_frame=(self.start_frame >= 0, "at least 0"),
            end_frame=(
                self.start_frame < self.end_frame and (not simulated or self.end_frame < last),
                f"later than start_frame, and before {last} in a simulation",
            ),
            test_frames=(
                (
                    simulated
                    and "test" not in self.test_frames
                    and all(0 <= start < end < last for start, end in self.test_frames.values())
                )
                or not self.test_frames,
                f"rising frames before {last} by names other than `test`, where data are simulated",
            ),
            frame_time=(self.frame_time > 0, "more than 0"),
            **limits,
        )
