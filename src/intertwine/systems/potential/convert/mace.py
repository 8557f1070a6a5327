"""A `Potential` from a model of mace-torch and back: the same energies, forces and stress, to rounding."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.errors import ConfigError
from intertwine.systems.potential.convert.links import SILU_OF_E3NN, links
from intertwine.systems.potential.convert.state import MaceState, settings_of
from intertwine.systems.potential.model import Potential

__all__ = ["from_mace", "to_mace"]

_FIRST = ("RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock")
_MODELS = ("MACE", "ScaleShiftMACE")


def from_mace(model: nn.Module | Mapping[str, Tensor], *, mean_neighbours: float | None = None) -> Potential:
    """Return the potential that equals a mace-torch model, in evaluation mode, in its dtype, on the CPU.

    Law: energies, forces and stress are those of the model to rounding. A model with any part that has no counterpart
    here is refused. Neither mace-torch nor e3nn is imported: a model object brings its own.

    Args:
        model: a ``MACE`` or ``ScaleShiftMACE`` of mace-torch with one head, or its ``state_dict()``. Interactions are
            RealAgnosticResidualInteractionBlock, the first one may be RealAgnosticInteractionBlock.
        mean_neighbours: ``avg_num_neighbors``; needed for a state dict, which does not hold it. Nor does it say what
            the readout's activation is, and whether radial functions are cut off: mace-torch's defaults are assumed.

    Raises:
        ConfigError: if the model has parts that cannot be converted, naming them, or ``mean_neighbours`` is missing.

    Example: a file that mace-torch's training wrote. Loading it runs code of the file, so load only files you trust::

        from intertwine.systems.potential.convert import from_mace

        potential = from_mace(torch.load("MACE_model.model", map_location="cpu", weights_only=False))
        potential.save_pretrained("mace-model")
    """
    if isinstance(model, nn.Module):
        mean_neighbours = _check_object(model, mean_neighbours)
        state = MaceState(model.state_dict())
    else:
        state = MaceState(model)
    if mean_neighbours is None or not mean_neighbours > 0:
        raise ConfigError(
            "a state dict does not hold the mean number of neighbours",
            got=f"mean_neighbours = {mean_neighbours}",
            expected="the model's `interactions[0].avg_num_neighbors`",
        )
    settings = settings_of(state)
    numbers = _numbers(state)
    energies = state.take("atomic_energies_fn.atomic_energies", len(numbers)).tolist()
    scaled = "scale_shift.scale" in state
    potential = Potential(
        settings,
        atomic_energies=dict(zip(numbers, energies, strict=True)),
        shift=float(state.take("scale_shift.shift", 1)) if scaled else 0.0,
        scale=float(state.take("scale_shift.scale", 1)) if scaled else 1.0,
        mean_neighbours=float(mean_neighbours),
    ).double()
    parts: dict[str, list[Tensor]] = {}
    for link in links(potential, state, torch.tensor(numbers).argsort()):
        parts.setdefault(link.ours, []).append(link.forward(state.take(link.theirs, *link.shape)))
    state.check_all_used()
    if isinstance(model, nn.Module):
        _check_activation(model)
    potential.load_state_dict(
        {name: torch.cat(found, dim=-2) if found[1:] else found[0] for name, found in parts.items()}
    )
    return potential.to(state.dtype).eval()


def to_mace(potential: Potential, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state dict of a mace-torch model that equals a potential.

    Weights of linearly dependent couplings are those of smallest norm.

    Args:
        potential: a MACE-type potential.
        state: the state dict of a mace-torch model with the same hyperparameters and elements, whose
            ``avg_num_neighbors`` is ``potential.mean_neighbours``. It gives couplings, names, shapes and dtype.

    Raises:
        ConfigError: if the state is of other hyperparameters, or cannot be converted.
    """
    theirs = MaceState(state)
    implied, numbers = settings_of(theirs), _numbers(theirs)
    scaled = "scale_shift.scale" in theirs
    if implied != potential.settings or tuple(sorted(numbers)) != potential.species:
        raise ConfigError(
            "this state is of a mace-torch model with other hyperparameters or elements",
            got={"model": implied, "elements": numbers},
            expected={"model": potential.settings, "elements": potential.species},
        )
    if not scaled and (potential.scale, potential.shift) != (1.0, 0.0):
        raise ConfigError(
            "a MACE of mace-torch has no scale and shift",
            got={"scale": potential.scale, "shift": potential.shift},
            fix="give the state of a ScaleShiftMACE",
        )
    energies = [potential.atomic_energies[number] for number in numbers]
    found = {"atomic_energies_fn.atomic_energies": torch.tensor(energies, dtype=torch.float64)}
    if scaled:
        for name in ("scale", "shift"):
            found[f"scale_shift.{name}"] = torch.tensor(getattr(potential, name), dtype=torch.float64)
    ours = {name: tensor.detach().cpu().double() for name, tensor in potential.state_dict().items()}
    for link in links(potential, theirs, torch.tensor(numbers).argsort()):
        weight = ours[link.ours] if link.part is None else ours[link.ours][:, link.part]
        found[link.theirs] = link.backward(weight)
        if link.part is not None and not torch.allclose(link.forward(found[link.theirs]), weight, rtol=1e-6, atol=1e-9):
            raise ConfigError(
                "the couplings of this state do not write every polynomial of the potential", got=link.theirs
            )
    return {
        name: found[name].reshape(tensor.shape).to(tensor) if name in found else tensor.clone()
        for name, tensor in state.items()
    }


