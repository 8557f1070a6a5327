"""Write tests/data/mace/: small mace-torch models with random weights, structures, and what the models say of them.

Run it in the environment of the benchmarks, which has mace-torch: `.venv-bench/bin/python scripts/mace_reference.py`.
Each file holds the state dict of one model (names begin with ``state/``), one batch of two structures, and the energies
(eV), forces (eV/Å) and stress (eV/Å³) in float64. Nothing of this package is used, so that the numbers are an oracle.
"""

import sys
import warnings
from pathlib import Path

import ase
import mace  # noqa: F401  first: it lets torch read the tables that its version of e3nn stores as a pickle
import numpy as np
import torch
from ase.build import bulk, molecule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of TorchScript, which e3nn 0.4.4 uses
    from e3nn import o3
    from mace import data, modules, tools

FOLDER = Path(__file__).parents[1] / "tests" / "data" / "mace"
CUTOFF, NEIGHBOURS = 3.5, 6.5
NUMBERS = (8, 1, 6)  # not sorted, which a converter has to notice
FIRST = {"mixed": "RealAgnosticInteractionBlock", "residual": "RealAgnosticResidualInteractionBlock"}
CASES = {
    # first layer, correlation, largest degree of hidden features and of harmonics, layers, scale and shift
    "mixed-3-1-2": ("mixed", 3, 1, 2, 2, True),
    "mixed-2-0-3": ("mixed", 2, 0, 3, 3, True),
    "residual-2-2-3": ("residual", 2, 2, 3, 2, True),
    "residual-3-2-2": ("residual", 3, 2, 2, 2, False),
}


def structures() -> list[ase.Atoms]:
    """Return a molecule and a crystal with displaced atoms."""
    rng = np.random.default_rng(5)
    ethanol = molecule("CH3CH2OH")
    crystal = bulk("CO", "zincblende", a=3.4) * (1, 1, 2)
    for atoms in (ethanol, crystal):
        atoms.positions += 0.1 * rng.standard_normal(atoms.positions.shape)
    crystal.set_cell(crystal.cell[:] @ (np.eye(3) + 0.03 * rng.standard_normal((3, 3))), scale_atoms=True)
    return [ethanol, crystal]


def build(first: str, correlation: int, hidden_lmax: int, max_ell: int, layers: int, scaled: bool) -> torch.nn.Module:
    """Return a model of four channels."""
    options = {"atomic_inter_scale": 0.8, "atomic_inter_shift": 0.3} if scaled else {}
    return (modules.ScaleShiftMACE if scaled else modules.MACE)(
        r_max=CUTOFF,
        num_bessel=5,
        num_polynomial_cutoff=6,
        max_ell=max_ell,
        interaction_cls=modules.interaction_classes[FIRST["residual"]],
        interaction_cls_first=modules.interaction_classes[FIRST[first]],
        num_interactions=layers,
        num_elements=len(NUMBERS),
        hidden_irreps=o3.Irreps("+".join(f"4x{l}{'eo'[l % 2]}" for l in range(hidden_lmax + 1))),  # noqa: E741
        MLP_irreps=o3.Irreps("3x0e"),
        radial_MLP=[6, 7],
        gate=torch.nn.functional.silu,
        correlation=correlation,
        atomic_energies=np.array([[-0.5, 0.25, 1.5]]),
        avg_num_neighbors=NEIGHBOURS,
        atomic_numbers=list(NUMBERS),
        **options,
    )


def main() -> None:
    """Write one file a case."""
    torch.set_default_dtype(torch.float64)
    FOLDER.mkdir(parents=True, exist_ok=True)
    frames = structures()
    table = tools.AtomicNumberTable(list(NUMBERS))
    configurations = [data.config_from_atoms(frame, key_specification=data.KeySpecification()) for frame in frames]
    graphs = [data.AtomicData.from_config(c, z_table=table, cutoff=CUTOFF) for c in configurations]
    loader = tools.torch_geometric.dataloader.DataLoader(graphs, batch_size=len(graphs), shuffle=False)
    batch = next(iter(loader)).to_dict()
    inputs = {
        "numbers": np.concatenate([frame.numbers for frame in frames]),
        "positions": np.concatenate([frame.positions for frame in frames]),
        "sizes": np.array([len(frame) for frame in frames]),
        "cells": np.array([frame.cell[:] for frame in frames]),
        "periodic": np.array([frame.pbc.any() for frame in frames]),
        "mean_neighbours": np.array(NEIGHBOURS),
    }
    for index, (name, case) in enumerate(CASES.items()):
        torch.manual_seed(index)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = build(*case)
            found = model(batch, compute_stress=True)
        state = {f"state/{key}": value.numpy() for key, value in model.state_dict().items()}
        outputs = {key: found[key].detach().numpy() for key in ("energy", "forces", "stress")}
        path = FOLDER / f"{name}.npz"
        np.savez_compressed(path, **inputs, **outputs, **state)
        largest = np.abs(outputs["forces"]).max()
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, largest force {largest:.3g} eV/Å\n")


if __name__ == "__main__":
    main()
