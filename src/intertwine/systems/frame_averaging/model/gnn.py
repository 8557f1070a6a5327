"""Graph networks for particles: messages between all pairs, alone or averaged over frames between all layers.

Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 5 (FA-GNN); without frames
it is the baseline of Satorras, Hoogeboom, Welling, ICML 2021.

Differences from the published code: any number of particles, systems of different sizes in one batch, any frame.
"""

from dataclasses import replace
from functools import reduce
from operator import mul

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intertwine.frames import Frame, Frames, PCAFrame, PlanarFrame
from intertwine.frames.choosing import drawn_elements, with_directions
from intertwine.frames.learned import LearnedFrame
from intertwine.frames.transport import kind_of
from intertwine.graphs import segment_mean
from intertwine.groups import SO
from intertwine.nn import PairMessages, VectorDeepSets, affine_map, perceptron
from intertwine.particles import particle_symmetry
from intertwine.symmetry import Symmetry
from intertwine.systems.frame_averaging.model.particle_network import ParticleNetwork, pair_attributes
from intertwine.systems.frame_averaging.settings.framing import kept_groups, make_frame
from intertwine.systems.frame_averaging.settings.particles import ParticleModelSettings

__all__ = ["GNN"]

_POINTS, _VECTORS = kind_of("point"), kind_of("vector")


class GNN(ParticleNetwork):
    """Predicts where particles will be; it can be saved, loaded and called on batches of systems.

    Law: predictions are permuted with the particles, and move with them under the group of the frame, if there is one.

    With frames, features are those of the particles as seen from each element of the frame of their system. Invariants
    (products of charges, squared distances) and edges are the same for all elements. Between layers features are taken
    for vectors, mapped back and averaged, and these vectors give new frames, in which the next layer sees them.

    Args:
        settings: frames and sizes.
        rng: generator of the initial weights.

    Attributes:
        mode: ``all`` or ``stochastic``; may be changed at any time.
        draws: where random frames and drawn elements come from; torch's own generator where it is None.

    Example:
        >>> sum(weight.numel() for weight in GNN(ParticleModelSettings()).parameters())
        92103
    """

    def __init__(
        self,
        settings: ParticleModelSettings,
        *,
        rng: torch.Generator | None = None,
    ) -> None:
        super().__init__(settings)
        self.frame = _learned(settings, rng) if settings.frame.kind == "learned" else make_frame(settings.frame)
        self.mode = settings.frame.mode
        self.draws: torch.Generator | None = None
        hidden = settings.hidden
        self.embedding = affine_map(6, hidden, rng=rng)
        self.layers = nn.ModuleList(
            PairMessages(
                hidden,
                2 if settings.distances else 1,
                ends=settings.ends,
                normalise=settings.normalise,
                dropout=settings.dropout,
                rng=rng,
            )
            for _ in range(settings.layers)
        )
        self.decoder = perceptron([hidden, hidden, 3], rng=rng)

    @property
    def symmetry(self) -> Symmetry:
        """S_n acts on the particles, unless the frame depends on their order, and the group of the frame on space."""
        return particle_symmetry(reduce(mul, kept_groups(self.frame)))

    def predicted(
        self, positions: Tensor, velocities: Tensor, charges: Tensor, edge_index: Tensor, graph_index: Tensor
    ) -> Float[Tensor, "nodes 3"]:
        """Return the predicted positions."""
        attributes = pair_attributes(positions, charges, edge_index, distances=self.settings.distances)
        if self.frame is None:
            features = self.embedding(torch.cat([positions, velocities], dim=-1))
            for layer in self.layers:
                features = layer(features, edge_index, attributes)
            decoded = self.decoder(features)
            return positions + decoded if self.settings.predicts == "displacement" else decoded
        first = frames = self._first_frames(self.frame, positions, velocities, charges, graph_index)
        seen = [_POINTS.into(positions, frames, graph_index), _VECTORS.into(velocities, frames, graph_index)]
        features = self.embedding(torch.cat(seen, dim=-1))
        for number, layer in enumerate(self.layers):
            if number and self.settings.reframe:
                features, frames = self._reframed(self.frame, features, frames, graph_index)
            features = layer(features, edge_index, attributes)
        moved = _averaged(self.decoder(features), frames, graph_index)
        if self.settings.predicts == "displacement":
            return positions + moved
        return first.put_back(moved, graph_index)

    def _first_frames(
        self, frame: Frame, positions: Tensor, velocities: Tensor, charges: Tensor, graph_index: Tensor
    ) -> Frames:
        """Return the frames of the systems, from their positions and, with their weight, their velocities."""
        weight, count = self.settings.velocity_weight, _count(graph_index)
        reads = frame.reads if isinstance(frame, LearnedFrame) else ()
        cloud, index, others = positions, graph_index, [] if "velocities" in reads else ["velocities"]
        if weight > 0:
            centres = segment_mean(positions, graph_index, count).index_select(0, graph_index)
            cloud, index, others = torch.cat([positions, centres + weight * velocities]), graph_index.repeat(2), []
        frame = frame.reading({"velocities": velocities, "charges": charges})
        frames = frame.of_segments(cloud, index, count, rng=self.draws)
        fix = "set velocity_weight: then velocities take part in the frames of such particles"
        return self._chosen(with_directions(frames, frame, others, fix))

    def _reframed(
        self, frame: Frame, features: Tensor, frames: Frames, graph_index: Tensor
    ) -> tuple[Float[Tensor, "nodes frames hidden"], Frames]:
        """Return features as seen from the frames of the vectors that they are, and these frames."""
        vectors = _averaged(features.unflatten(-1, (-1, 3)), frames, graph_index)
        frame = _without_warning(frame)  # these vectors are not what the user gave
        index = graph_index.repeat_interleave(vectors.shape[1])
        found = self._chosen(frame.of_segments(vectors.flatten(0, 1), index, len(frames.translation), rng=self.draws))
        return _POINTS.into(vectors, found, graph_index).flatten(-2), found

    def _chosen(self, frames: Frames) -> Frames:
        if self.mode == "stochastic":
            frames = drawn_elements(frames, self.settings.frame.samples, self.draws)
        if self.training and self.settings.canonical_rotations:
            frames = _turned(frames, self.draws)
        return frames


