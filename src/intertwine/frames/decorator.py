"""Frame averages of plain functions: a decorator."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

from intertwine.errors import ConfigError
from intertwine.frames.average import FrameAverage
from intertwine.frames.frame import Frame

__all__ = ["frame_averaged"]


def frame_averaged(
    frame: Frame, *, inputs: Mapping[str, str], output: str | Mapping[str, str] | tuple[str, ...], **settings: Any
) -> Callable[[Callable[..., Any]], FrameAverage]:
    """Return a decorator that averages a function over frames; what was the function is then a `FrameAverage`.

    The function is called on batches, as a network is: with points ``(batch, n, d)``, or ``(N, d)`` and the cloud of
    each. The average keeps its name and its text, and declares its symmetry, so that it can be checked.

    Args:
        frame: the group and how its elements are found.
        inputs: kinds of the arguments by name, see `FrameAverage`; those without a kind are passed on.
        output: kind of what the function returns, or of each of several outputs.
        settings: further arguments of `FrameAverage`, such as ``mode`` and ``chunk``.

    Raises:
        ConfigError: if what is decorated cannot be called.

    Example:
        >>> import torch
        >>> from intertwine.frames import PCAFrame
        >>> @frame_averaged(PCAFrame("E(3)"), inputs={"x": "point"}, output="vector")
        ... def pull(x):
        ...     return torch.tanh(x).cumsum(1)
        >>> pull(torch.randn(2, 5, 3)).shape, str(pull.symmetry.group)
        (torch.Size([2, 5, 3]), 'E(3)')
    """

    def decorated(function: Callable[..., Any]) -> FrameAverage:
        if not callable(function):
            raise ConfigError(
                "only what can be called can be averaged over frames",
                got=repr(function),
                expected="a function",
                fix="write @frame_averaged(frame, inputs=..., output=...) above it",
            )
        average = FrameAverage(function, frame, inputs=inputs, output=output, **settings)
        functools.update_wrapper(average, function, updated=())
        if average._modules.pop("__wrapped__", None) is not None:
            # a module that is decorated is the backbone already: its weights are held once
            average.__dict__["__wrapped__"] = function
        return average

    return decorated
