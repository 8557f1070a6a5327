"""Energies, forces and stress for a user's own structure files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from intertwine.atoms import Frame, Structure, attach_results, extxyz_text, make_graphs, read_frames
from intertwine.graphs import collate
from intertwine.reporting.files import write_text
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
    """Predict all frames of all files, and write ``<name>.predicted.extxyz`` for each of them into a folder.

    The frames keep what the file says of them. ``energy`` (eV), ``forces`` (eV/Å) and, for crystals,
    ``stress`` (eV/Å³) are the model's; those of the file are kept as ``reference_energy`` and so on. All
    files are read before anything is computed, and a file is written when all its frames are done.

    Args:
        run: anything that `load_model` takes.
        files: extended XYZ, or another format that ASE knows by its extension.
        output: the folder to write to; it is made if it is not there.
        device: where to compute.
        batch_size: frames per call of the network.

    Raises:
        DataError: if a file cannot be read, or has elements that the model does not know.
        NumericsError: if a prediction is not a finite number.
    """
    paths = prediction_paths(files, output, ".extxyz")
    model = load_model(run, device)
    read = {written: read_frames(path) for path, written in paths.items()}
    return [
        write_text(written, extxyz_text(predict(model, frames, batch_size=batch_size)))
        for written, frames in read.items()
    ]


def predict(model: Any, frames: Sequence[Frame], *, batch_size: int = 32) -> list["Atoms"]:
    """Return the structures of frames with the model's results attached, as from `predict_files`."""
    from ase.stress import full_3x3_to_voigt_6_stress

    parameter = next(model.parameters())
    predicted = []
    for start in range(0, len(frames), batch_size):
        some = frames[start : start + batch_size]
        graphs = make_graphs([Structure.of(frame) for frame in some], model.species, model.cutoff)
        crystals = any(frame.atoms.pbc.all() for frame in some)
        batch = collate(graphs).to(parameter.device, parameter.dtype)
        with torch.no_grad():
            output = model(**batch.inputs(), compute_stress=crystals)
        forces = output["forces"].split(batch.num_atoms.tolist())
        for place, frame in enumerate(some):
            results: dict[str, Any] = {
                "energy": float(output["energy"][place]),
                "forces": forces[place].double().cpu().numpy(),
            }
            if frame.atoms.pbc.all():
                stress = output["stress"][place].double().cpu().numpy()
                results["stress"] = full_3x3_to_voigt_6_stress(stress)
            predicted.append(attach_results(_with_reference(frame.atoms), results, frame.where))
    return predicted


def _with_reference(atoms: "Atoms") -> "Atoms":
    """Return a copy whose results, if the file has any, are kept under names of their own."""
    copy = atoms.copy()
    results = dict(atoms.calc.results) if atoms.calc is not None else {}
    for name in ("energy", "forces", "stress"):
        for place in (copy.info, copy.arrays):
            if name in place:
                results[name] = place.pop(name)
    for name, value in results.items():
        of_atoms = np.ndim(value) > 0 and len(value) == len(copy) and name != "stress"
        (copy.arrays if of_atoms else copy.info).setdefault(f"reference_{name}", value)
    return copy
