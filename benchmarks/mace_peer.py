"""mace-torch as the peer of our potentials: its model, its graphs, its batches, with settings in our words.

The only file of the benchmarks that knows how mace-torch is built and called. mace-torch makes weights and data in the
default dtype; it is changed around those calls and put back.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ase
import mace  # noqa: F401  first: it lets torch read the tables that its version of e3nn stores as a pickle
import numpy as np
import torch
from torch import nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of TorchScript, which e3nn 0.4.4 uses
    from e3nn import o3
    from mace import data, modules, tools

__all__ = ["MaceSetting", "build_model", "default_dtype", "make_graphs", "make_loader"]

# Blocks that `mace_run_train` chooses for the first layer: of `--model MACE` (its default), and of `ScaleShiftMACE`.
MIXED, RESIDUAL = "RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock"


@dataclass(frozen=True)
class MaceSetting:
    """Sizes of a mace-torch model; the defaults are those of its training command."""

    channels: int
    hidden_lmax: int
    max_ell: int = 3
    correlation: int = 3
    interactions: int = 2
    cutoff: float = 5.0
    num_bessel: int = 8
    polynomial_cutoff: int = 5
    radial_mlp: tuple[int, ...] = (64, 64, 64)
    readout_mlp: int = 16
    first: str = MIXED


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set torch's default dtype for a while, and hide the warnings of TorchScript."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_default_dtype(before)


def build_model(
    setting: MaceSetting,
    isolated: Mapping[int, float],
    *,
    mean_neighbours: float,
    scale: float = 1.0,
    shift: float = 0.0,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
) -> nn.Module:
    """Return mace-torch's ScaleShiftMACE.

    Args:
        setting: its sizes.
        isolated: energy (eV) of an isolated atom by atomic number.
        mean_neighbours: what sums over neighbours are divided by.
        scale, shift: energy (eV) of a unit of the network, and energy added to every atom.
        dtype: of its weights.
        seed: of its weights.
    """
    numbers = sorted(isolated)
    hidden = [f"{setting.channels}x{degree}{'eo'[degree % 2]}" for degree in range(setting.hidden_lmax + 1)]
    with default_dtype(dtype):
        torch.manual_seed(seed)
        return modules.ScaleShiftMACE(
            r_max=setting.cutoff,
            num_bessel=setting.num_bessel,
            num_polynomial_cutoff=setting.polynomial_cutoff,
            max_ell=setting.max_ell,
            interaction_cls=modules.interaction_classes[RESIDUAL],
            interaction_cls_first=modules.interaction_classes[setting.first],
            num_interactions=setting.interactions,
            num_elements=len(numbers),
            hidden_irreps=o3.Irreps(" + ".join(hidden)),
            MLP_irreps=o3.Irreps(f"{setting.readout_mlp}x0e"),
            radial_MLP=list(setting.radial_mlp),
            gate=torch.nn.functional.silu,
            correlation=setting.correlation,
            atomic_energies=np.array([[isolated[number] for number in numbers]]),
            avg_num_neighbors=mean_neighbours,
            atomic_numbers=numbers,
            atomic_inter_scale=scale,
            atomic_inter_shift=shift,
        )


def make_graphs(frames: Sequence[ase.Atoms], numbers: Sequence[int], cutoff: float, dtype: torch.dtype) -> list[Any]:
    """Return mace-torch's graphs with neighbours and labels; the labels are those of each frame's calculator."""
    # ASE keeps labels apart from the atoms, where mace-torch does not look: unnamed, they would silently be zero
    keys = data.KeySpecification(info_keys={"energy": "REF_energy"}, arrays_keys={"forces": "REF_forces"})
    table = tools.AtomicNumberTable(sorted(numbers))
    with default_dtype(dtype):
        graphs = []
        for frame in frames:
            atoms = frame.copy()
            atoms.info["REF_energy"], atoms.arrays["REF_forces"] = frame.get_potential_energy(), frame.get_forces()
            configuration = data.config_from_atoms(atoms, key_specification=keys)
            graphs.append(data.AtomicData.from_config(configuration, z_table=table, cutoff=cutoff))
    return graphs


def make_loader(graphs: Sequence[Any], batch_size: int, *, shuffle: bool = False, seed: int = 0) -> Any:
    """Return mace-torch's loader of batches; when shuffling, an incomplete last batch is left out, as it does."""
    return tools.torch_geometric.dataloader.DataLoader(
        graphs, batch_size, shuffle=shuffle, drop_last=shuffle, generator=torch.Generator().manual_seed(seed)
    )
