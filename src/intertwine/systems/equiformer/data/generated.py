"""Small surfaces with exact labels: a metal slab with an adsorbate, moved at random, by effective medium theory.

They stand in for OC20 where that is not at hand: periodic slabs of a few layers of 4 atoms, the lowest of them fixed,
one of a few adsorbates above a random site, all free atoms displaced. Energies and forces are those of ASE's ``EMT``, a
smooth many-body potential: labels are exact, and easier to learn than those of density functional theory.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from intertwine.atoms import require_ase
from intertwine.systems.equiformer.data.atoms_files import structure_of
from intertwine.systems.equiformer.data.structures import Structure
from intertwine.systems.equiformer.settings import SurfaceSettings

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["make_surfaces"]

_VACUUM = 6.0
"""Å of empty space above and below."""
_HEIGHTS = {"H": 1.7, "C": 1.5, "N": 1.4, "O": 1.6}
"""Å of the lower adsorbate atom above the topmost layer."""
_BOND = {"CO": 1.15, "NO": 1.17, "OH": 0.98, "NH": 1.03, "CH": 1.10}
"""Å between the atoms of an adsorbate of two."""
_LARGEST_FORCE = 10.0
"""eV/Å; structures with a larger force component are drawn again: a relaxation would leave them at once."""


@lru_cache(maxsize=2)
def make_surfaces(settings: SurfaceSettings) -> dict[str, list[Structure]]:
    """Return the structures of ``train``, ``validation`` and ``test``, the same for the same settings.

    They are kept: training, evaluating and checking one run ask for them in turn.

    Raises:
        MissingExtraError: if ASE is not installed.
    """
    require_ase()
    rng = np.random.default_rng(settings.seed)
    sets: dict[str, list[Structure]] = {}
    for name, size in zip(("train", "validation", "test"), settings.sizes, strict=True):
        sets[name] = [structure_of(_surface(settings, rng), f"surface {n} of {name}") for n in range(size)]
    return sets


def _surface(settings: SurfaceSettings, rng: np.random.Generator) -> "Atoms":
    from ase.calculators.emt import EMT
    from ase.calculators.singlepoint import SinglePointCalculator

    while True:
        atoms = _displaced(settings, rng)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces(apply_constraint=False)
        if np.abs(forces).max() < _LARGEST_FORCE:
            atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
            return atoms


def _displaced(settings: SurfaceSettings, rng: np.random.Generator) -> "Atoms":
    from ase import Atoms
    from ase.build import fcc111
    from ase.constraints import FixAtoms

    metal = settings.metals[rng.integers(len(settings.metals))]
    name = settings.adsorbates[rng.integers(len(settings.adsorbates))]
    slab = fcc111(metal, (2, 2, settings.layers), vacuum=_VACUUM, periodic=True)
    slab.info.clear()
    slab.set_cell(np.array(slab.cell) * (1 + 0.02 * rng.standard_normal()), scale_atoms=True)
    symbols = [name] if name in _HEIGHTS else list(name)
    place = rng.random(2) @ np.array(slab.cell)[:2]
    place[2] = slab.positions[:, 2].max() + _HEIGHTS[symbols[0]] + 0.4 * rng.random()
    tilt = rng.standard_normal(3) * 0.3 + [0, 0, 1]
    offsets = [np.zeros(3), _BOND.get(name, 0.0) * tilt / np.linalg.norm(tilt)][: len(symbols)]
    # fcc111 tags the topmost layer 1 and counts downward
    tags = np.where(slab.get_tags() == 1, 1, 0)
    fixed = slab.get_tags() == settings.layers
    atoms = slab + Atoms(symbols, place + np.array(offsets))
    atoms.set_tags([*tags, *[2] * len(symbols)])
    atoms.set_constraint(FixAtoms(mask=[*fixed, *[False] * len(symbols)]))
    free = np.array([*~fixed, *[True] * len(symbols)])
    atoms.positions += settings.displacement * rng.standard_normal(atoms.positions.shape) * free[:, None]
    return atoms
