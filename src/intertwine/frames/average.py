"""Averaging any network over frames: it becomes invariant or equivariant, whatever it is made of.

Source: Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 2.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from intertwine.errors import ConfigError, ShapeError
from intertwine.frames.choosing import drawn_elements, part_of_elements, with_directions
from intertwine.frames.folding import DenseFolding, Folding, SegmentFolding
from intertwine.frames.frame import Frame, Frames
from intertwine.frames.transport import Kind, Typed, typed_of
from intertwine.groups import SymmetricGroup
from intertwine.representations import Cartesian, Invariant, NodeIndices, Permuted, Representation
from intertwine.symmetry import Symmetry

__all__ = ["FrameAverage"]

_STRUCTURE = ("mask", "edges", "graphs")


class FrameAverage(nn.Module):
    """A network with the symmetry of a frame: inputs are seen from each element, outputs mapped back and averaged.

    Law: ``f(g x) = g f(x)`` for every g of ``frame.kept``, the group of the frame unless its elements do not move with
    their clouds; exactly up to rounding, where frames are valid.

    The frames of all clouds are one batch, so the network runs once, on ``frames`` times as many clouds. Two layouts:

    - a batch of clouds, points ``(batch, n, d)``, with a ``mask`` ``(batch, n)`` where they differ in size. The network
      sees ``(batch * frames, n, d)``, the frames of a cloud beside each other;
    - clouds in one tensor, points ``(N, d)``, with an input of kind ``graphs``, the cloud of each point ``(N,)``, and
      ``edges``, an ``edge_index`` ``(2, E)``. The network sees all clouds in the first element of their frames, then
      all in the second, with shifted indices.

    Kinds of inputs and outputs: ``point``, ``vector``, ``pseudovector``, ``scalar``, ``pseudoscalar``, ``matrix``, or
    irreps such as ``"8x0e + 4x1o"``; of inputs also ``mask``, ``edges`` and ``graphs``. Of clouds in one tensor a row
    may be of a point, a graph or an edge: ``"vector of graphs"`` says so where numbers of rows do not, and inputs of
    graphs tell how many there are, if the last are empty. In a masked batch it must be said of data of whole clouds
    that have as many channels as there are points. Arguments without a kind are passed on as they are. Data of a kind
    have the clouds, or the points of all, on the first axis.

    Args:
        backbone: any module or function, called with the same arguments; `frame_averaged` is a decorator for functions.
        frame: the group and how its elements are found.
        inputs: kind of each argument of ``forward``; the first ``point`` (or else ``vector``) gives the frames.
        output: kind of the output, or of each output by name or by place (a tuple).
        mode: ``all`` averages over the frame. ``stochastic`` draws ``samples`` elements in each call, in training and
            in evaluation: equivariant in expectation, at the cost of ``samples`` runs (Duval et al., ICML 2023).
        samples: elements to draw.
        chunk: elements that run at once; the others wait, which saves memory when nothing is learnt. Batch norms that
            learn see the elements of one chunk at a time, and with ``recompute`` count them twice.
        recompute: with ``chunk``, recompute activations in the backward pass instead of keeping them.
        sources: what gives the frames and with which weight, by name: several inputs may, such as positions and
            velocities (vectors are then taken as points about the centroid).
        rng: for random frames and draws; torch's own generator where not given.

    Raises:
        ConfigError: if inputs, mode or numbers do not fit together.
        RepresentationError: for an unknown kind.

    Example:
        >>> from intertwine.frames import PCAFrame
        >>> net = FrameAverage(nn.Linear(3, 3), PCAFrame("E(3)"), inputs={"input": "point"}, output="point")
        >>> net(torch.randn(2, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        backbone: Callable[..., Any],
        frame: Frame,
        *,
        inputs: Mapping[str, str],
        output: str | Mapping[str, str] | tuple[str, ...],
        mode: Literal["all", "stochastic"] = "all",
        samples: int = 1,
        chunk: int | None = None,
        recompute: bool = False,
        sources: Mapping[str, float] | None = None,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.frame = frame
        self.inputs = dict(inputs)
        self.output = dict(output) if isinstance(output, Mapping) else output
        self.mode = mode
        self.samples = samples
        self.chunk = chunk
        self.recompute = recompute
        self.rng = rng
        self._kinds = {name: typed_of(kind) for name, kind in self.inputs.items() if kind not in _STRUCTURE}
        self._output_kinds = {kind: typed_of(kind) for kind in self._output_names()}
        self.sources = self._checked_sources(sources)
        self._check(mode, samples, chunk)

    @property
    def symmetry(self) -> Symmetry | None:
        """The group that the frame keeps acts on inputs and outputs as their kinds say; None where it keeps none."""
        if self.frame.kept is None:
            return None
        inputs: dict[str, Representation] = {name: self._law(typed.kind) for name, typed in self._kinds.items()}
        inputs |= {name: NodeIndices() for name, kind in self.inputs.items() if kind == "edges"}
        laws = {kind: self._law(self._output_kinds[kind].kind) for kind in self._output_names()}
        output: Any
        if isinstance(self.output, str):
            output = laws[self.output]
        elif isinstance(self.output, dict):
            output = {name: laws[kind] for name, kind in self.output.items()}
        else:
            output = [laws[kind] for kind in self.output]
        shown = {name: law for name, law in inputs.items() if not isinstance(law, Invariant)}
        return Symmetry(self.frame.kept, inputs=shown, output=output)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the average of the backbone over the frames of the clouds; arguments are those of the backbone.

        Raises:
            ShapeError: if data do not fit their kinds or each other.
            NumericsError: if a point is not finite.
        """
        given = self._named(args, kwargs)
        folding = self._folding(given)
        frames = self.frames(given)
        parts = range(0, frames.count, self.chunk or frames.count)
        outputs = None
        for start in parts:
            part = part_of_elements(frames, start, self.chunk or frames.count)
            found = self._run(given, part, folding)
            outputs = found if outputs is None else _added(outputs, found)
        return outputs

    def frames(self, inputs: Mapping[str, Any]) -> Frames:
        """Return the elements over which a call with these inputs averages; drawn ones in mode ``stochastic``."""
        folding = self._folding(inputs)
        frames = folding.frames(self.frame.reading(inputs), self._cloud(inputs, folding), self.rng)
        frames = self._with_directions(frames)
        return drawn_elements(frames, self.samples, self.rng) if self.mode == "stochastic" else frames

    def canonicalise(self, **inputs: Any) -> tuple[dict[str, Any], Frames]:
        """Return the inputs of the backbone as seen from all elements, and these, for averages of your own."""
        frames = self.frames(inputs)
        return self._framed(inputs, frames, self._folding(inputs)), frames

    def average(self, outputs: Any, frames: Frames, **inputs: Any) -> Any:
        """Return the average of outputs that a backbone gave for canonicalised inputs, mapped back."""
        return self._mapped(outputs, frames, self._folding(inputs))

    def each(self, outputs: Any, frames: Frames, **inputs: Any) -> Any:
        """Return the same outputs mapped back, not averaged.

        For each output there are the values ``(rows, frames, ...)``, with rows for clouds or points, and the weights
        ``(rows, frames)``.
        """
        folding = self._folding(inputs)
        return self._for_outputs(outputs, lambda kind, values: folding.back(kind, values, frames))

    def extra_repr(self) -> str:
        """Return the settings, for the text of the module."""
        return f"frame={self.frame}, inputs={self.inputs}, output={self.output}, mode={self.mode!r}"

    def _run(self, given: Mapping[str, Any], frames: Frames, folding: Folding) -> Any:
        def one(framed: dict[str, Any]) -> Any:
            return self.backbone(**framed)

        framed = self._framed(given, frames, folding)
        outputs = checkpoint(one, framed, use_reentrant=False) if self.recompute else one(framed)
        return self._mapped(outputs, frames, folding)

    def _framed(self, given: Mapping[str, Any], frames: Frames, folding: Folding) -> dict[str, Any]:
        framed = dict(given)
        for name, value in given.items():
            kind = self.inputs.get(name)
            if value is None or kind is None:
                continue
            framed[name] = (
                folding.structure(kind, value, frames.count)
                if kind in _STRUCTURE
                else folding.into(self._kinds[name], value, frames)
            )
        return framed

    def _mapped(self, outputs: Any, frames: Frames, folding: Folding) -> Any:
        return self._for_outputs(outputs, lambda kind, values: folding.mean(kind, values, frames))

    def _law(self, kind: Kind) -> Representation:
        law = kind.representation
        if not isinstance(self.frame.group, SymmetricGroup) or isinstance(law, Invariant):
            return law
        return Permuted((-2, -1) if law == Cartesian(2) else (-1,))  # coordinates are what is permuted

    def _for_outputs(self, outputs: Any, function: Callable[[Typed, Tensor], Any]) -> Any:
        def one(kind: str, values: Tensor) -> Any:
            return function(self._output_kinds[kind], values)

        if isinstance(self.output, str):
            return one(self.output, outputs)
        if isinstance(self.output, dict):
            return {name: one(kind, outputs[name]) for name, kind in self.output.items()}
        return tuple(one(kind, values) for kind, values in zip(self.output, outputs, strict=True))

    def _cloud(self, inputs: Mapping[str, Any], folding: Folding) -> Tensor:
        """Return the points that give the frames."""
        parts = [(inputs[name], _of_points(self.inputs[name]), weight) for name, weight in self.sources.items()]
        if len(parts) == 1:
            return parts[0][0]
        return folding.joined(parts)

    def _with_directions(self, frames: Frames) -> Frames:
        others = {name: typed.kind for name, typed in self._kinds.items() if name not in self.sources}
        directed = [name for name, kind in others.items() if kind.directed]
        invariant = [name for name, kind in others.items() if isinstance(kind.representation, Invariant)]
        signed = [name for name in others if name not in (*directed, *invariant)]
        fix = 'give the frames more than one source, such as sources={"positions": 1.0, "velocities": 1.0}'
        return with_directions(frames, self.frame, directed, fix, signed=signed)

    def _folding(self, given: Mapping[str, Any]) -> Folding:
        by_kind = {kind: given.get(name) for name, kind in self.inputs.items() if kind in _STRUCTURE}
        cloud = given.get(next(iter(self.sources)))
        if not isinstance(cloud, Tensor):
            raise ShapeError(
                "the points that give the frames are missing", got=", ".join(given), expected=", ".join(self.sources)
            )
        if (clouds := by_kind.get("graphs")) is not None:
            by_graph = [given[name] for name, typed in self._kinds.items() if typed.rows == "graphs" and name in given]
            count = len(by_graph[0]) if by_graph else None
            return SegmentFolding(clouds, len(cloud), count, by_kind.get("edges"))
        return DenseFolding(len(cloud), by_kind.get("mask"))

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        names = list(self.inputs)
        if len(args) > len(names):
            raise ShapeError(
                "there are more arguments than named inputs",
                got=f"{len(args)} without a name",
                expected=", ".join(names),
                fix="pass further arguments by name",
            )
        return dict(zip(names, args, strict=False)) | kwargs

    def _output_names(self) -> tuple[str, ...]:
        if isinstance(self.output, str):
            return (self.output,)
        return tuple(self.output.values()) if isinstance(self.output, dict) else tuple(self.output)

    def _checked_sources(self, sources: Mapping[str, float] | None) -> dict[str, float]:
        geometric = [
            name for kind in ("point", "vector") for name, given in self.inputs.items() if _of_points(given) == kind
        ]
        chosen = dict.fromkeys(geometric[:1], 1.0) if sources is None else dict(sources)
        if not chosen or not set(chosen) <= set(geometric):
            raise ConfigError(
                "no input gives the frames",
                got=self.inputs if sources is None else ", ".join(chosen) or "no source",
                expected="an input of kind point or vector",
            )
        return chosen

    def _check(self, mode: str, samples: int, chunk: int | None) -> None:
        wrong = {
            "mode": None if mode in ("all", "stochastic") else "all or stochastic",
            "samples": None if samples >= 1 else "at least 1",
            "chunk": None if chunk is None or chunk >= 1 else "at least 1, or None",
        }
        expected = {name: text for name, text in wrong.items() if text}
        if expected:
            raise ConfigError(
                "FrameAverage cannot be set up so",
                got={name: getattr(self, name) for name in expected},
                expected=expected,
            )


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, Tensor):
        return one + other
    if isinstance(one, dict):
        return {name: value + other[name] for name, value in one.items()}
    return tuple(a + b for a, b in zip(one, other, strict=True))


def _of_points(kind: str) -> str:
    """Return the kind without the words that say what is so anyway: a row for each point."""
    return kind.removesuffix(" of points")
