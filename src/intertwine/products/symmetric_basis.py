"""Symmetric couplings: all ways to write an irrep as a homogeneous polynomial of degree nu in a few irreps.

They are the coupling trees ((l1 l2) l12, l3) ... -> L, symmetrised over their factors, of which only the linearly
independent ones are kept, in the order in which they are found. Each is scaled to unit variance a component for
independent standard normal inputs. (Generalised couplings of the atomic cluster expansion; Batatia et al. 2022, MACE,
counts the trees without symmetrising, see `count_coupling_trees`.)
"""

from collections import Counter
from functools import cache
from itertools import combinations_with_replacement
from math import prod

import numpy as np
import torch

from intertwine.representations import Irrep, Irreps
from intertwine.representations.coupling import wigner_3j

__all__ = ["count_coupling_trees", "symmetric_basis"]


def count_coupling_trees(irreps_in: Irreps, ir_out: Irrep, degree: int) -> int:
    """Return MACE's number of weights: trees of ``degree`` ordered factors that end in ``ir_out``.

    As there, partial results have natural parity. The trees are not independent once the factors are equal.
    """
    counts = Counter(irreps_in.irreps)
    for step in range(1, degree):
        grown: Counter = Counter()
        for ir, times in counts.items():
            for result in (result for other in irreps_in.irreps for result in ir * other):
                if result.natural or step == degree - 1:
                    grown[result] += times
        counts = grown
    return counts[ir_out]


@cache
def symmetric_basis(irreps_in: Irreps, ir_out: Irrep, degree: int) -> np.ndarray:
    """Return the basis as polynomials, shape (paths, 2 L + 1, monomials).

    Monomials are the multisets of ``degree`` component numbers in the order of ``combinations_with_replacement``.

    Args:
        irreps_in: irreps of one channel, each with multiplicity 1.
        ir_out: the irrep to write.
        degree: number of factors, at least 1.
    """
    monomials = list(combinations_with_replacement(range(irreps_in.dim), degree))
    place = {monomial: index for index, monomial in enumerate(monomials)}
    moments = _gaussian_moments(monomials, irreps_in.dim)
    kept: list[np.ndarray] = []
    orthogonal: list[np.ndarray] = []
    for tree in _trees(irreps_in, degree, ir_out):
        polynomial = _as_polynomial(tree, place, degree)
        norm = np.sqrt(np.einsum("ka,ab,kb->", polynomial, moments, polynomial, optimize=True) / ir_out.dim)
        if norm < 1e-9:
            continue  # vanishes when symmetrised, like the cross product of a vector with itself
        polynomial = polynomial / norm
        rest = polynomial.copy()
        for _ in range(2):  # once is not enough in floating point
            for other in orthogonal:
                rest -= np.sum(rest * other) * other
        size = np.linalg.norm(rest)
        if size > 1e-7 * np.linalg.norm(polynomial):
            kept.append(polynomial)
            orthogonal.append(rest / size)
    if not kept:
        return np.zeros((0, ir_out.dim, len(monomials)))
    return np.stack(kept)


def _trees(irreps_in: Irreps, degree: int, ir_out: Irrep) -> list[np.ndarray]:
    """Coupling tensors of all ordered trees, axes (factor 1, ..., factor nu, component of the result)."""
    slices = irreps_in.slices()
    leaves = []
    for place, ir in zip(slices, irreps_in.irreps, strict=True):
        leaf = np.zeros((irreps_in.dim, ir.dim))
        leaf[place] = np.eye(ir.dim)
        leaves.append((ir, leaf))
    level = leaves
    reach = max(ir.l for ir, _ in leaves)
    for step in range(1, degree):
        remaining = degree - 1 - step
        grown = []
        for ir, tensor in level:
            for other, leaf in leaves:
                for result in ir * other:
                    if abs(result.l - ir_out.l) > remaining * reach:
                        continue  # the factors still to come cannot reach the output
                    coupling = np.asarray(wigner_3j(ir.l, other.l, result.l, dtype=torch.float64))
                    pair = np.tensordot(leaf, coupling, (1, 1))  # (component, ir, result)
                    grown.append((result, np.tensordot(tensor, pair, (-1, 1))))
        level = grown
    return [tensor for ir, tensor in level if ir == ir_out]


def _as_polynomial(tree: np.ndarray, place: dict[tuple[int, ...], int], degree: int) -> np.ndarray:
    polynomial = np.zeros((tree.shape[-1], len(place)))
    for index in np.argwhere(np.abs(tree).max(axis=-1) > 1e-14):
        polynomial[:, place[tuple(sorted(index))]] += tree[tuple(index)]
    return polynomial


def _gaussian_moments(monomials: list[tuple[int, ...]], dim: int) -> np.ndarray:
    """Expectation of the product of every two monomials of independent standard normal components."""
    powers = np.zeros((len(monomials), dim), dtype=int)
    for row, monomial in enumerate(monomials):
        for component in monomial:
            powers[row, component] += 1
    highest = 2 * powers.max() + 1
    single = np.array([0.0 if n % 2 else float(prod(range(n - 1, 0, -2))) for n in range(highest)])
    moments = np.ones((len(monomials), len(monomials)))
    for component in range(dim):
        moments *= single[powers[:, None, component] + powers[None, :, component]]
    return moments
