"""Frame averages of networks on graphs: whatever the network does, the result has the symmetry of renaming nodes."""

from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intertwine.errors import ConfigError, DataError
from intertwine.frames.graph_frame import GraphFrame, SortingFrame, orbit_representatives
from intertwine.frames.ordered_partition import LARGEST_FRAME, OrderedPartition
from intertwine.frames.permutations import PermutationFrames
from intertwine.groups import SymmetricGroup
from intertwine.representations import Invariant, Permuted
from intertwine.symmetry import Symmetry

__all__ = ["FrameAverageGraph"]

Output = Literal["graph", "nodes", "pairs"]
Mode = Literal["all", "stochastic", "orbits"]
_AXES: dict[str, tuple[int, ...]] = {"graph": (), "nodes": (1,), "pairs": (1, 2)}


class FrameAverageGraph(nn.Module):
    """Averages a network over the frames of graphs.

    Law: invariant under renaming of the nodes for outputs of graphs; outputs of nodes and of pairs of nodes move with
    them. With ``mode="stochastic"`` this holds in distribution, and exactly if ``keys`` move with the nodes. The
    average is unbiased and its variance falls with one over the number of samples.

    Args:
        backbone: called as ``backbone(adjacency, features, mask)`` on canonical forms, of which an input has as many as
            its frame has elements.
        frame: of the graphs.
        output: what the backbone returns numbers of: ``graph`` (copies, ...), ``nodes`` (copies, nodes, ...) or
            ``pairs`` (copies, nodes, nodes, ...); entries without a node become zero.
        mode: ``all`` elements of a frame; ``stochastic`` draws some; ``orbits`` takes one of each orbit of the
            automorphisms, which gives the same invariants.
        samples: how many are drawn.
        limit: the largest frame that ``all`` and ``orbits`` list.
        chunk: how many copies the backbone gets at a time; all at once when not given.
    """

    def __init__(
        self,
        backbone: nn.Module,
        frame: SortingFrame | None = None,
        *,
        output: Output = "graph",
        mode: Mode = "all",
        samples: int = 1,
        limit: int = LARGEST_FRAME,
        chunk: int | None = None,
    ) -> None:
        super().__init__()
        if (
            output not in _AXES
            or mode not in ("all", "stochastic", "orbits")
            or (mode == "orbits" and output != "graph")
        ):
            raise ConfigError(
                "there is no such average over frames of graphs",
                got={"output": output, "mode": mode},
                expected="output graph, nodes or pairs; mode all, stochastic, or (for graph only) orbits",
            )
        if samples < 1 or limit < 1 or (chunk is not None and chunk < 1):
            raise ConfigError(
                "numbers of elements are at least 1", got={"samples": samples, "limit": limit, "chunk": chunk}
            )
        self.backbone, self.frame = backbone, GraphFrame() if frame is None else frame
        self.output, self.mode = output, mode
        self.samples, self.limit, self.chunk = samples, limit, chunk

    @property
    def symmetry(self) -> Symmetry:
        """S_n renames the nodes, and their keys where elements are drawn."""
        axes = _AXES[self.output]
        return Symmetry(
            SymmetricGroup(None),
            inputs={
                "adjacency": Permuted((1, 2)),
                "features": Permuted((1,)),
                "mask": Permuted((1,)),
                "keys": Permuted((2,)),
            },
            output=Permuted(axes) if axes else Invariant(),
        )

    def forward(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
        *,
        partition: OrderedPartition | None = None,
        keys: Float[Tensor, "graphs samples nodes"] | None = None,
        rng: torch.Generator | None = None,
    ) -> Float[Tensor, "graphs ..."]:
        """Return the averages.

        Args:
            adjacency: symmetric matrices, zero where there is no node.
            features: numbers of the nodes.
            mask: which entries are nodes; all where not given.
            partition: what the frame's ``partition`` gives for these graphs, if it is known; of a minimal frame only
                for outputs of graphs.
            keys: by which elements are drawn, uniform in [0, 1).
            rng: source of the keys where they are not given.

        Raises:
            DataError: if a frame is too large to list, or a graph is directed.
            NumericsError: if a number is not finite.
        """
        return self.moments(adjacency, features, mask, partition=partition, keys=keys, rng=rng)[0]

    def moments(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
        **settings: Any,
    ) -> tuple[Float[Tensor, "graphs ..."], Float[Tensor, "graphs ..."]]:
        """Return the averages, and the variances of the outputs over the elements they are averages of.

        Arguments and errors are those of `forward`. The variance is what the expected-equivariance regulariser adds to
        a loss.
        """
        frames = self.frames(adjacency, features, mask, **settings)
        outputs = self._outputs(frames, adjacency, features, mask)
        if axes := _AXES[self.output]:
            outputs = frames.carried_back(outputs, axes)
            if mask is not None:
                there = mask if len(axes) == 1 else mask.unsqueeze(1) & mask.unsqueeze(2)
                there = there.index_select(0, frames.index)
                outputs = outputs.where(there.reshape(*there.shape, *[1] * (outputs.ndim - there.ndim)), 0)
        return frames.mean(outputs), frames.variance(outputs)

    def frames(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
        *,
        partition: OrderedPartition | None = None,
        keys: Float[Tensor, "graphs samples nodes"] | None = None,
        rng: torch.Generator | None = None,
    ) -> PermutationFrames:
        """Return the elements that are averaged over; arguments and errors are those of `forward`."""
        if self.mode == "stochastic":
            if partition is None:
                return self.frame.sample(adjacency, features, mask, samples=self.samples, keys=keys, rng=rng)
            return partition.sample(self.samples, keys=keys, rng=rng)
        if partition is None:
            found = self.frame.elements(adjacency, features, mask, limit=self.limit)
        else:
            found = partition.elements(self.limit)
        return orbit_representatives(found, adjacency, features) if self.mode == "orbits" else found

    def _outputs(
        self, frames: PermutationFrames, adjacency: Tensor, features: Tensor | None, mask: Tensor | None
    ) -> Tensor:
        count = len(frames.index)
        size = count if self.chunk is None else self.chunk
        parts = []
        for start in range(0, max(count, 1), max(size, 1)):
            some = PermutationFrames(
                frames.elements[start : start + size],
                frames.index[start : start + size],
                frames.weights[start : start + size],
                frames.valid,
            )
            parts.append(
                self.backbone(
                    some.canonical(adjacency, (1, 2)),
                    None if features is None else some.canonical(features),
                    None if mask is None else some.canonical(mask),
                )
            )
        outputs = torch.cat(parts) if len(parts) > 1 else parts[0]
        if outputs.shape[0] != count:
            raise DataError(
                "the backbone must return one entry for each copy",
                got=tuple(outputs.shape),
                expected=f"({count}, ...)",
            )
        return outputs
