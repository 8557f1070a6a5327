"""How long products take: warm, side by side, as medians with percentiles, forward and through two derivatives.

Every call is first repeated until two consecutive medians of ten calls agree within 5 %; those calls are thrown away.
Then all operations are called in turn, round after round, so that a drift of the machine meets all of them alike. What
has no coupling to compute is refused, never timed. (Protocol: spec of the measure, after Xie et al., "The Price of
Freedom", whose published averages mix warm-up with measurement.)
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from intertwine.errors import ConfigError, RepresentationError
from intertwine.products.product import Product

__all__ = ["BACKENDS", "DIRECTIONS", "Backend", "Direction", "Timing", "call_of", "require_couplings", "time_calls"]

Direction = Literal["forward", "backward", "double_backward"]
Backend = Literal["eager", "compiled"]
DIRECTIONS: tuple[str, ...] = get_args(Direction)
"""``forward``; ``backward``: forward and gradients by both inputs; ``double_backward``: and the gradients of those."""
BACKENDS: tuple[str, ...] = get_args(Backend)

_WINDOW = 10
_AGREEMENT = 0.05
_FEWEST = 5


@dataclass(frozen=True)
class Timing:
    """How long one call takes, in seconds.

    Args:
        median: of the repetitions.
        p10, p90: percentiles of the repetitions.
        repetitions: how many calls were counted.
        warmup_calls: how many calls were thrown away before.
        steady: whether the warm-up ended because the times agreed, and not because its bound was reached.
    """

    median: float
    p10: float
    p90: float
    repetitions: int
    warmup_calls: int
    steady: bool


def time_calls(
    calls: Mapping[str, Callable[[], Any]],
    *,
    repetitions: int = 50,
    seconds: float = 5.0,
    warmup_calls: int = 200,
    warmup_seconds: float = 5.0,
    device: "torch.device | str" = "cpu",
) -> dict[str, Timing]:
    """Return the timing of every call, measured in turn.

    Args:
        calls: what to time, by name.
        repetitions: rounds that count; fewer, but at least five, where ``seconds`` are over.
        seconds: bound of the rounds, for each call.
        warmup_calls: bound of the warm-up of each call.
        warmup_seconds: bound of the warm-up of each call.
        device: where the calls run; on CUDA every call is waited for.

    Raises:
        ConfigError: if there are no repetitions.
    """
    if repetitions < 1 or warmup_calls < 0:
        raise ConfigError(
            "a measurement needs repetitions",
            got={"repetitions": repetitions, "warmup_calls": warmup_calls},
            expected="repetitions >= 1, warmup_calls >= 0",
        )
    wait = _waiting(torch.device(device))
    warm = {name: _warm_up(call, wait, warmup_calls, warmup_seconds) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    began = time.perf_counter()
    for done in range(repetitions):
        if done >= _FEWEST and time.perf_counter() - began > seconds * len(calls):
            break
        for name, call in calls.items():
            times[name].append(_once(call, wait))
    return {name: _timing(times[name], *warm[name]) for name in calls}


def call_of(
    product: Product,
    x: Tensor,
    y: Tensor,
    direction: Direction = "forward",
    backend: Backend = "eager",
) -> Callable[[], Any]:
    """Return the call that computes a product, or it with its first or second derivatives.

    ``double_backward`` takes the gradients of both inputs' gradients by both inputs and by the cotangent, what training
    on forces does. Compiled, the gradients are part of the compiled function.

    Args:
        product: the product, on the device and in the dtype of the inputs.
        x, y: its inputs.
        direction: how far to differentiate.
        backend: ``compiled`` goes through ``torch.compile(fullgraph=True)``, at the first call.

    Raises:
        ConfigError: if the direction or the backend is unknown.
    """
    if direction not in DIRECTIONS or backend not in BACKENDS:
        raise ConfigError(
            "there is nothing like that to time",
            got={"direction": direction, "backend": backend},
            expected=f"{', '.join(DIRECTIONS)}; {', '.join(BACKENDS)}",
        )

    def compiled(function: Callable) -> Callable:
        return torch.compile(function, fullgraph=True, dynamic=False) if backend == "compiled" else function

    if direction == "forward":
        apply = compiled(product)

        def forward() -> Tensor:
            with torch.no_grad():
                return apply(x, y)

        return forward
    x, y = (value.detach().clone().requires_grad_(True) for value in (x, y))
    cotangent = torch.randn(_output_shape(product, x, y), dtype=x.dtype, device=x.device, generator=_rng(x.device))
    if direction == "backward":
        apply = compiled(product)
        return lambda: torch.autograd.grad(apply(x, y), (x, y), cotangent)
    cotangent.requires_grad_(True)

    def by_transform(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return torch.func.vjp(product, a, b)[1](g)

    def by_autograd(a: Tensor, b: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(product(a, b), (a, b), g, create_graph=True)

    gradients = compiled(by_transform) if backend == "compiled" else by_autograd
    directions = (torch.ones_like(x), torch.ones_like(y))
    return lambda: torch.autograd.grad(gradients(x, y, cotangent), (x, y, cotangent), directions)


def require_couplings(product: Product, where: str = "") -> int:
    """Return the number of couplings of a product.

    Raises:
        RepresentationError: if there is none: its expressivity is 0, and timing it would time nothing.
    """
    number = len(product.interactions())
    if number == 0:
        raise RepresentationError(
            f"the product `{product.name}` has no allowed path{where}: its expressivity is 0",
            got={"in1": product.irreps_in1, "in2": product.irreps_in2, "out": product.irreps_out},
            fix="choose irreps that it couples; `intertwine products explain` says which it does",
            code="E203",
        )
    return number


def _output_shape(product: Product, x: Tensor, y: Tensor) -> tuple[int, ...]:
    return (*torch.broadcast_shapes(x.shape[:-1], y.shape[:-1]), product.irreps_out.dim)


def _rng(device: torch.device) -> torch.Generator:
    return torch.Generator(device=device).manual_seed(0)


def _waiting(device: torch.device) -> Callable[[], None]:
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None


def _once(call: Callable[[], Any], wait: Callable[[], None]) -> float:
    wait()
    began = time.perf_counter()
    call()
    wait()
    return time.perf_counter() - began


def _warm_up(
    call: Callable[[], Any], wait: Callable[[], None], most_calls: int, most_seconds: float
) -> tuple[int, bool]:
    """Call until two consecutive medians of ten agree; return the number of calls and whether they did."""
    began = time.perf_counter()
    done, last = 0, None
    while done < most_calls:
        window = []
        while len(window) < _WINDOW and done < most_calls:
            window.append(_once(call, wait))
            done += 1
            if done > 1 and time.perf_counter() - began > most_seconds:  # the first call may have compiled
                return done, False
        median = statistics.median(window)
        if last is not None and len(window) == _WINDOW and abs(median - last) <= _AGREEMENT * last:
            return done, True
        last = median
    return done, False


def _timing(times: list[float], warmup_calls: int, steady: bool) -> Timing:
    values = torch.tensor(times, dtype=torch.float64)
    p10, median, p90 = torch.quantile(values, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)).tolist()
    return Timing(median, p10, p90, len(times), warmup_calls, steady)
