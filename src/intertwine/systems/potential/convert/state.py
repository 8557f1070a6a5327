"""The tensors of a mace-torch model by name, read so that none is overlooked, and the settings that they imply.

Only names and shapes are used: neither mace-torch nor e3nn is imported. A tensor that nothing has asked for belongs to
a part that this package does not have, and is an error: a converted model is the same function or none.
"""

import math
import re
from collections.abc import Mapping

import torch
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.representations import wigner_3j
from intertwine.systems.potential.settings import ModelSettings

__all__ = ["MaceState", "settings_of"]

_COUPLING = re.compile(r"\._w3j_(\d+)_(\d+)_(\d+)$")
_WITHOUT_MEANING = re.compile(r"\.(output_mask|bias|weights_(\d+|max)_zeroed)$|\.conv_tp\.weight$|\.prefactor$")
"""Tensors that say nothing that the others do not; biases and weights of a product belong here only when empty."""
_PARTS = {
    "density_fn": "interaction blocks with a density",
    "skip_linear": "interaction blocks with attention",
    "linear_res": "non-linear interaction blocks",
    "pair_repulsion_fn": "pair repulsion",
    "distance_transform": "a transform of distances",
    "joint_embedding": "embeddings of charge, spin or other quantities",
    "gaussian_weights": "Gaussian radial functions",
    "lora": "low-rank adapters",
}
_CONVERTIBLE = (
    "a MACE or ScaleShiftMACE with one head, the same correlation in every layer, natural parities, Bessel functions "
    "of the plain distance, RealAgnosticInteractionBlock or RealAgnosticResidualInteractionBlock as first interaction "
    "and the latter after it, a NonLinearReadoutBlock at the end"
)


