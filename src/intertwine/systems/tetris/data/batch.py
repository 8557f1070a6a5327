"""Point sets as one graph: what the model's ``forward`` takes, with the classes where they are known."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intertwine.errors import DataError
from intertwine.graphs import TensorBatch

__all__ = ["PointBatch", "PointGraph", "collate_points"]


@dataclass(frozen=True)
class PointGraph:
    """One point set: coordinates, types (places in the model's list), edges, and the class if it is known."""

    positions: Float[Tensor, "points 3"]
    types: Int64[Tensor, " points"]
    edge_index: Int64[Tensor, "2 edges"]
    label: Int64[Tensor, ""] | None = None


@dataclass(frozen=True)
class PointBatch(TensorBatch):
    """Several point sets as one graph without edges between them."""

    positions: Float[Tensor, "points 3"]
    types: Int64[Tensor, " points"]
    edge_index: Int64[Tensor, "2 edges"]
    graph_index: Int64[Tensor, " points"]
    num_points: Int64[Tensor, " sets"]
    labels: Int64[Tensor, " sets"] | None = None

    @property
    def num_graphs(self) -> int:
        """The number of point sets."""
        return len(self.num_points)

    def inputs(self) -> dict[str, Tensor]:
        """Return the arguments of ``forward``, by name."""
        names = ("positions", "types", "edge_index", "graph_index", "num_points")
        return {name: getattr(self, name) for name in names}

    def moved(self, matrices: Float[Tensor, "#sets 3 3"]) -> "PointBatch":
        """Return the batch with the points of each set multiplied by its own matrix, or all by the same."""
        each = matrices.to(self.positions).expand(self.num_graphs, 3, 3).index_select(0, self.graph_index)
        return replace(self, positions=torch.einsum("nab,nb->na", each, self.positions))


def collate_points(graphs: list[PointGraph]) -> PointBatch:
    """Return the disjoint union of point sets, in their order.

    Raises:
        DataError: if there is none, or only some of them have a class.
    """
    if not graphs:
        raise DataError("a batch needs at least one point set", got="an empty list")
    labels = [graph.label for graph in graphs if graph.label is not None]
    if labels and len(labels) < len(graphs):
        raise DataError(
            "only some point sets of a batch have a class",
            got={"with": len(labels), "without": len(graphs) - len(labels)},
            expected="a class for all of them, or for none",
        )
    sizes = torch.tensor([len(graph.types) for graph in graphs])
    starts = (sizes.cumsum(0) - sizes).tolist()
    return PointBatch(
        positions=torch.cat([graph.positions for graph in graphs]),
        types=torch.cat([graph.types for graph in graphs]),
        edge_index=torch.cat([graph.edge_index + start for graph, start in zip(graphs, starts, strict=True)], dim=1),
        graph_index=torch.repeat_interleave(torch.arange(len(graphs)), sizes),
        num_points=sizes,
        labels=torch.stack(labels) if labels else None,
    )
