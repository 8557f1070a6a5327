"""The simulator of charged particles, in the random numbers and the integrator of the published data sets.

Unit masses and charges of ±1 repel or attract by 1/r², without softening. Particles start from normal positions with
velocities of length 1/2 in random directions. The integrator is the symplectic Euler method with steps of 0.001; the
first step begins with a whole kick, and each component of a force is cut at ±100. (Kipf et al., ICML 2018, in three
dimensions as in Satorras, Hoogeboom, Welling, ICML 2021.) All simulations advance together, the last axis counts them.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from jaxtyping import Float64

from intertwine.errors import ConfigError
from intertwine.particles.samples import Samples
from intertwine.particles.settings import SimulationSettings

__all__ = ["InitialStates", "Split", "draw_states", "simulate", "simulated_samples"]

_TIME_STEP = 0.001
_LARGEST_FORCE = 100.0
_SPEED = 0.5
_BOX = 5.0
_TOGETHER = 512
"""Simulations that advance together: as many as keep the arrays of one step in the processor's cache."""
Split = Literal["train", "validation", "test"]
_BLOCK = 1024
"""Simulations with independent random numbers that are drawn at once."""
_SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_Frames = Float64[np.ndarray, "simulations frames particles 3"]


@dataclass(frozen=True)
class InitialStates:
    """Charges, positions and velocities at the start of simulations."""

    charges: Float64[np.ndarray, "simulations particles"]
    positions: Float64[np.ndarray, "simulations particles 3"]
    velocities: Float64[np.ndarray, "simulations particles 3"]


def draw_states(settings: SimulationSettings, first: int, count: int) -> InitialStates:
    """Return the initial states of some simulations of the stream, each the same whatever else is drawn.

    Args:
        settings: seed, random numbers, number of particles and of frames.
        first: number of the first simulation wanted.
        count: how many.
    """
    draw = _published_states if settings.random_numbers == "published" else _independent_states
    charges, positions, directions = draw(settings, first, count)
    positions *= (settings.particles / 5.0) ** (1 / 3)
    directions *= _SPEED / np.sqrt(np.square(directions).sum(1, keepdims=True))
    return InitialStates(charges, *_reflected(positions.swapaxes(1, 2), directions.swapaxes(1, 2)))


def _published_states(settings: SimulationSettings, first: int, count: int) -> tuple[np.ndarray, ...]:
    """Return charges, positions and directions (count, 3, particles) as the published generator draws them."""
    particles = settings.particles
    # the stream of the published files is that of numpy's old generator, and no other has the same numbers
    rng = np.random.RandomState(settings.seed)
    charges = np.empty((count, particles))
    positions, directions = np.empty((2, count, 3, particles))
    for number in range(first + count):
        charge = rng.choice([-1.0, 0.0, 1.0], size=(particles, 1), p=[0.5, 0.0, 0.5])
        position, direction = rng.randn(3, particles), rng.randn(3, particles)
        # noise of variance zero follows on the frames of each simulation, and moves the stream on
        rng.randn(2 * settings.frames * 3 * particles)
        if number >= first:
            place = number - first
            charges[place], positions[place], directions[place] = charge[:, 0], position, direction
    return charges, positions, directions


