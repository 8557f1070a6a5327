"""Batches of charged particles as one graph: every particle of a sample sees every other."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from intertwine.errors import ShapeError
from intertwine.graphs import TensorBatch
from intertwine.groups import Group
from intertwine.particles.samples import Samples
from intertwine.representations import NodeIndices, Permuted, Point, Vector
from intertwine.symmetry import Symmetry

__all__ = ["ParticleBatch", "SampleSet", "check_particles", "complete_graph", "particle_symmetry"]


@dataclass(frozen=True)
class ParticleBatch(TensorBatch):
    """Several samples as one graph without edges between them; what the network's ``forward`` takes, and targets."""

    positions: Float[Tensor, "nodes 3"]
    velocities: Float[Tensor, "nodes 3"]
    charges: Float[Tensor, " nodes"]
    edge_index: Int64[Tensor, "2 edges"]
    graph_index: Int64[Tensor, " nodes"]
    num_graphs: int
    targets: Float[Tensor, "nodes 3"] | None = None

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of ``forward``, by name."""
        names = ("positions", "velocities", "charges", "edge_index", "graph_index")
        return {name: getattr(self, name) for name in names}


def particle_symmetry(group: Group) -> Symmetry:
    """Return how a group acts on the arguments of a network of particles, and on the positions that it predicts.

    Args:
        group: E(3), S_n, their product, or another group of space or of the particles.
    """
    return Symmetry(
        group,
        inputs={
            "positions": Permuted((0,), Point()),
            "velocities": Permuted((0,), Vector()),
            "charges": Permuted((0,)),
            "edge_index": NodeIndices(),
            "graph_index": Permuted((0,)),
        },
        output=Permuted((0,), Point()),
    )


def check_particles(positions: Tensor, velocities: Tensor, charges: Tensor, graph_index: Tensor) -> None:
    """Raise ShapeError unless there is one position, velocity, charge and system for each particle."""
    count = positions.shape[0]
    shapes = {
        "positions": positions.shape,
        "velocities": velocities.shape,
        "charges": charges.shape,
        "graph_index": graph_index.shape,
    }
    if list(shapes.values()) != [(count, 3), (count, 3), (count,), (count,)]:
        raise ShapeError(
            "a network of particles needs one position, velocity, charge and system for each particle",
            got={name: tuple(shape) for name, shape in shapes.items()},
            expected="(nodes, 3), (nodes, 3), (nodes,), (nodes,)",
        )


def complete_graph(samples: int, particles: int) -> Int64[Tensor, "2 edges"]:
    """Return the edges between all particles of each sample, without loops, sorted by destination.

    Example:
        >>> complete_graph(1, 3)
        tensor([[1, 2, 0, 2, 0, 1],
                [0, 0, 1, 1, 2, 2]])
    """
    destination = torch.arange(particles).repeat_interleave(max(particles - 1, 0))
    others = torch.arange(max(particles - 1, 0)).repeat(particles)
    source = others + (others >= destination)
    first = torch.arange(samples).repeat_interleave(len(source)) * particles
    return torch.stack([source, destination]).repeat(1, samples) + first


class SampleSet(Dataset[ParticleBatch]):
    """Samples as a data set whose items are batches, so that many are taken at once without a loop.

    Args:
        samples: from a file or a simulation.
    """

    def __init__(self, samples: Samples) -> None:
        self.samples = samples
        self._tensors = {name: torch.from_numpy(array) for name, array in samples.arrays().items()}

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> ParticleBatch:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> ParticleBatch:
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        count, particles = len(chosen), self.samples.particles
        tensors = {name: values.index_select(0, chosen).flatten(0, 1) for name, values in self._tensors.items()}
        return ParticleBatch(
            edge_index=complete_graph(count, particles),
            graph_index=torch.arange(count).repeat_interleave(particles),
            num_graphs=count,
            **tensors,
        )

    def batches(self, size: int) -> list[ParticleBatch]:
        """Return all samples in batches of at most ``size``, in their order."""
        return [self.__getitems__(range(start, min(start + size, len(self)))) for start in range(0, len(self), size)]