class MaceState:
    """A state dict whose tensors are taken one by one.

    Args:
        tensors: names and tensors, as ``state_dict()`` returns them.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.peek("node_embedding.linear.weight").dtype

    def peek(self, name: str) -> Tensor:
        """Return a tensor as it is, without counting it as used.

        Raises:
            ConfigError: if there is none of this name.
        """
        if name not in self._tensors:
            raise ConfigError(
                f"there is no `{name}`, which every mace-torch model has that can be converted",
                got=f"{len(self._tensors)} tensors, such as {', '.join(list(self._tensors)[:3])}",
                expected=_CONVERTIBLE,
                fix="a model in the layout of cuEquivariance is turned back by mace-torch's own command",
            )
        return self._tensors[name]

    def take(self, name: str, *shape: int) -> Tensor:
        """Return a tensor in float64, reshaped; it counts as used.

        Raises:
            ConfigError: if it is missing, or has another number of elements.
        """
        tensor = self.peek(name)
        self._taken.add(name)
        if tensor.numel() != math.prod(shape):
            raise ConfigError(
                f"`{name}` has another size than in every mace-torch model that can be converted",
                got=f"{tuple(tensor.shape)} instead of {shape}",
                expected=_CONVERTIBLE,
            )
        return tensor.detach().cpu().double().reshape(shape)

    def count(self, pattern: str, first: int = 0) -> int:
        """Return how many numbers in a row, from ``first`` on, begin a name when put into ``pattern``."""
        number = first
        while any(name.startswith(pattern.format(number)) for name in self._tensors):
            number += 1
        return number - first

    def check_all_used(self) -> None:
        """Raise if a tensor was not used, or a coupling is not that of this package.

        Raises:
            ConfigError: naming the tensors, and the part of mace-torch that they belong to.
        """
        left = []
        for name, tensor in self._tensors.items():
            if degrees := _COUPLING.search(name):
                _check_coupling(name, tensor, *map(int, degrees.groups()))
            elif name not in self._taken and not (_WITHOUT_MEANING.search(name) and _is_idle(name, tensor)):
                left.append(name)
        if left:
            parts = [words for key, words in _PARTS.items() if any(key in name for name in left)]
            raise ConfigError(
                f"this model has {' and '.join(parts) or 'parts'} that cannot be converted",
                got=", ".join(left[:6]) + (f" and {len(left) - 6} more" if len(left) > 6 else ""),
                expected=_CONVERTIBLE,
            )


def _is_idle(name: str, tensor: Tensor) -> bool:
    return tensor.numel() == 0 or not name.endswith((".bias", ".conv_tp.weight"))


def _check_coupling(name: str, tensor: Tensor, *degrees: int) -> None:
    ours = wigner_3j(*degrees, dtype=torch.float64)
    # e3nn 0.4 differs from later versions in the sign of some couplings with l1 + l2 + l3 odd; none occurs here
    error = float((tensor.detach().cpu().double() - ours).abs().max()) if tensor.shape == ours.shape else math.inf
    if error > 1e-6:
        raise ConfigError(
            f"the coupling {degrees} of this model is not the one of this package",
            got=f"{name}, which differs by {error:.1g}",
            expected="the couplings of e3nn",
        )


def settings_of(state: MaceState) -> ModelSettings:
    """Return the settings of our network that a state implies.

    Raises:
        ConfigError: if it has only one layer, no harmonics, or other radial functions.
    """
    layers, cutoff = int(state.take("num_interactions")), float(state.take("r_max"))
    species = state.peek("atomic_numbers").numel()
    channels = state.peek("node_embedding.linear.weight").numel() // species
    first = "products.0.symmetric_contractions.contractions.0."
    correlation = state.count(first + "U_matrix_{}", first=1)
    harmonics = math.isqrt(state.peek(first + "U_matrix_1").shape[-2]) - 1
    outputs = state.count("products.0.symmetric_contractions.contractions.{}.")
    for degree in range(outputs):
        # a scalar has no axis of components: its couplings are one row
        state.take(
            f"products.0.symmetric_contractions.contractions.{degree}.U_matrix_1", 2 * degree + 1, (harmonics + 1) ** 2
        )
    if layers < 2 or harmonics < 1:
        raise ConfigError(
            "only mace-torch models of two or more layers with harmonics beyond degree 0 can be converted",
            got={"num_interactions": layers, "max_ell": harmonics},
        )
    size = state.peek("radial_embedding.bessel_fn.bessel_weights").numel()
    roots = state.take("radial_embedding.bessel_fn.bessel_weights", size) * cutoff / math.pi
    radii = [float(state.take(f"radial_embedding.{name}.r_max")) for name in ("bessel_fn", "cutoff_fn")]
    if (roots - torch.arange(1, size + 1)).abs().max() > 1e-4 or radii != [cutoff, cutoff]:
        raise ConfigError(
            "the radial functions of this model are not the Bessel functions of its cutoff",
            got={"frequencies": roots.tolist(), "cutoffs": radii},
            expected=f"1 to {size}, and {cutoff}",
        )
    widths = [
        state.peek(f"interactions.0.conv_tp_weights.layer{k}.weight").shape[1]
        for k in range(state.count("interactions.0.conv_tp_weights.layer{}.") - 1)
    ]
    mixes = state.peek("interactions.0.skip_tp.weight").numel() == (harmonics + 1) * channels**2 * species
    return ModelSettings(
        architecture="mace",
        # a number such as 5.1 is not what float32 makes of it, and is what the user wrote
        cutoff=float(f"{cutoff:.7g}") if state.peek("r_max").dtype == torch.float32 else cutoff,
        layers=layers,
        channels=channels,
        hidden_lmax=outputs - 1,
        harmonics_lmax=harmonics,
        correlation=correlation,
        first_layer="mixed" if mixes else "residual",
        radial_size=size,
        radial_power=int(state.take("radial_embedding.cutoff_fn.p")),
        radial_widths=tuple(widths),
        readout_width=state.peek(f"readouts.{layers - 1}.linear_2.weight").numel(),
    )
