"""Options and tables that the actions of ``intertwine products`` share."""

from collections.abc import Sequence
from typing import Any

from intertwine.errors import ConfigError
from intertwine.training.words import nearest

__all__ = ["DIRECTIONS", "add_measurement", "one_of", "plural", "read_measurement"]

DIRECTIONS = ("forward", "backward", "double_backward")
"""How far a measured call differentiates; those of `survey.measure`, which would import torch for a help text."""


def add_measurement(parser: Any, batch: int, repetitions: int) -> None:
    """Add the options of a measurement."""
    parser.add_argument("--products", type=str, nargs="+", help="Names (default: all that are exact).")
    parser.add_argument("--channels", type=int, default=1, help="Channels of the inputs.")
    parser.add_argument("--batch", type=int, default=batch, help="Samples of the inputs.")
    parser.add_argument("--dtype", type=str, default="float32", help="float32, float64 or bfloat16.")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda.")
    parser.add_argument("--threads", type=int, help="Threads of torch on the CPU.")
    parser.add_argument("--repetitions", type=int, default=repetitions, help="Rounds that count.")
    parser.add_argument("--seconds", type=float, default=5.0, help="Bound of the rounds of one product.")


def read_measurement(args: Any) -> dict[str, Any]:
    """Return the options as arguments of `bench_products`, and set the number of threads.

    Raises:
        ConfigError: if a product, a dtype, a device or a number of threads cannot be.
    """
    import torch

    from intertwine.products.survey.registry import find_product

    for name in args.products or ():
        find_product(name)
    one_of("dtype", args.dtype, ("float32", "float64", "bfloat16"))
    one_of("device", args.device.partition(":")[0], ("cpu", "cuda"))
    if args.device != "cpu" and not torch.cuda.is_available():
        raise ConfigError("there is no CUDA device here", got=args.device, expected="cpu")
    if args.threads is not None:
        if args.threads < 1:
            raise ConfigError("torch needs a thread", got=f"--threads {args.threads}", expected=">= 1")
        torch.set_num_threads(args.threads)
    return {
        "channels": args.channels,
        "batch": args.batch,
        "dtype": getattr(torch, args.dtype),
        "device": args.device,
        "repetitions": args.repetitions,
        "seconds": args.seconds,
    }


def one_of(what: str, value: Any, known: Sequence[Any]) -> Any:
    """Return the value if it is one of the known ones.

    Raises:
        ConfigError: if it is not, naming the nearest.
    """
    if value not in known:
        names = [str(name) for name in known if name is not None]
        raise ConfigError(
            f"there is no {what} `{value}`", got=value, expected=", ".join(names), fix=nearest(str(value), names)
        )
    return value


def plural(count: int, noun: str) -> str:
    """Return the count with its noun.

    Example:
        >>> plural(1, "channel"), plural(2, "channel")
        ('1 channel', '2 channels')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"
