"""A trained potential as an ASE calculator, for dynamics, relaxation and everything else that ASE drives.

Units and signs are ASE's: eV, eV/Å, stress (dE/dstrain) / volume in eV/Å³ and Voigt order, positive under
tension.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from intertwine.atoms import species_of
from intertwine.errors import MissingExtraError, NumericsError
from intertwine.graphs import NeighbourList, edge_vectors, neighbour_list
from intertwine.training.inference import load_model

try:
    from ase import Atoms
    from ase.calculators.calculator import Calculator, PropertyNotImplementedError, all_changes
    from ase.stress import full_3x3_to_voigt_6_stress
except ImportError as error:
    raise MissingExtraError(
        "the calculator needs ASE", got="no module `ase`", fix='pip install "intertwine[atoms]"'
    ) from error

__all__ = ["IntertwineCalculator", "VerletList"]


class VerletList:
    """A neighbour list that is searched for again only when an atom may have come into reach.

    The search goes ``skin`` beyond the cutoff and holds until an atom has moved half of that, or the cell or
    the number of atoms has changed; in between, the edges within the cutoff are picked out. The result is
    that of a fresh search.

    Args:
        cutoff: in Å.
        skin: in Å; 0 searches on every call.
    """

    def __init__(self, cutoff: float, skin: float = 0.5) -> None:
        self.cutoff, self.skin = cutoff, skin
        self.searches = 0
        self._key: tuple[Any, ...] | None = None

    def edges(
        self,
        positions: Float[Tensor, "atoms 3"],
        cell: Float[Tensor, "3 3"],
        pbc: tuple[bool, bool, bool],
    ) -> NeighbourList:
        """Return the neighbour list of positions in float64, with the errors of `neighbour_list`."""
        key = (len(positions), pbc, tuple(cell.flatten().tolist()) if any(pbc) else ())
        if key != self._key or not self._holds(positions):
            self._wide = neighbour_list(positions, self.cutoff + self.skin, cell, pbc)
            self._key, self._origin = key, positions.clone()
            self.searches += 1
        box = cell[None] if any(pbc) else None
        distances = edge_vectors(positions, *self._wide, box).norm(dim=-1)
        near = distances < self.cutoff
        return NeighbourList(self._wide.edge_index[:, near], self._wide.cell_shifts[near])

    def _holds(self, positions: Tensor) -> bool:
        moved = (positions - self._origin).square().sum(-1).max()
        return bool(4 * moved < self.skin**2)


class IntertwineCalculator(Calculator):
    """Energy, forces, stress and atomic energies of a trained potential.

    Args:
        model: a run or its folder, the folder of a saved model, or a network.
        device: where to compute.
        dtype: of the network; as saved when not given. ``torch.float64`` for phonons and long runs at
            constant energy.
        skin: how far (Å) beyond the cutoff neighbours are kept, see `VerletList`; it changes the speed only.

    Raises:
        DataError: on calculation, if the atoms have elements that the model does not know, or are no valid
            structure.
        NumericsError: on calculation, if a result is not a finite number.

    Example::

        atoms.calc = IntertwineCalculator("runs/3bpa")
        atoms.get_potential_energy()
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]  # noqa: RUF012 (ASE's contract)

    def __init__(self, model: Any, *, device: str = "cpu", dtype: torch.dtype | None = None, skin: float = 0.5) -> None:
        super().__init__()
        self.model: Any = load_model(model, device, dtype)
        self.neighbours = VerletList(self.model.cutoff, skin)
        self.evaluations = 0
        weights = next(self.model.parameters())
        self._place = {"device": weights.device, "dtype": weights.dtype}

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute all results for ``atoms``; the stress only when it is asked for, because it costs extra."""
        super().calculate(atoms, properties, system_changes)
        structure: Any = self.atoms
        wants_stress = "stress" in (properties or [])
        if wants_stress and not structure.pbc.all():
            raise PropertyNotImplementedError("stress is defined for structures that are periodic along three axes")
        with torch.no_grad():
            output = self.model(**self._inputs(structure), compute_stress=wants_stress)
        self.evaluations += 1
        energies = output["node_energy"].double().cpu().numpy()
        energy = float(output["energy"])
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": energies,
            "forces": output["forces"].double().cpu().numpy(),
        }
        if wants_stress:
            self.results["stress"] = full_3x3_to_voigt_6_stress(output["stress"][0].double().cpu().numpy())
        self._check_finite(structure)

    def _inputs(self, atoms: Atoms) -> dict[str, Tensor]:
        species = species_of(atoms.numbers, self.model.species)
        positions, cell = torch.tensor(atoms.positions), torch.tensor(np.array(atoms.cell))
        pbc = (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2]))
        edges = self.neighbours.edges(positions, cell, pbc)
        device = self._place["device"]
        return {
            "positions": positions.to(**self._place),
            "species": species.to(device),
            "edge_index": edges.edge_index.to(device),
            "graph_index": torch.zeros_like(species, device=device),
            "cell": (cell if any(pbc) else torch.zeros_like(cell))[None].to(**self._place),
            "cell_shifts": edges.cell_shifts.to(**self._place),
        }

    def _check_finite(self, atoms: Atoms) -> None:
        for name, value in self.results.items():
            finite = np.isfinite(value)
            if finite.all():
                continue
            per_atom = name in ("energies", "forces")
            bad = np.flatnonzero(~finite.reshape(len(atoms), -1).all(-1)) if per_atom else []
            self.results = {}
            raise NumericsError(
                f"the {name} of a structure is not a finite number",
                got={
                    "evaluation": self.evaluations,
                    "atoms": ", ".join(f"{i} ({atoms.symbols[i]})" for i in bad[:8]) or "all",
                },
                expected="finite numbers",
                fix="look for atoms that are too close, or for a structure far from the training data",
            )
