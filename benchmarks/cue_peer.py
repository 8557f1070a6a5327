"""cuEquivariance as the peer of our kernels: its modules, set to compute the same functions as ours.

Without its package of CUDA kernels every method falls back to ``naive``, plain PyTorch, which is named here. Features
are ``ir_mul``, the layout it computes in, so that no conversion is timed. What differs, and is undone here:

- channel-wise product: its paths are in the order of their output irreps, ours in the order of their inputs;
- symmetric contraction: its couplings span the same polynomials in another basis, so that weights change basis;
- spherical harmonics, couplings and their signs are the same.
"""

from dataclasses import dataclass

import cuequivariance as cue
import cuequivariance_torch as cuet
import torch
from torch import Tensor, nn

from intertwine.products import ChannelwiseTensorProduct, SymmetricContraction
from intertwine.representations import Irreps

__all__ = ["ChannelwisePeer", "channelwise_product", "harmonics", "symmetric_contraction"]

METHOD = "naive"


@dataclass(frozen=True)
class ChannelwisePeer:
    """Its product, and our paths in the order of its paths.

    Args:
        module: takes features, harmonics and weights; also sums over edges.
        weights: for each of its weights, the place among ours.
        outputs: for each of its output components, the place among ours.
    """

    module: nn.Module
    weights: Tensor
    outputs: Tensor


def channelwise_product(ours: ChannelwiseTensorProduct) -> ChannelwisePeer:
    """Return its product with the paths of ours; ``ours`` has the layout ``ir_mul``."""
    kept = sorted({entry.ir for entry in ours.irreps_out})
    module = cuet.ChannelWiseTensorProduct(
        cue.Irreps("O3", str(ours.irreps_in)),
        cue.Irreps("O3", str(ours.irreps_sh)),
        [cue.O3(ir.l, ir.p) for ir in kept],
        layout=cue.ir_mul,
        shared_weights=False,
        internal_weights=False,
        method=METHOD,
    )
    entries = list(ours.irreps_out)
    order = sorted(range(len(entries)), key=lambda path: entries[path].ir)  # a stable sort
    outputs = _places([entry.dim for entry in entries], order)
    return ChannelwisePeer(module, _places([entry.mul for entry in entries], order), outputs)


def _places(sizes: list[int], order: list[int]) -> Tensor:
    blocks = torch.arange(sum(sizes)).split(sizes)
    return torch.cat([blocks[index] for index in order])


def harmonics(lmax: int) -> nn.Module:
    """Return its spherical harmonics up to a degree, ``component`` normalised, of vectors of any length."""
    return cuet.SphericalHarmonics(list(range(lmax + 1)), True, method=METHOD)


def symmetric_contraction(ours: SymmetricContraction) -> nn.Module:
    """Return its contraction with weights that make it equal ours; ``ours`` has the layout ``ir_mul``."""
    weights = torch.cat([getattr(ours, f"weight_{degree}") for degree in range(1, ours.correlation + 1)], dim=-2)
    peer = _contraction(ours.irreps_in, ours.irreps_out, ours.correlation, ours.num_types, weights.dtype)
    change = _change_of_basis(ours, paths=weights.shape[-2])
    with torch.no_grad():
        peer.weight.copy_(torch.einsum("qp,tpc->tqc", change, weights.double()))
    return peer


def _contraction(irreps_in: Irreps, irreps_out: Irreps, correlation: int, types: int, dtype: torch.dtype) -> nn.Module:
    irreps = [cue.Irreps("O3", str(irreps)) for irreps in (irreps_in, irreps_out)]
    options = {"dtype": dtype, "math_dtype": dtype, "method": METHOD}
    return cuet.SymmetricContraction(*irreps, correlation, types, layout=cue.ir_mul, **options)


def _change_of_basis(ours: SymmetricContraction, paths: int) -> Tensor:
    """Return the matrix (its paths, our paths) that gives its weights from ours.

    With one channel a path, weights that are the unit matrix and features that are the same for all channels, channel p
    of the output is the polynomial of path p; the values of both sets of polynomials determine the matrix.
    """
    irreps_in, irreps_out = (
        Irreps([(paths, entry.ir) for entry in irreps]) for irreps in (ours.irreps_in, ours.irreps_out)
    )
    probe = SymmetricContraction(irreps_in, irreps_out, ours.correlation, 1, "ir_mul").double()
    unit = torch.eye(paths, dtype=torch.float64)
    peer = _contraction(irreps_in, irreps_out, ours.correlation, 1, torch.float64)
    sizes = [getattr(probe, f"weight_{degree}").shape[-2] for degree in range(1, ours.correlation + 1)]
    with torch.no_grad():
        for degree, rows in enumerate(unit.split(sizes), start=1):
            getattr(probe, f"weight_{degree}").copy_(rows)
        peer.weight.copy_(unit)
        samples, rng = 4 * paths, torch.Generator().manual_seed(0)
        features = torch.randn(samples, irreps_in.dim // paths, 1, dtype=torch.float64, generator=rng)
        x = features.expand(-1, -1, paths).flatten(1)
        types = torch.zeros(samples, dtype=torch.int64)
        values = [module(x, types).reshape(-1, paths) for module in (peer, probe)]
    return torch.linalg.lstsq(*values).solution
