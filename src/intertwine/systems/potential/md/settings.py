"""Settings of a simulation: the one source of its help texts. Times are in fs, temperatures in K."""

import math
from dataclasses import dataclass
from typing import Literal

from intertwine.training.settings import check_fields

__all__ = ["MDSettings"]


@dataclass(frozen=True)
class MDSettings:
    """How a simulation runs."""

    ensemble: Literal["nve", "nvt"] = "nve"
    """`nve` keeps the energy, `nvt` the temperature."""
    temperature: float = 300.0
    """Temperature (K) of the initial velocities, and of the thermostat."""
    time_step: float = 0.5
    """Time step (fs)."""
    steps: int = 1000
    """Number of steps, counted from the beginning also after a restart."""
    thermostat: Literal["langevin", "bussi"] = "langevin"
    """Thermostat of `nvt`: `langevin` (friction and noise) or `bussi` (one factor on all velocities)."""
    friction: float = 0.01
    """Friction (1/fs) of the Langevin thermostat."""
    coupling_time: float = 100.0
    """Relaxation time (fs) of the Bussi thermostat."""
    seed: int = 0
    """Seed of the initial velocities and of the thermostat."""
    every: int = 10
    """Steps between the frames and lines that are written."""
    max_temperature: float | None = None
    """The simulation has exploded above this temperature (K); empty takes 10 times `temperature` + 1000 K."""
    max_move: float = 0.5
    """The simulation has exploded when an atom moves further than this (Å) in one step."""

    def __post_init__(self) -> None:
        check_fields(
            self,
            ensemble=(self.ensemble in ("nve", "nvt"), "nve or nvt"),
            temperature=(self.temperature >= 0 and self.temperature < math.inf, "at least 0"),
            time_step=(0 < self.time_step < math.inf, "more than 0"),
            steps=(self.steps >= 1, "at least 1"),
            thermostat=(self.thermostat in ("langevin", "bussi"), "langevin or bussi"),
            friction=(self.friction > 0, "more than 0"),
            coupling_time=(self.coupling_time > 0, "more than 0"),
            every=(self.every >= 1, "at least 1"),
            max_temperature=(self.max_temperature is None or self.max_temperature > 0, "above 0, or empty"),
            max_move=(self.max_move > 0, "more than 0"),
        )
