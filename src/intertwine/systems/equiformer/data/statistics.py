"""The numbers that normalise energies, forces and sums over neighbours, given by a recipe or measured on its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from intertwine.errors import DataError
from intertwine.systems.equiformer.data.graphs import SurfaceGraph
from intertwine.systems.equiformer.settings import DataSettings

__all__ = ["Statistics", "measure"]


@dataclass(frozen=True)
class Statistics:
    """What normalises a network.

    Args:
        energy_mean: energy (eV), less the references of the elements, that the network's zero stands for.
        energy_std: energy (eV) that its unit stands for.
        force_std: force (eV/Å) that its unit stands for.
        mean_neighbours: mean number of neighbours of an atom.
        mean_atoms: mean number of atoms of a structure.
    """

    energy_mean: float
    energy_std: float
    force_std: float
    mean_neighbours: float
    mean_atoms: float


def measure(graphs: Sequence[SurfaceGraph], references: Mapping[int, float], settings: DataSettings) -> Statistics:
    """Return the statistics: those that the settings give, the others from labelled graphs.

    The unit of force is the root mean square of the components on free atoms, or 1 eV/Å without forces.

    Args:
        graphs: of the training structures, or some of them.
        references: energy (eV) of an element by atomic number; elements that are missing count as zero.
        settings: values that are given.

    Raises:
        DataError: if energies are all the same, or forces all zero: there is no unit to measure by.
    """
    table = torch.zeros(119, dtype=torch.float64)
    table[list(references)] = torch.tensor(list(references.values()), dtype=torch.float64)
    energies = [g.atoms.energy - table[g.atoms.species + 1].sum() for g in graphs if g.atoms.energy is not None]
    forces = [g.atoms.forces[g.free] for g in graphs if g.atoms.forces is not None]
    found = {
        "energy_mean": float(torch.stack(energies).mean()) if energies else 0.0,
        "energy_std": float(torch.stack(energies).std(correction=0)) if energies else 1.0,
        "force_std": float(torch.cat(forces).square().mean().sqrt()) if forces else 1.0,
        "mean_neighbours": sum(g.atoms.edge_index.shape[1] for g in graphs) / sum(len(g.free) for g in graphs),
        "mean_atoms": sum(len(g.free) for g in graphs) / len(graphs),
    }
    found |= {name: value for name in found if (value := getattr(settings, name)) is not None}
    for name in ("energy_std", "force_std"):
        if not found[name] > 0:
            raise DataError(
                f"the training structures give no unit for the network: `{name}` is {found[name]}",
                got=f"{len(graphs)} structures",
                expected="structures of different energies, with forces",
                fix=f"set data.{name}, or give more structures",
            )
    found["mean_neighbours"] = max(found["mean_neighbours"], 1.0)
    return Statistics(**found)