def _numbers(state: MaceState) -> list[int]:
    """Atomic numbers in the order of the model's species."""
    return state.take("atomic_numbers", state.peek("atomic_numbers").numel()).int().tolist()


def _check_object(model: nn.Module, mean_neighbours: float | None) -> float:
    """Return the mean number of neighbours, having looked at what a state dict does not show."""
    blocks = list(getattr(model, "interactions", ()))
    names = [_class_name(block) for block in blocks]
    if _class_name(model) not in _MODELS or any(
        name not in (_FIRST if index == 0 else _FIRST[1:]) for index, name in enumerate(names)
    ):
        raise ConfigError(
            "this model has parts that cannot be converted",
            got={"model": _class_name(model), "interactions": ", ".join(names)},
            expected={"model": " or ".join(_MODELS), "interactions": " or ".join(_FIRST) + f", then {_FIRST[1]}"},
        )
    if not getattr(model, "apply_cutoff", True):
        raise ConfigError(
            "a model whose radial functions are not cut off cannot be converted", got="apply_cutoff=False"
        )
    found = {float(block.avg_num_neighbors) for block in blocks}  # type: ignore[arg-type]
    if mean_neighbours is not None:
        found.add(float(mean_neighbours))
    if len(found) != 1:
        raise ConfigError("the mean number of neighbours is not one number", got=sorted(found))
    return found.pop()


def _check_activation(model: Any) -> None:
    """Raise if the last readout's activation is not the SiLU of e3nn, which only its values tell."""
    last = model.readouts[-1]
    weight = last.linear_1.weight
    x = torch.linspace(-3, 3, last.linear_2.weight.numel(), dtype=weight.dtype, device=weight.device)
    with torch.no_grad():
        values = last.non_linearity(x.unsqueeze(0)).squeeze(0) if hasattr(last, "non_linearity") else None
    if values is None or not torch.allclose(values, SILU_OF_E3NN * nn.functional.silu(x), rtol=1e-5, atol=1e-6):
        raise ConfigError(
            "the last readout of this model cannot be converted",
            got=f"{_class_name(last)} with another activation than SiLU",
            expected="NonLinearReadoutBlock with SiLU",
        )


def _class_name(module: nn.Module) -> str:
    return getattr(module, "original_name", type(module).__name__)  # TorchScript hides the class
