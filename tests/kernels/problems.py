"""Random problems for every family of operators, and the derivatives that tests compare."""

import torch

from intertwine.kernels import ChannelwisePath, channelwise, grid_product, harmonics, pack_paths, symmetric_polynomials
from intertwine.products import ChannelwiseTensorProduct, SymmetricContraction
from intertwine.representations import SphericalHarmonics, wigner_3j

FAMILIES = {
    "channelwise": channelwise,
    "symmetric_polynomials": symmetric_polynomials,
    "harmonics": harmonics,
    "grid_product": grid_product,
}
CHANNELS = [1, 3, 13, 16, 33, 123]


def draw(rng, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)


def channelwise_problem(rng, dtype, channels, *, edges=11, nodes=5, summed=True, slow=False):
    """Couplings of mixed degrees (also beyond those that are unrolled), on random edges with repeats and gaps."""
    degrees = [(0, 0, 0), (0, 2, 2), (1, 1, 0), (1, 2, 2), (1, 1, 1), (4, 1, 3), (4, 2, 4)]
    starts_x, starts_y, z, w, paths = {0: 0, 1: 1, 4: 4}, {0: 0, 1: 1, 2: 4}, 0, 0, []
    for a, b, c in degrees:
        coupling = wigner_3j(a, b, c, dtype=torch.float64)
        paths.append(ChannelwisePath(starts_x[a] * channels, starts_y[b], z, w, channels, coupling))
        z, w = z + (2 * c + 1) * channels, w + channels
    packed, terms = pack_paths(paths)
    source = torch.randint(nodes, (edges,), generator=rng) if summed else None
    destination = torch.randint(nodes, (edges,), generator=rng) if summed else None
    rows = nodes if summed else edges
    inputs = [draw(rng, rows, 13 * channels, dtype=dtype), draw(rng, edges, 9, dtype=dtype)]
    inputs.append(draw(rng, edges, w, dtype=dtype))
    return inputs, [source, destination, packed, terms, nodes, z, slow]


def symmetric_problem(rng, dtype, channels, *, atoms=7, kinds=3):
    module = SymmetricContraction("1x0e + 1x1o + 1x2e", "1x0e + 1x1o + 1x2e", 3, kinds)
    terms = len(module.monomials)
    species = torch.randint(kinds, (atoms,), generator=rng)
    inputs = [draw(rng, atoms, 9, channels, dtype=dtype), draw(rng, kinds, terms, channels, dtype=dtype)]
    places = [module.heads, module.lasts, module.monomials, module.components]
    return inputs, [species, *places, module._counts, 9]


def harmonics_problem(rng, dtype, count, lmax=4):
    module = SphericalHarmonics(range(lmax + 1))
    return [draw(rng, count, 3, dtype=dtype)], [module.terms, module.scales, lmax]


def grid_problem(rng, dtype, channels, *, batch=3, points=27):
    sizes = (9, 4, 16)
    tables = [draw(rng, points, size, dtype=dtype) for size in sizes]
    return [draw(rng, batch, size, channels, dtype=dtype) for size in sizes[:2]], tables


PROBLEMS = {
    "channelwise": channelwise_problem,
    "symmetric_polynomials": symmetric_problem,
    "harmonics": harmonics_problem,
    "grid_product": grid_problem,
}


def layer(channels=4):
    """A product whose kernel tests reach through the module that users call."""
    return ChannelwiseTensorProduct(f"{channels}x0e + {channels}x1o", "0e + 1o + 2e", layout="ir_mul")


def orders(function, inputs, static, rng):
    """Return value, gradient, and derivatives of the gradient along random cotangents, as three lists."""
    leaves = [a.detach().clone().requires_grad_() for a in inputs]
    value = function(*leaves, *static)
    g = draw(rng, *value.shape, dtype=value.dtype).requires_grad_()
    first = torch.autograd.grad(value, leaves, g, create_graph=True)
    along = [draw(rng, *part.shape, dtype=part.dtype) for part in first]
    second = torch.autograd.grad(first, [*leaves, g], along, materialize_grads=True)
    return [value], list(first), list(second)
