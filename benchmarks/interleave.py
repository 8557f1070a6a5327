"""Fair timing of several functions in one process: warm, interleaved, compared round by round.

Each round calls every function once, in an order that rotates, so that a machine that slows down slows all.
Ratios are taken within a round and then summarised; a ratio of two medians would mix different moments.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Timing", "interleave", "peak_memory", "ratios"]


@dataclass(frozen=True)
class Timing:
    """Times of one function, or ratios of two, in the order of the rounds."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def stdev(self) -> float:
        """Sample standard deviation over the rounds."""
        return statistics.stdev(self.values) if len(self.values) > 1 else 0.0

    def percentile(self, percent: int) -> float:
        """Return the value that ``percent`` of the rounds do not exceed."""
        if len(self.values) == 1:
            return self.values[0]
        return statistics.quantiles(self.values, n=100, method="inclusive")[percent - 1]


def interleave(
    calls: Mapping[str, Callable[[], object]], *, rounds: int, warmup: int, device: str = "cpu"
) -> dict[str, Timing]:
    """Time every function once a round, after ``warmup`` rounds that do not count; seconds."""
    names = list(calls)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for index in range(-warmup, rounds):
        turn = index % len(names)
        for name in names[turn:] + names[:turn]:
            _wait(device)
            start = time.perf_counter()
            calls[name]()
            _wait(device)
            if index >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def ratios(numerator: Timing, denominator: Timing) -> Timing:
    """Return the ratio of two functions in each round."""
    return Timing(tuple(a / b for a, b in zip(numerator.values, denominator.values, strict=True)))


def peak_memory(call: Callable[[], object], device: str = "cpu") -> int:
    """Return the most bytes of tensors that one call holds at once, beyond those held before it."""
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        call()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    # Sums of single allocations in their order: the allocator's running total starts at an unknown offset.
    memory = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda event: event["ts"])
    held = peak = 0
    for event in memory:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()
