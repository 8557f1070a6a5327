"""Canonical labellings of graphs, their automorphisms, and the minimal frames made of both.

A canonical labelling gives isomorphic graphs equal matrices. All labellings that do are one coset of the automorphisms,
and no frame has fewer elements. Labellings are those of nauty (McKay, Piperno), through pynauty.

Source: Lin et al., Equivariance via Minimal Frame Averaging, ICML 2024, section 4.
"""

from collections import deque
from dataclasses import dataclass
from types import ModuleType
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intertwine.errors import DataError, MissingExtraError
from intertwine.frames.graph_frame import SortingFrame
from intertwine.frames.graph_signatures import check_graphs
from intertwine.frames.ordered_partition import LARGEST_FRAME, OrderedPartition, draw_keys
from intertwine.frames.permutations import PermutationFrames

__all__ = ["Automorphisms", "MinimalGraphFrame", "automorphisms", "canonical_labelling"]

Permutation = tuple[int, ...]


@dataclass(frozen=True)
class Automorphisms:
    """The permutations of the nodes that leave a graph, its weights and its features as they are.

    Args:
        nodes: number of nodes of the graph.
        order: how many there are; exact below 2^53.
        generators: permutations of which all are products.
    """

    nodes: int
    order: float
    generators: tuple[Permutation, ...]

    def elements(self, limit: int = LARGEST_FRAME) -> Int64[Tensor, "order nodes"]:
        """Return all of them, the identity first.

        Raises:
            DataError: if there are more than ``limit``.
        """
        if self.order > limit:
            raise DataError(
                "a graph has too many automorphisms to list", got=f"{self.order:.4g}", expected=f"at most {limit}"
            )
        identity = tuple(range(self.nodes))
        found, waiting = {identity: None}, deque([identity])
        while waiting:
            element = waiting.popleft()
            for generator in self.generators:
                product = tuple(generator[place] for place in element)
                if product not in found:
                    found[product] = None
                    waiting.append(product)
        return torch.tensor(list(found), dtype=torch.int64).reshape(len(found), self.nodes)


def canonical_labelling(
    adjacency: Float[Tensor, "nodes nodes"], features: Float[Tensor, "nodes channels"] | None = None
) -> Int64[Tensor, " nodes"]:
    """Return the permutation p for which ``p^-1 X`` is the canonical form: its node i is node ``p[i]`` of the graph.

    Args:
        adjacency: symmetric matrix; weights are compared exactly, and edges from a node to itself count.
        features: numbers of the nodes, which are compared exactly.

    Raises:
        MissingExtraError: if pynauty is not installed.
    """
    _check_one(adjacency, features)
    return torch.tensor(_pynauty().canon_label(_nauty_graph(adjacency, features))[: len(adjacency)], dtype=torch.int64)


def automorphisms(
    adjacency: Float[Tensor, "nodes nodes"], features: Float[Tensor, "nodes channels"] | None = None
) -> Automorphisms:
    """Return the automorphism group of a graph; arguments and errors are those of `canonical_labelling`."""
    _check_one(adjacency, features)
    nodes = len(adjacency)
    generators, mantissa, exponent, _, _ = _pynauty().autgrp(_nauty_graph(adjacency, features))
    return Automorphisms(
        nodes, float(mantissa) * 10.0**exponent, tuple(tuple(generator[:nodes]) for generator in generators)
    )


