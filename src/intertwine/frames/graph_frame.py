"""Frames of graphs under renaming of the nodes: all permutations that sort the rows of a signature.

The frame of a graph has ``prod m!`` elements for rows that occur m times; it holds a full coset of the automorphisms,
whose number divides its own. A graph all of whose nodes look alike has all permutations.

Source: Puny et al., Frame Averaging for Invariant and Equivariant Network Design, ICLR 2022, section 3.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.frames.graph_signatures import (
    EIGENVALUE_TOLERANCE,
    ROW_TOLERANCE,
    check_graphs,
    cluster_rows,
    laplacian_signatures,
)
from intertwine.frames.ordered_partition import LARGEST_FRAME, OrderedPartition
from intertwine.frames.permutations import PermutationFrames

__all__ = ["FullGraphFrame", "GraphFrame", "SortingFrame", "orbit_representatives"]


class SortingFrame(ABC):
    """A map from graphs to permutations of their nodes that sort them, as an immutable value."""

    @abstractmethod
    def partition(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
    ) -> OrderedPartition:
        """Return the nodes in classes that move with the graph; computed once, it may be stored with the data.

        Args:
            adjacency: symmetric matrices, zero where there is no node.
            features: numbers of the nodes.
            mask: which entries are nodes; all where not given.

        Raises:
            ShapeError: if shapes do not fit.
            DataError: if a matrix is not symmetric.
            NumericsError: if a number is not finite.
        """

    def elements(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
        *,
        limit: int = LARGEST_FRAME,
    ) -> PermutationFrames:
        """Return all elements of the frames; a frame of more than ``limit`` is refused with a DataError."""
        return self.partition(adjacency, features, mask).elements(limit)

    def sample(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
        *,
        samples: int = 1,
        keys: Float[Tensor, "graphs samples nodes"] | None = None,
        rng: torch.Generator | None = None,
    ) -> PermutationFrames:
        """Draw elements uniformly; arguments are those of `partition` and `OrderedPartition.sample`."""
        return self.partition(adjacency, features, mask).sample(samples, keys=keys, rng=rng)


@final
@dataclass(frozen=True)
class GraphFrame(SortingFrame):
    """All permutations that sort the signatures of the Laplacian, and after them the features of the nodes.

    Args:
        use_features: whether features are further columns of the signature, which makes frames smaller.
        eigenvalue_tolerance: up to which eigenvalues are equal, relative to the largest.
        row_tolerance: up to which entries of signatures, and features, are equal.
    """

    use_features: bool = True
    eigenvalue_tolerance: float = EIGENVALUE_TOLERANCE
    row_tolerance: float = ROW_TOLERANCE

    def partition(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
    ) -> OrderedPartition:
        """Return the nodes in classes of equal signatures, in lexicographic order.

        The last columns are the weights of edges from a node to itself, which the Laplacian does not see, and the
        features.
        """
        mask = check_graphs(adjacency, mask, features)
        found = laplacian_signatures(adjacency, mask, self.eigenvalue_tolerance)
        exact = [adjacency.detach().diagonal(dim1=1, dim2=2).unsqueeze(-1).double()]
        if self.use_features and features is not None:
            exact.append(features.detach().double())
        columns = torch.cat([found.columns, *exact], dim=-1)
        noise = torch.nn.functional.pad(found.noise, (0, columns.shape[-1] - found.noise.shape[-1]))
        ranks, clear = cluster_rows(columns, mask, self.row_tolerance, noise)
        return OrderedPartition(ranks, mask, clear & found.clear)


@final
@dataclass(frozen=True)
class FullGraphFrame(SortingFrame):
    """All permutations of the nodes: averages over the whole group, of which a few draws say little."""

    def partition(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
    ) -> OrderedPartition:
        """Return all nodes in one class."""
        mask = check_graphs(adjacency, mask, features)
        return OrderedPartition(torch.zeros_like(mask, dtype=torch.int64), mask, mask.new_ones(len(mask)))


def orbit_representatives(
    frames: PermutationFrames,
    adjacency: Float[Tensor, "graphs nodes nodes"],
    features: Float[Tensor, "graphs nodes channels"] | None = None,
) -> PermutationFrames:
    """Return one element of each orbit of the automorphisms: those whose canonical forms differ.

    Orbits of one graph are equally large, so that the invariant average over representatives is that over the frame.
    It is not so for equivariant averages, which lose the symmetry of the graph itself.

    Args:
        frames: all elements of the frames of graphs.
        adjacency: of the graphs.
        features: of the nodes.
    """
    parts = [frames.index.unsqueeze(1), *_words(frames, adjacency, (1, 2))]
    if features is not None:
        parts += _words(frames, features, (1,))
    _, image = torch.unique(torch.cat(parts, dim=1), dim=0, return_inverse=True)
    first = torch.full((int(image.max()) + 1 if len(image) else 0,), len(image), device=image.device)
    first = first.scatter_reduce(0, image, torch.arange(len(image), device=image.device), "amin").sort().values
    index = frames.index[first]
    weights = torch.bincount(index, minlength=len(frames.valid)).double().reciprocal()[index]
    return PermutationFrames(frames.elements[first], index, weights, frames.valid)


def _words(frames: PermutationFrames, x: Tensor, axes: tuple[int, ...]) -> list[Int64[Tensor, "elements 1"]]:
    """Canonical forms of data as few whole numbers, equal where the forms are."""
    values, codes = torch.unique(x, return_inverse=True)
    forms = frames.canonical(codes.to(torch.uint8) if len(values) <= 256 else codes, axes).flatten(1)
    bits = max((len(values) - 1).bit_length(), 1)
    words = []
    for part in forms.split(62 // bits, dim=1):
        places = 1 << (bits * torch.arange(part.shape[1], device=x.device))
        words.append((part * places).sum(-1, keepdim=True))
    return words
