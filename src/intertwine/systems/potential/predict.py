"""Energies, forces and stress for a user's own structure files."""

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from intertwine.errors import DataError, NumericsError
from intertwine.graphs import collate
from intertwine.reporting.files import write_text
from intertwine.systems.potential.extxyz import Frame, Structure, make_graphs, read_frames, require_ase
from intertwine.training.pretrained import load_pretrained
from intertwine.training.run import Run, open_run

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["load_model", "predict", "predict_files"]


def load_model(source: Any, device: str = "cpu", dtype: torch.dtype | None = None) -> torch.nn.Module:
    """Return a trained network for inference, with frozen weights, that nobody else holds.

    Args:
        source: a run or its folder, the folder of a saved model, or a network (of which a copy is made).
        device: where to put it.
        dtype: of its weights and of what is computed with them; as saved when not given.

    Raises:
        ConfigError: if the folder of a run has no model yet.
        CheckpointError: if there is no saved model, or it cannot be read.
    """
    if isinstance(source, torch.nn.Module):
        from copy import deepcopy

        model = deepcopy(source)
    elif isinstance(source, Run):
        model = source.model()
    elif (Path(source) / "recipe.yaml").exists():
        model = open_run(source).model()
    else:
        model = load_pretrained(Path(source).expanduser())
    return model.to(device=device, dtype=dtype).requires_grad_(False).eval()


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
    paths = [Path(file).expanduser() for file in files]
    names = [f"{path.stem or path.name}.predicted.extxyz" for path in paths]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            "two of these files would be written to one place",
            got=", ".join(map(str, paths)),
            expected="files with different names",
            fix="predict them one at a time, into different folders",
        )
    model = load_model(run, device)
    read = [read_frames(path) for path in paths]
    folder = Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, frames in zip(names, read, strict=True):
        write_text(folder / name, _as_text(predict(model, frames, batch_size=batch_size)))
        written.append(folder / name)
    return written


def predict(model: Any, frames: Sequence[Frame], *, batch_size: int = 32) -> list["Atoms"]:
    """Return the structures of frames with the model's results attached, as from `predict_files`."""
    from ase.calculators.singlepoint import SinglePointCalculator
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
            _check_finite(results, frame)
            atoms = _with_reference(frame.atoms)
            atoms.calc = SinglePointCalculator(atoms, **results)
            predicted.append(atoms)
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


def _check_finite(results: dict[str, Any], frame: Frame) -> None:
    for name, value in results.items():
        if not torch.as_tensor(value).isfinite().all():
            raise NumericsError(
                f"{frame.where}: the predicted {name} is not a finite number",
                got=value if name == "energy" else f"{name} with NaN or infinity",
                fix="look for atoms that are too close, and try the model with `intertwine evaluate`",
            )


def _as_text(images: list["Atoms"]) -> str:
    text = StringIO()
    require_ase().io.write(text, images, format="extxyz")
    return text.getvalue()
