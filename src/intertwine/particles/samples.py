"""Samples: charged particles at the moment from which a prediction starts, and where they are later, if that is known.

Lengths, times, masses and charges have no units here, as in the published data.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float64

from intertwine.errors import DataError

__all__ = ["Samples"]


@dataclass(frozen=True)
class Samples:
    """Simulations of equally many particles at one moment, in float64.

    Args:
        positions, velocities: (x, y, z) of each particle at the start.
        charges: of each particle.
        targets: positions to predict; None where they are not known.
        where: what errors call them, such as the name of the file.

    Raises:
        DataError: if there is no sample, shapes do not fit, or a value is not finite.
    """

    positions: Float64[np.ndarray, "samples particles 3"]
    velocities: Float64[np.ndarray, "samples particles 3"]
    charges: Float64[np.ndarray, "samples particles"]
    targets: Float64[np.ndarray, "samples particles 3"] | None = None
    where: str = "these samples"

    def __post_init__(self) -> None:
        shape = self.positions.shape
        fits = len(shape) == 3 and shape[2] == 3 and self.velocities.shape == shape and self.charges.shape == shape[:2]
        if not fits or (self.targets is not None and self.targets.shape != shape):
            raise DataError(
                f"{self.where}: arrays do not fit together",
                got={name: array.shape for name, array in self.arrays().items()},
                expected="(samples, particles, 3), and (samples, particles) for the charges",
            )
        if 0 in shape:
            raise DataError(f"{self.where}: there is no sample", got=shape, expected="at least one of one particle")
        for name, array in self.arrays().items():
            if not np.isfinite(array).all():
                sample = int(np.argwhere(~np.isfinite(array))[0][0])
                raise DataError(
                    f"{self.where}: the {name} of sample {sample} are not finite numbers",
                    got=array[sample].tolist(),
                    fix="leave the sample out",
                )

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def particles(self) -> int:
        """Number of particles of each sample."""
        return self.positions.shape[1]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that there are, by name."""
        held = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "where"}
        return {name: array for name, array in held.items() if array is not None}

    def part(self, start: int | None = None, stop: int | None = None) -> "Samples":
        """Return the samples from ``start`` to before ``stop``.

        Raises:
            DataError: if there are fewer than ``stop``.
        """
        if stop is not None and stop > len(self):
            raise DataError(
                f"{self.where}: there are fewer samples than asked for",
                got=f"{len(self)} samples",
                expected=f"at least {stop}",
                fix="ask for fewer, or leave the number empty to take all",
            )
        return replace(self, **{name: array[start:stop] for name, array in self.arrays().items()})

    def moved(
        self, rotation: Float64[np.ndarray, "*samples 3 3"], shift: Float64[np.ndarray, "*samples 3"] | float = 0.0
    ) -> "Samples":
        """Return the samples rotated about the origin and then shifted: the same for all, or one motion for each."""
        shift = np.expand_dims(np.broadcast_to(shift, (*rotation.shape[:-2], 3)), -2)

        def turned(vectors: np.ndarray) -> np.ndarray:
            return vectors @ np.swapaxes(rotation, -1, -2)

        return replace(
            self,
            positions=turned(self.positions) + shift,
            velocities=turned(self.velocities),
            targets=None if self.targets is None else turned(self.targets) + shift,
        )

    def known_targets(self) -> Float64[np.ndarray, "samples particles 3"]:
        """Return the positions to predict.

        Raises:
            DataError: if they are not known.
        """
        if self.targets is None:
            raise DataError(
                f"{self.where}: the later positions are not known",
                got=", ".join(self.arrays()),
                expected="trajectories that reach the end frame, or pairs of start and later positions",
                fix="use `intertwine predict` for simulations whose future is not known",
            )
        return self.targets
