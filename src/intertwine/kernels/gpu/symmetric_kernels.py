"""The kernels of symmetric polynomials: sums of products whose factors a table names.

A program holds a few terms at once, for one block of channels. It reads components where the first-level cache has
them: which ones belong to a term is a table, so that one short kernel serves polynomials of any size.
"""

import triton
import triton.language as tl

__all__ = ["sum_atoms", "sum_parts", "sum_terms"]


@triton.jit
def sum_terms(
    out, v, x, g, tv, tx, species, terms, factors, outs, begin,
    numbers_v, row_x, row_g, row_out, channels,
    DEGREE: tl.constexpr, TERMS: tl.constexpr, LANES: tl.constexpr,
    GRADIENT: tl.constexpr, MOVING_V: tl.constexpr, MOVING_X: tl.constexpr, NUMBER: tl.constexpr,
):  # fmt: skip
    """Sum, for one atom and one component of the output, coefficients times factors, and times g in a gradient."""
    atom = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1)
    lane = tl.program_id(2) * LANES + tl.arange(0, LANES)[None, :]
    weights = tl.load(species + atom) * numbers_v + lane
    last = tl.load(begin + slot + 1)
    total = tl.zeros([TERMS, LANES], NUMBER)
    for first in range(tl.load(begin + slot), last, TERMS):
        place = first + tl.arange(0, TERMS)[:, None]
        real = place < last
        inside = real & (lane < channels)
        monomial = tl.full([TERMS, LANES], 1.0, NUMBER)
        moved = tl.zeros([TERMS, LANES], NUMBER)
        for n in tl.static_range(DEGREE):  # pyright: ignore[reportGeneralTypeIssues]
            factor = tl.load(factors + place * DEGREE + n, mask=real, other=-1)
            given = inside & (factor >= 0)
            at = atom * row_x + factor * channels + lane
            component = tl.load(x + at, mask=given, other=1.0).to(NUMBER)
            if MOVING_X:
                moved = moved * component + monomial * tl.load(tx + at, mask=given, other=0.0).to(NUMBER)
            monomial = monomial * component
        term = tl.load(terms + place, mask=real, other=0) * channels
        weight = tl.load(v + weights + term, mask=inside, other=0.0).to(NUMBER)
        product = weight * (moved if MOVING_X else monomial)
        if MOVING_V:
            change = tl.load(tv + weights + term, mask=inside, other=0.0).to(NUMBER) * monomial
            if MOVING_X:
                product += change
            else:
                product = change
        if GRADIENT:
            written = tl.load(outs + place, mask=real, other=0) * channels
            product = product * tl.load(g + atom * row_g + written + lane, mask=inside, other=0.0).to(NUMBER)
        total += product
    lane = tl.program_id(2) * LANES + tl.arange(0, LANES)
    tl.store(out + atom * row_out + slot * channels + lane, tl.sum(total, axis=0), mask=lane < channels)


@triton.jit
def sum_atoms(
    parts, x, g, tx, factors, outs, order, first, last, terms, row_x, row_g, channels,
    DEGREE: tl.constexpr, TERMS: tl.constexpr, LANES: tl.constexpr, MOVING_X: tl.constexpr, NUMBER: tl.constexpr,
):  # fmt: skip
    """Sum, for a few terms, factors times g over the atoms of one part."""
    part = tl.program_id(0).to(tl.int64)
    term = tl.program_id(1) * TERMS + tl.arange(0, TERMS)[:, None]
    lane = tl.program_id(2) * LANES + tl.arange(0, LANES)[None, :]
    real = term < terms
    inside = real & (lane < channels)
    written = tl.load(outs + term, mask=real, other=0) * channels + lane
    total = tl.zeros([TERMS, LANES], NUMBER)
    for place in range(tl.load(first + part), tl.load(last + part)):
        atom = tl.load(order + place)
        monomial = tl.full([TERMS, LANES], 1.0, NUMBER)
        moved = tl.zeros([TERMS, LANES], NUMBER)
        for n in tl.static_range(DEGREE):  # pyright: ignore[reportGeneralTypeIssues]
            factor = tl.load(factors + term * DEGREE + n, mask=real, other=-1)
            given = inside & (factor >= 0)
            at = atom * row_x + factor * channels + lane
            component = tl.load(x + at, mask=given, other=1.0).to(NUMBER)
            if MOVING_X:
                moved = moved * component + monomial * tl.load(tx + at, mask=given, other=0.0).to(NUMBER)
            monomial = monomial * component
        cotangent = tl.load(g + atom * row_g + written, mask=inside, other=0.0).to(NUMBER)
        if MOVING_X:
            total += cotangent * moved
        else:
            total += cotangent * monomial
    tl.store(parts + (part * terms + term) * channels + lane, total, mask=inside)


@triton.jit
def sum_parts(out, parts, begin, size, LANES: tl.constexpr):
    """Add up the parts of each group in their order."""
    group = tl.program_id(0).to(tl.int64)
    lane = tl.program_id(1) * LANES + tl.arange(0, LANES)
    inside = lane < size
    total = tl.zeros([LANES], parts.dtype.element_ty)
    for part in range(tl.load(begin + group), tl.load(begin + group + 1)):
        total += tl.load(parts + part * size + lane, mask=inside, other=0.0)
    tl.store(out + group * size + lane, total, mask=inside)
