"""nequip as the peer of our NequIP-type network: its model and its batches, with settings in our words.

The only file of the benchmarks that knows how nequip is built and called. nequip sets global states of torch, among
them the default dtype, which is put back: it keeps positions and labels in float64, and gives its model the dtype asked
for.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ase
import torch
from ase.data import chemical_symbols
from nequip.data import AtomicDataDict
from nequip.data.ase import from_ase
from nequip.data.transforms import ChemicalSpeciesToAtomTypeMapper, NeighborListTransform
from nequip.model import NequIPGNNModel
from nequip.utils.global_state import set_global_state
from torch import Tensor, nn

__all__ = ["NequipSetting", "build_model", "make_batch", "prepare"]


@dataclass(frozen=True)
class NequipSetting:
    """Sizes of a nequip model; hidden features have both parities."""

    channels: int = 32
    lmax: int = 2
    layers: int = 3
    cutoff: float = 5.0
    num_bessel: int = 8
    polynomial_cutoff: int = 6
    radial_width: int = 64
    radial_depth: int = 2
    readout_width: int = 16


def prepare() -> None:
    """Set the global states that nequip needs, and put the default dtype back."""
    before = torch.get_default_dtype()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        set_global_state()
    torch.set_default_dtype(before)


def build_model(
    setting: NequipSetting,
    isolated: Mapping[int, float],
    *,
    mean_neighbours: float,
    dtype: torch.dtype,
    compiled: bool = False,
) -> nn.Module:
    """Return nequip's model.

    Args:
        setting: its sizes.
        isolated: energy (eV) of an isolated atom by atomic number.
        mean_neighbours: what sums over neighbours are divided by the root of.
        dtype: of its weights.
        compiled: whether its first call compiles it; one model compiles for evaluation or for training, not for both.
    """
    names = _names(isolated)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return NequIPGNNModel(
            seed=0,
            model_dtype=str(dtype).removeprefix("torch."),
            compile_mode="compile" if compiled else "eager",
            r_max=setting.cutoff,
            type_names=names,
            num_layers=setting.layers,
            l_max=setting.lmax,
            parity=True,
            num_features=setting.channels,
            # one number an element: its self-connections then have the weights of ours, a matrix an element
            type_embed_num_features=len(names),
            # also gives the first layer its self-connection
            learnable_shift=True,
            radial_mlp_depth=setting.radial_depth,
            radial_mlp_width=setting.radial_width,
            readout_mlp_hidden_layers_depth=1,
            readout_mlp_hidden_layers_width=setting.readout_width,
            num_bessels=setting.num_bessel,
            polynomial_cutoff_p=setting.polynomial_cutoff,
            avg_num_neighbors=mean_neighbours,
            per_type_energy_scales=1.0,
            per_type_energy_shifts=dict(zip(names, (isolated[number] for number in sorted(isolated)), strict=True)),
        )


def make_batch(frames: Sequence[ase.Atoms], numbers: Sequence[int], cutoff: float) -> dict[str, Tensor]:
    """Return nequip's batch with neighbours, in float64."""
    types, neighbours = ChemicalSpeciesToAtomTypeMapper(_names(numbers)), NeighborListTransform(cutoff)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return AtomicDataDict.batched_from_list([neighbours(types(from_ase(frame))) for frame in frames])
    finally:
        torch.set_default_dtype(before)


def _names(numbers: Sequence[int] | Mapping[int, float]) -> list[str]:
    return [chemical_symbols[number] for number in sorted(numbers)]
