"""What may be asked of the frames of a batch before they are used: a part, a random part, and whether they suffice."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch

from intertwine.errors import DataWarning, NumericsError
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.stabiliser import missing_dimensions

__all__ = ["drawn_elements", "part_of_elements", "with_directions"]


def part_of_elements(frames: Frames, start: int, length: int) -> Frames:
    """Return the elements of each frame from ``start`` on, at most ``length``, with their weights."""
    if start == 0 and length >= frames.count:
        return frames
    part = slice(start, start + length)
    return replace(
        frames,
        linear=frames.linear[:, part],
        weights=frames.weights[:, part],
        inverse=None if frames.inverse is None else frames.inverse[:, part],
    )


def drawn_elements(frames: Frames, samples: int, rng: torch.Generator | None = None) -> Frames:
    """Return elements of each frame drawn with replacement by their weights; the drawn ones weigh the same.

    Averages over them have the averages over the frame as their expectation (Duval et al., ICML 2023).

    Args:
        frames: to draw from.
        samples: elements to draw of each frame.
        rng: where draws come from; torch's own generator where not given.
    """
    weights = frames.weights if rng is None else frames.weights.to(rng.device)
    chosen = torch.multinomial(weights, samples, replacement=True, generator=rng)
    rows = torch.arange(len(chosen), device=frames.linear.device).unsqueeze(1)
    chosen = chosen.to(rows.device)
    return replace(
        frames,
        linear=frames.linear[rows, chosen],
        weights=torch.full_like(frames.weights[:, :1], 1 / samples).expand(-1, samples),
        inverse=None if frames.inverse is None else frames.inverse[rows, chosen],
    )


def with_directions(
    frames: Frames, frame: Frame, others: Sequence[str], fix: str, *, signed: Sequence[str] = ()
) -> Frames:
    """Mark clouds as not valid that do not fix how other inputs are seen.

    Clouds on a line do not fix how directions across the line are seen. Where `Frames.span` says that some axes mean
    nothing, neither directions nor signs along them are fixed.

    Args:
        frames: of clouds.
        frame: that gave them; where it has a policy for degenerate clouds, that is followed.
        others: names of inputs with directions that do not take part in the frames.
        fix: what a user may do.
        signed: names of inputs that have only signs, such as pseudoscalars.

    Raises:
        NumericsError: if the policy is ``error``; with ``warn`` there is a `DataWarning`.
    """
    named = [*others, *signed]
    if not named or torch.compiler.is_compiling():
        return frames
    thin = torch.zeros_like(frames.valid)
    if frames.rank is not None and others:
        thin = thin | (frames.rank < frames.linear.shape[-1] - 1)
    if frames.span is not None:
        thin = thin | (missing_dimensions(frames.span) > 0)
    if not thin.any():
        return frames
    message = f"clouds of few dimensions do not fix how {', '.join(named)} are seen beyond them"
    policy = getattr(frame, "degenerate", "ignore")
    if policy == "error":
        raise NumericsError(message, got=f"{int(thin.sum())} of {len(thin)} clouds", fix=fix)
    if policy == "warn":
        warnings.warn(f"{message}, so that averages are not equivariant; {fix}", DataWarning, stacklevel=4)
    return replace(frames, valid=frames.valid & ~thin)
