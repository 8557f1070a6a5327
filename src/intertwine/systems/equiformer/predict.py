"""Energies and forces for a user's own structures, or for OC20 databases."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from intertwine.atoms import attach_results, extxyz_text, require_ase
from intertwine.reporting.files import write_text
from intertwine.systems.equiformer.data import Structure, collate_surfaces, make_graph, read_structures
from intertwine.training.inference import load_model, prediction_paths

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["predict", "predict_files"]


def predict_files(
    run: Any,
    files: Sequence[str | Path],
    *,
    output: str | Path = ".",
    device: str = "cpu",
    batch_size: int = 32,
) -> list[Path]:
    """Predict all structures of all files, and write ``<name>.predicted.extxyz`` for each of them into a folder.

    ``energy`` (eV) and ``forces`` (eV/Å) are the model's; those of the file are kept as ``reference_energy`` and
    ``reference_forces``. Tags stay, and fixed atoms stay fixed. A file is written when all its structures are done.

    Args:
        run: anything that `load_model` takes.
        files: ``.lmdb`` databases or folders of them, or files that ASE reads.
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: structures per call of the network.

    Raises:
        DataError: if a file cannot be read, or has elements that the model does not know.
        NumericsError: if a prediction is not a finite number.
    """
    paths = prediction_paths(files, output, ".extxyz")
    require_ase()
    model = load_model(run, device)
    read = {written: read_structures(path) for path, written in paths.items()}
    for written, structures in read.items():
        write_text(written, extxyz_text(predict(model, structures, batch_size=batch_size)))
    return list(read)


def predict(model: Any, structures: Sequence[Structure], *, batch_size: int = 32) -> list["Atoms"]:
    """Return the structures as ``ase.Atoms`` with the model's results attached, as from `predict_files`."""
    parameter, settings = next(model.parameters()), model.settings
    predicted = []
    for start in range(0, len(structures), batch_size):
        some = [structures[place] for place in range(start, min(start + batch_size, len(structures)))]
        graphs = [make_graph(s, settings.cutoff, settings.max_neighbours, settings.elements) for s in some]
        batch = collate_surfaces(_unlabelled(graphs)).to(parameter.device, parameter.dtype)
        with torch.no_grad():
            found = model(**batch.inputs())
        forces = found["forces"].split(batch.atoms.num_atoms.tolist())
        for place, structure in enumerate(some):
            results = {"energy": float(found["energy"][place]), "forces": forces[place].double().cpu().numpy()}
            predicted.append(attach_results(_atoms(structure), results, structure.where))
    return predicted


def _unlabelled(graphs: Sequence[Any]) -> list[Any]:
    """Drop labels: a file may have them for some structures only, and nothing here needs them."""
    from dataclasses import replace

    return [replace(graph, atoms=replace(graph.atoms, energy=None, forces=None)) for graph in graphs]


def _atoms(structure: Structure) -> "Atoms":
    """Return the structure as ASE has it, with the labels of the file under names of their own."""
    import ase
    from ase.constraints import FixAtoms

    if isinstance(structure.source, ase.Atoms):
        atoms = structure.source.copy()
        for name in ("energy", "forces"):
            atoms.info.pop(name, None)
            atoms.arrays.pop(name, None)
    else:
        atoms = ase.Atoms(structure.numbers, structure.positions, cell=structure.cell, pbc=structure.pbc)
        atoms.set_tags(structure.tags)
        if not structure.free.all():
            atoms.set_constraint(FixAtoms(mask=~structure.free))
        atoms.info.update(structure.source or {})
    if structure.energy is not None:
        atoms.info["reference_energy"] = structure.energy
    if structure.forces is not None:
        atoms.arrays["reference_forces"] = structure.forces
    return atoms
