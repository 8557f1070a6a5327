"""A transform for pipelines of PyTorch Geometric: graphs get their positions as seen from the elements of a frame.

It reads and writes attributes only, of a `Data` or of a `Batch`, so that the library itself is not needed here.
"""

from typing import Any, Literal, final

import torch
from torch import Tensor

from intertwine.errors import ConfigError, DataError
from intertwine.frames.choosing import drawn_elements
from intertwine.frames.frame import Frame, Frames

__all__ = ["FrameTransform"]


@final
class FrameTransform:
    """Write the positions of each graph as seen from its frame, before training or in it.

    A graph gets lists with one entry for each element, which a DataLoader joins entry by entry:

    - ``fa_pos``: positions ``(nodes, d)``, seen from the element: ``(pos - fa_origin) R`` for rotations R;
    - ``fa_rot``: its linear part ``(graphs, d, d)``, with the axes as columns: a vector v that a network gives for
      ``fa_pos`` is ``v R^T`` in the coordinates of the input;
    - ``fa_cell``: cells ``(graphs, 3, 3)``, whose rows, the lattice vectors, are seen in the same way; for graphs that
      have a ``cell``;
    - ``fa_weight``: the weight of the element in the average, ``(graphs,)``;

    and ``fa_origin`` ``(graphs, d)``, to be added to points that a network gives, and ``fa_valid`` ``(graphs,)``, False
    where no frame moves with the graph. The number of elements must be the same for all graphs that are to be joined:
    weighted frames of graphs of different size are better made from the finished batch.

    Args:
        frame: how elements are found; `faenet_framing` gives the published ones.
        mode: ``all`` elements, or ``stochastic``: ``samples`` drawn at each call.
        samples: elements to draw.
        rng: for draws. Workers of a DataLoader have copies of it and draw alike: transform finished batches instead.

    Raises:
        ConfigError: for another mode, or no samples.

    Example:
        >>> from types import SimpleNamespace
        >>> from intertwine.frames import PCAFrame
        >>> graph = FrameTransform(PCAFrame("E(3)"))(SimpleNamespace(pos=torch.randn(5, 3)))
        >>> len(graph.fa_pos), graph.fa_rot[0].shape
        (8, torch.Size([1, 3, 3]))
    """

    def __init__(
        self,
        frame: Frame,
        mode: Literal["all", "stochastic"] = "all",
        *,
        samples: int = 1,
        rng: torch.Generator | None = None,
    ) -> None:
        if mode not in ("all", "stochastic") or samples < 1:
            raise ConfigError(
                "a transform takes all elements of frames or draws some",
                got={"mode": mode, "samples": samples},
                expected="all or stochastic, at least 1",
            )
        self.frame, self.mode, self.samples, self.rng = frame, mode, samples, rng

    def __call__(self, data: Any) -> Any:
        """Return the graph or batch, with the attributes written.

        Raises:
            DataError: if it has no positions, or a cell does not fit.
            NumericsError: if a position is not finite.
        """
        points = getattr(data, "pos", None)
        if not isinstance(points, Tensor) or points.ndim != 2:
            got = tuple(points.shape) if isinstance(points, Tensor) else "no `pos`"
            raise DataError(
                "a graph needs the positions of its nodes", got=got, expected=f"pos (nodes, {self.frame.dim})"
            )
        index = getattr(data, "batch", None)
        if index is None:
            index = torch.zeros(len(points), dtype=torch.int64, device=points.device)
            count = 1
        else:
            count = int(getattr(data, "num_graphs", index.max() + 1 if len(index) else 0))
        frames = self.frame.of_segments(points, index, count, rng=self.rng)
        if self.mode == "stochastic":
            frames = drawn_elements(frames, self.samples, self.rng)
        seen = frames.seen_from_origin(points, index).unsqueeze(1)
        data.fa_pos = [_into(seen, frames, element, index)[:, 0] for element in range(frames.count)]
        data.fa_rot = list(frames.linear.unbind(1))
        data.fa_weight = list(frames.weights.unbind(1))
        data.fa_origin, data.fa_valid = frames.translation, frames.valid
        cell = getattr(data, "cell", None)
        if cell is not None:
            rows = self._cells(cell, count)
            data.fa_cell = [_into(rows, frames, element, None) for element in range(frames.count)]
        return data

    def __repr__(self) -> str:
        return f"FrameTransform({self.frame}, mode={self.mode!r})"

    def _cells(self, cell: Tensor, count: int) -> Tensor:
        if not isinstance(cell, Tensor) or cell.numel() != 3 * count * self.frame.dim:
            got = tuple(cell.shape) if isinstance(cell, Tensor) else type(cell).__name__
            raise DataError("a cell has three lattice vectors for each graph", got=got, expected=f"({count}, 3, 3)")
        return cell.reshape(count, 3, self.frame.dim)


def _into(vectors: Tensor, frames: Frames, element: int, index: Tensor | None) -> Tensor:
    """Return rows of vectors ``(items, rows, d)`` as seen from one element of the frame of their graph."""
    matrix = frames.inverse_linear[:, element]
    return vectors @ (matrix if index is None else matrix[index]).mT