@final
@dataclass(frozen=True)
class MinimalGraphFrame(SortingFrame):
    """One canonical labelling of a graph, times its automorphisms.

    Invariant averages need the labelling alone, which is what `partition` gives.

    Args:
        use_features: whether nodes with different features are different.
    """

    use_features: bool = True

    def partition(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
    ) -> OrderedPartition:
        """Return every node in a class of its own, in the order of one canonical labelling.

        The canonical form moves with the graph; the labelling does so up to automorphisms.
        """
        mask = check_graphs(adjacency, mask, features)
        ranks = torch.zeros(mask.shape, dtype=torch.int64)
        for graph, (matrix, rows, places) in enumerate(self._graphs(adjacency, features, mask)):
            ranks[graph, places[canonical_labelling(matrix, rows)]] = torch.arange(len(places))
        return OrderedPartition(ranks.to(mask.device), mask, mask.new_ones(len(mask)))

    def elements(
        self,
        adjacency: Float[Tensor, "graphs nodes nodes"],
        features: Float[Tensor, "graphs nodes channels"] | None = None,
        mask: Bool[Tensor, "graphs nodes"] | None = None,
        *,
        limit: int = LARGEST_FRAME,
    ) -> PermutationFrames:
        """Return the whole frames: as many elements as each graph has automorphisms."""
        mask = check_graphs(adjacency, mask, features)
        found = []
        for matrix, rows, places in self._graphs(adjacency, features, mask):
            labelling, group = canonical_labelling(matrix, rows), automorphisms(matrix, rows)
            found.append(_padded(places[group.elements(limit)[:, labelling]], mask.shape[1], places))
        counts = torch.tensor([len(elements) for elements in found], dtype=torch.int64)
        index = torch.arange(len(found)).repeat_interleave(counts)
        elements = torch.cat(found) if found else torch.zeros(mask.shape, dtype=torch.int64)
        frames = PermutationFrames(elements, index, counts.double().reciprocal()[index], mask.new_ones(len(mask)))
        return frames.to(mask.device)

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
        """Draw elements uniformly, without a list of the automorphisms.

        The nodes are first sorted by their keys, which is a uniform renaming r. The labelling c of the renamed graph
        depends on r only through that graph, which is the same for r and ``r s`` with any automorphism s; so ``c r``
        is uniform in its coset.
        """
        mask = check_graphs(adjacency, mask, features)
        if keys is None:
            keys = draw_keys(len(mask), samples, mask.shape[1], rng=rng).to(mask.device)
        found = []
        for graph, (matrix, rows, places) in enumerate(self._graphs(adjacency, features, mask)):
            for order in keys[graph].cpu()[:, places].argsort(dim=-1, stable=True):
                moved = None if rows is None else rows[order]
                labelling = canonical_labelling(matrix[order][:, order], moved)
                found.append(_padded(places[order[labelling]].unsqueeze(0), mask.shape[1], places))
        samples = keys.shape[1]
        elements = torch.cat(found) if found else torch.zeros(mask.shape, dtype=torch.int64)
        index = torch.arange(len(mask)).repeat_interleave(samples)
        weights = torch.full((len(elements),), 1 / samples, dtype=torch.float64)
        return PermutationFrames(elements, index, weights, mask.new_ones(len(mask))).to(mask.device)

    def _graphs(
        self, adjacency: Tensor, features: Tensor | None, mask: Tensor
    ) -> list[tuple[Tensor, Tensor | None, Tensor]]:
        """Matrix, features and places in the batch of the nodes of each graph, on the CPU."""
        found = []
        for graph, real in enumerate(mask.cpu()):
            places = real.nonzero().flatten()
            rows = features[graph].detach().cpu()[places] if features is not None and self.use_features else None
            found.append((adjacency[graph].detach().cpu()[places][:, places], rows, places))
        return found


def _padded(elements: Tensor, nodes: int, places: Tensor) -> Tensor:
    """Permutations of the nodes of a graph, with the entries without a node after them in their order."""
    absent = torch.ones(nodes, dtype=torch.bool)
    absent[places] = False
    return torch.cat([elements, absent.nonzero().T.expand(len(elements), -1)], dim=1)


def _check_one(adjacency: Tensor, features: Tensor | None) -> None:
    check_graphs(adjacency.unsqueeze(0), None, None if features is None else features.unsqueeze(0))


def _nauty_graph(adjacency: Tensor, features: Tensor | None) -> object:
    """The graph as nauty takes it, without weights: they are spread over layers, copies of the nodes joined in a row.

    The edges of layer l are those whose weight, counted from 1 in ascending order, has bit l.
    """
    matrix = adjacency.double().numpy()
    nodes = len(matrix)
    links = matrix * ~np.eye(nodes, dtype=bool)
    weights = np.unique(links[links != 0])
    codes = np.where(links == 0, 0, np.searchsorted(weights, links) + 1)
    layers = max(len(weights).bit_length(), 1)
    neighbours: dict[int, list[int]] = {}
    for layer in range(layers):
        for node, row in enumerate((codes >> layer) & 1):
            above = [node + (layer + 1) * nodes] if layer + 1 < layers else []
            neighbours[node + layer * nodes] = [*(row.nonzero()[0] + layer * nodes).tolist(), *above]
    columns = [matrix.diagonal()[:, None]]
    columns += [] if features is None else [features.double().numpy() + 0.0]
    colours = np.unique(np.concatenate(columns, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
    cells: dict[int, set[int]] = {}
    for node, colour in enumerate(colours.tolist()):
        cells.setdefault(colour, set()).add(node)
    ordered = [cells[colour] for colour in sorted(cells)]
    colouring = [{node + layer * nodes for node in cell} for layer in range(layers) for cell in ordered]
    return _pynauty().Graph(nodes * layers, adjacency_dict=neighbours, vertex_coloring=colouring)


def _pynauty() -> ModuleType:
    try:
        import pynauty
    except ImportError as error:
        raise MissingExtraError(
            "canonical labellings need pynauty", got="no module `pynauty`", fix="pip install 'intertwine[graphs]'"
        ) from error
    return pynauty