def _independent_states(settings: SimulationSettings, first: int, count: int) -> tuple[np.ndarray, ...]:
    """Return the same quantities from blocks of simulations, each with a generator of its own."""
    blocks = []
    for block in range(first // _BLOCK, (first + max(count, 1) - 1) // _BLOCK + 1):
        rng = np.random.default_rng([settings.seed, block])
        charges = rng.choice([-1.0, 1.0], size=(_BLOCK, settings.particles))
        blocks.append((charges, *rng.standard_normal((2, _BLOCK, 3, settings.particles))))
    chosen = slice(first % _BLOCK, first % _BLOCK + count)
    return tuple(np.concatenate(parts)[chosen] for parts in zip(*blocks, strict=True))


def simulate(initial: InitialStates, frames: tuple[int, ...], *, save_every: int = 100) -> tuple[_Frames, _Frames]:
    """Return positions and velocities of simulations at some frames.

    Frame k is the state after ``save_every * (k + 1)`` steps of 0.001 time units, just before the velocities of that
    step are kicked.

    Args:
        initial: where they start.
        frames: numbers of the frames wanted, rising.
        save_every: steps between frames.

    Raises:
        ConfigError: if the frames do not rise from 0.
    """
    if not frames or frames[0] < 0 or any(b <= a for a, b in pairwise(frames)):
        raise ConfigError("frames are numbers that rise from 0", got=frames, expected="such as (30, 40)")
    count, particles, _ = initial.positions.shape
    positions, velocities = np.empty((2, count, len(frames), particles, 3))
    for start in range(0, count, _TOGETHER):
        part = slice(start, start + _TOGETHER)
        chunk = InitialStates(initial.charges[part], initial.positions[part], initial.velocities[part])
        positions[part], velocities[part] = _simulate_chunk(chunk, frames, save_every)
    return positions, velocities


def _simulate_chunk(initial: InitialStates, frames: tuple[int, ...], save_every: int) -> tuple[np.ndarray, np.ndarray]:
    x, v = (np.ascontiguousarray(a.transpose(2, 1, 0)) for a in (initial.positions, initial.velocities))
    particles = x.shape[1]
    first, second = np.triu_indices(particles, 1)
    charges = initial.charges.T
    products = charges[first] * charges[second]
    # a pair pushes its first particle one way and its second the other
    shares = np.zeros((particles, len(first)))
    shares[first, np.arange(len(first))], shares[second, np.arange(len(first))] = 1.0, -1.0

    def kick() -> None:
        between = x[:, first] - x[:, second]
        square = np.square(between).sum(0)
        between *= products / (square * np.sqrt(square))
        force = shares @ between
        np.clip(force, -_LARGEST_FORCE, _LARGEST_FORCE, out=force)
        force *= _TIME_STEP
        np.add(v, force, out=v)

    saved = {save_every * (frame + 1) for frame in frames}
    positions, velocities = [], []
    kick()
    for step in range(1, max(saved) + 1):
        x += _TIME_STEP * v
        if step in saved:
            positions.append(x.transpose(2, 1, 0))
            velocities.append(v.transpose(2, 1, 0))
            x, v = x.copy(), v.copy()
        kick()
    return np.stack(positions, axis=1), np.stack(velocities, axis=1)


@lru_cache(maxsize=8)
def simulated_samples(
    settings: SimulationSettings,
    split: Split,
    count: int | None = None,
    start_frame: int = 30,
    end_frame: int = 40,
) -> Samples:
    """Return simulated samples of one split of the stream.

    With the default settings they are the published ``nbody_small`` data: 3000 of the 10000 training simulations are
    used there, 2000 for validation and 2000 for test.

    Args:
        settings: the stream, and how simulations are made.
        split: which part of the stream.
        count: how many simulations, from the first of the part; None takes all.
        start_frame, end_frame: frames from which and of which to predict.
    """
    place = _SPLITS.index(split)
    count = settings.stream[place] if count is None else count
    initial = draw_states(settings, sum(settings.stream[:place]), count)
    positions, velocities = simulate(initial, (start_frame, end_frame), save_every=settings.save_every)
    where = f"simulated {split} set"
    return Samples(positions[:, 0], velocities[:, 0], initial.charges, positions[:, 1], where=where)


def _reflected(positions: np.ndarray, velocities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reflect what starts outside of the box, which practically never happens; nothing is reflected later."""
    outside = np.abs(positions) > _BOX
    back = np.sign(positions) * 2 * _BOX - positions
    inwards = -np.sign(positions) * np.abs(velocities)
    return np.where(outside, back, positions), np.where(outside, inwards, velocities)
