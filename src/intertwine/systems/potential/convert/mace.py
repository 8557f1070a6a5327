"""A `Potential` from a model of mace-torch: the same energies, forces and stress, to rounding.

Models are those of Batatia et al. (NeurIPS 2022) as mace-torch writes them with e3nn 0.4. What differs, layer by layer:

- paths of a product are sorted by degree there and by input here;
- edge vectors point the other way, which an energy that is invariant under inversion does not notice;
- sums over neighbours are divided by their mean number there, by its root here;
- maps that depend on the species are products with a one-hot vector there, whose fan-in counts the species;
- SiLU is divided by the root of its second moment, which is estimated from random numbers there;
- couplings of the contraction are linearly dependent there, independent here (see `contraction`).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from intertwine.errors import ConfigError
from intertwine.nn import NormalizedActivation
from intertwine.representations import Irreps
from intertwine.systems.potential.convert.contraction import combinations_of_basis
from intertwine.systems.potential.convert.state import MaceState, settings_of
from intertwine.systems.potential.model import Potential

__all__ = ["from_mace"]

_SILU_OF_E3NN = 1.6791767923989418
"""One over the root mean square of SiLU over a million fixed random numbers, as e3nn takes it; 1.6765 is exact."""
_MISSED = {torch.float64: 1e-10, torch.float32: 1e-5}
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
    dtype = state.dtype
    settings = settings_of(state)
    numbers = state.take("atomic_numbers", state.peek("atomic_numbers").numel()).int().tolist()
    energies = state.take("atomic_energies_fn.atomic_energies", len(numbers)).tolist()
    scaled = "scale_shift.scale" in state
    potential = Potential(
        settings,
        atomic_energies=dict(zip(numbers, energies, strict=True)),
        shift=float(state.take("scale_shift.shift", 1)) if scaled else 0.0,
        scale=float(state.take("scale_shift.scale", 1)) if scaled else 1.0,
        mean_neighbours=float(mean_neighbours),
    ).double()
    order = torch.tensor(numbers).argsort()  # ours are sorted by atomic number
    weights = _weights(potential, state, order)
    state.check_all_used()
    if isinstance(model, nn.Module):
        _check_activation(model)
    potential.load_state_dict(weights)
    return potential.to(dtype).eval()


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
    if values is None or not torch.allclose(values, _SILU_OF_E3NN * nn.functional.silu(x), rtol=1e-5, atol=1e-6):
        raise ConfigError(
            "the last readout of this model cannot be converted",
            got=f"{_class_name(last)} with another activation than SiLU",
            expected="NonLinearReadoutBlock with SiLU",
        )


def _class_name(module: nn.Module) -> str:
    return getattr(module, "original_name", type(module).__name__)  # TorchScript hides the class


def _weights(potential: Potential, state: MaceState, order: Tensor) -> dict[str, Tensor]:
    """Return the state dict of the potential."""
    settings = potential.settings
    species, channels = len(order), settings.channels
    embedding = state.take("node_embedding.linear.weight", species, channels)[order] * species**-0.5
    weights = {"network.embedding": embedding}
    ratio = _SILU_OF_E3NN / NormalizedActivation("silu").scale
    for index, layer in enumerate(potential.network.layers):  # type: ignore[arg-type]
        theirs, ours = f"interactions.{index}.", f"network.layers.{index}."
        found: dict[str, Tensor] = {}
        found["convolution.mix_in.weight"] = _like(state, theirs + "linear_up.weight", layer.convolution.mix_in)
        mixed = _like(state, theirs + "linear.weight", layer.convolution.mix_out)
        found["convolution.mix_out.weight"] = mixed * potential.mean_neighbours**-0.5
        for name, value in _radial(layer.convolution, state, theirs + "conv_tp_weights.", ratio).items():
            found["convolution.radial." + name] = value
        typed = "skip" if layer.skip is not None else "species_map"
        entries = len(getattr(layer, typed).irreps_out)
        skip = state.take(theirs + "skip_tp.weight", entries, channels, species, channels)
        found[f"{typed}.weight"] = skip.permute(2, 0, 1, 3)[order].flatten(1) * species**-0.5
        for name, value in _contraction(layer.contraction, state, f"products.{index}.", order).items():
            found["contraction." + name] = value
        found["mix.weight"] = _like(state, f"products.{index}.linear.weight", layer.mix)
        weights |= {ours + name: value for name, value in found.items()}
    for index, readout in enumerate(potential.network.readouts):  # type: ignore[arg-type]
        theirs, ours = f"readouts.{index}.", f"network.readouts.{index}."
        if readout.first is None:
            weights[ours + "last.weight"] = _like(state, theirs + "linear.weight", readout.last)
        else:
            weights[ours + "first.weight"] = _like(state, theirs + "linear_1.weight", readout.first)
            weights[ours + "last.weight"] = _like(state, theirs + "linear_2.weight", readout.last) * ratio
    return weights


def _like(state: MaceState, name: str, module: Any) -> Tensor:
    return state.take(name, *module.weight.shape)


def _radial(convolution: Any, state: MaceState, prefix: str, ratio: float) -> dict[str, Tensor]:
    """The radial network: its activations scaled, its last columns in the order of our paths."""
    found = {}
    for k, weight in enumerate(convolution.radial.weights):
        # the activation before a layer is scaled otherwise: its weights take that up
        found[f"weights.{k}"] = state.take(f"{prefix}layer{k}.weight", *weight.shape) * (ratio if k else 1.0)
    degrees = torch.tensor([entry.ir.l for entry in convolution.product.irreps_out])
    place = degrees.argsort(stable=True).argsort()  # where each of our paths stands among those sorted by degree
    last = f"weights.{len(found) - 1}"
    found[last] = found[last].unflatten(1, (len(place), -1))[:, place].flatten(1)
    return found


def _contraction(contraction: Any, state: MaceState, prefix: str, order: Tensor) -> dict[str, Tensor]:
    """The weights of the independent couplings, one tensor a degree."""
    correlation, species = contraction.correlation, len(order)
    single = Irreps([(1, ir) for ir in contraction.irreps_in.irreps])
    limit = _MISSED.get(state.dtype, 1e-2)
    degrees: list[list[Tensor]] = [[] for _ in range(correlation)]
    for index, ir in enumerate(contraction.irreps_out.irreps):
        theirs = f"{prefix}symmetric_contractions.contractions.{index}."
        for degree in range(1, correlation + 1):
            name = "weights_max" if degree == correlation else f"weights.{correlation - 1 - degree}"
            paths = state.peek(theirs + name).shape[1]
            weight = state.take(theirs + name, species, paths, contraction.channels)[order]
            components = (ir.dim,) if ir.l > 0 else ()
            couplings = state.take(f"{theirs}U_matrix_{degree}", *components, *[single.dim] * degree, paths)
            combinations, missed = combinations_of_basis(couplings, single, ir, degree)
            if missed > limit:
                raise ConfigError(
                    f"the couplings of degree {degree} to {ir} are not combinations of those of this package",
                    got=f"{theirs}U_matrix_{degree}, of which {missed:.1e} is missed",
                    expected=f"at most {limit:.0e}",
                )
            degrees[degree - 1].append(combinations @ weight)
    return {f"weight_{degree}": torch.cat(parts, dim=1) for degree, parts in enumerate(degrees, start=1)}