def _learned(settings: ParticleModelSettings, rng: torch.Generator | None) -> LearnedFrame:
    own = settings.canonicalization
    axes = 2 if settings.frame.group in ("SE(3)", "SO(3)") else 3
    network = VectorDeepSets(
        own.features, vectors=axes, layers=own.layers, hidden=own.hidden, dropout=own.dropout, rng=rng
    )
    return LearnedFrame(network, settings.frame.group, reads=network.reads)


def _without_warning(frame: Frame) -> Frame:
    if isinstance(frame, PlanarFrame):
        return PlanarFrame(_without_warning(frame.frame), frame.n)
    return replace(frame, degenerate="ignore") if isinstance(frame, PCAFrame) and frame.degenerate == "warn" else frame


def _turned(frames: Frames, rng: torch.Generator | None) -> Frames:
    """Return elements followed by a random rotation for each system: canonical coordinates that are turned."""
    linear = frames.linear
    turns = SO(3).sample(len(linear), rng=rng or torch.default_generator, dtype=torch.float64).to(linear).unsqueeze(1)
    return replace(frames, linear=linear @ turns, inverse=None if frames.inverse is None else turns.mT @ frames.inverse)


def _averaged(seen: Tensor, frames: Frames, graph_index: Tensor) -> Tensor:
    """Return vectors (nodes, frames, ..., 3) mapped back, in the mean over the elements."""
    back = _VECTORS.back(seen, frames, graph_index)
    weights = frames.weights.index_select(0, graph_index)
    return (back * weights.reshape(*weights.shape, *[1] * (back.ndim - 2))).sum(1)


def _count(graph_index: Tensor) -> int:
    """Return the number of systems, or one that is not smaller where reading it would break a compiled graph."""
    if torch.compiler.is_compiling() or not len(graph_index):
        return len(graph_index)
    return int(graph_index.max()) + 1
