"""Which weight of ours is which of mace-torch's, and how one is made from the other, in both directions.

Models are those of Batatia et al. (NeurIPS 2022) as mace-torch writes them with e3nn 0.4. What differs, part by part:

- paths of a product are sorted by degree there and by input here;
- edge vectors point the other way, which an energy that is invariant under inversion does not notice;
- sums over neighbours are divided by their mean number there, by its root here;
- maps that depend on the species are products with a one-hot vector there, whose fan-in counts the species;
- SiLU is divided by the root of its second moment, which is estimated from random numbers there;
- couplings of the contraction are linearly dependent there, independent here (see `contraction`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from intertwine.errors import ConfigError
from intertwine.nn import NormalizedActivation
from intertwine.representations import Irreps
from intertwine.systems.potential.convert.contraction import combinations_of_basis
from intertwine.systems.potential.convert.state import MaceState
from intertwine.systems.potential.model import Potential

__all__ = ["SILU_OF_E3NN", "Link", "links"]

SILU_OF_E3NN = 1.6791767923989418
"""One over the root mean square of SiLU over a million fixed random numbers, as e3nn takes it; 1.6765 is exact."""
_MISSED = {torch.float64: 1e-10, torch.float32: 1e-5}
"""Part of the couplings that may be missed: their rounding."""


@dataclass(frozen=True)
class Link:
    """One weight of mace-torch, and the weight of ours, or the part of it, that it becomes.

    Args:
        theirs, ours: names in the two state dicts.
        shape: how theirs is to be shaped before it is turned.
        forward: theirs to ours.
        backward: ours to theirs, in ``shape``.
        part: the rows of ours (axis 1) that it becomes; all when None.
    """

    theirs: str
    ours: str
    shape: tuple[int, ...]
    forward: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor], Tensor]
    part: slice | None = None


def links(potential: Potential, state: MaceState, order: Tensor) -> Iterator[Link]:
    """Yield a link for every weight; together they cover all of ours.

    Args:
        potential: with the settings that the state implies.
        state: where the couplings are.
        order: for each of our species, which of theirs it is.

    Raises:
        ConfigError: if couplings of the state are not combinations of ours.
    """
    species, channels = len(order), potential.settings.channels
    back = order.argsort()
    network: Any = potential.network
    factor = species**-0.5
    yield Link(
        "node_embedding.linear.weight",
        "network.embedding",
        (species, channels),
        lambda w: w[order] * factor,
        lambda w: w[back] / factor,
    )
    ratio = SILU_OF_E3NN / NormalizedActivation("silu").scale
    for index, layer in enumerate(network.layers):
        theirs, ours = f"interactions.{index}.", f"network.layers.{index}."
        convolution = layer.convolution
        yield _scaled(theirs + "linear_up.weight", ours + "convolution.mix_in.weight", convolution.mix_in.weight)
        root = potential.mean_neighbours**-0.5
        yield _scaled(theirs + "linear.weight", ours + "convolution.mix_out.weight", convolution.mix_out.weight, root)
        yield from _radial(convolution, theirs, ours, ratio)
        yield _of_species(layer, theirs, ours, channels, order)
        yield from _contraction(layer.contraction, state, f"products.{index}.", ours, order)
        yield _scaled(f"products.{index}.linear.weight", ours + "mix.weight", layer.mix.weight)
    for index, readout in enumerate(network.readouts):
        theirs, ours = f"readouts.{index}.", f"network.readouts.{index}."
        if readout.first is None:
            yield _scaled(theirs + "linear.weight", ours + "last.weight", readout.last.weight)
        else:
            yield _scaled(theirs + "linear_1.weight", ours + "first.weight", readout.first.weight)
            yield _scaled(theirs + "linear_2.weight", ours + "last.weight", readout.last.weight, ratio)


def _scaled(theirs: str, ours: str, weight: Tensor, factor: float = 1.0) -> Link:
    return Link(theirs, ours, tuple(weight.shape), lambda w: w * factor, lambda w: w / factor)


def _radial(convolution: Any, theirs: str, ours: str, ratio: float) -> Iterator[Link]:
    """The radial network: its activations scaled, its last columns in the order of our paths."""
    degrees = torch.tensor([entry.ir.l for entry in convolution.product.irreps_out])
    sort = degrees.argsort(stable=True)  # which of our paths stands at each place of theirs
    place = sort.argsort()
    names = [f"conv_tp_weights.layer{k}.weight" for k in range(len(convolution.radial.weights))]
    for k, (name, weight) in enumerate(zip(names, convolution.radial.weights, strict=True)):
        # the activation before a layer is scaled otherwise: its weights take that up
        link = _scaled(theirs + name, f"{ours}convolution.radial.weights.{k}", weight, ratio if k else 1.0)
        if k == len(names) - 1:
            link = replace(
                link,
                forward=lambda w, f=link.forward: f(w).unflatten(1, (len(sort), -1))[:, place].flatten(1),
                backward=lambda w, f=link.backward: f(w).unflatten(1, (len(sort), -1))[:, sort].flatten(1),
            )
        yield link


def _of_species(layer: Any, theirs: str, ours: str, channels: int, order: Tensor) -> Link:
    """The linear map that depends on the species."""
    typed, name = (layer.skip, "skip") if layer.skip is not None else (layer.species_map, "species_map")
    species, entries = len(order), len(typed.irreps_out)
    factor = species**-0.5
    return Link(
        theirs + "skip_tp.weight",
        f"{ours}{name}.weight",
        (entries, channels, species, channels),
        lambda w: w.permute(2, 0, 1, 3)[order].flatten(1) * factor,
        lambda w: w.unflatten(1, (entries, channels, channels))[order.argsort()].permute(1, 2, 0, 3) / factor,
    )


def _contraction(contraction: Any, state: MaceState, theirs: str, ours: str, order: Tensor) -> Iterator[Link]:
    """The weights of the couplings: of theirs those of one output and degree, which are a part of ours of a degree."""
    single = Irreps([(1, ir) for ir in contraction.irreps_in.irreps])
    limit = _MISSED.get(state.dtype, 1e-2)
    rows = [0] * (contraction.correlation + 1)
    back = order.argsort()
    for index, ir in enumerate(contraction.irreps_out.irreps):
        prefix = f"{theirs}symmetric_contractions.contractions.{index}."
        for degree in range(1, contraction.correlation + 1):
            highest = degree == contraction.correlation
            name = prefix + ("weights_max" if highest else f"weights.{contraction.correlation - 1 - degree}")
            paths = state.peek(name).shape[1]
            components = (ir.dim,) if ir.l > 0 else ()
            couplings = state.take(f"{prefix}U_matrix_{degree}", *components, *[single.dim] * degree, paths)
            combinations, missed = combinations_of_basis(couplings, single, ir, degree)
            if missed > limit:
                raise ConfigError(
                    f"the couplings of degree {degree} to {ir} are not combinations of those of this package",
                    got=f"{prefix}U_matrix_{degree}, of which {missed:.1e} is missed",
                    expected=f"at most {limit:.0e}",
                )
            inverse = torch.linalg.pinv(combinations)
            part = slice(rows[degree], rows[degree] + len(combinations))
            rows[degree] = part.stop
            yield Link(
                name,
                f"{ours}contraction.weight_{degree}",
                (len(order), paths, contraction.channels),
                lambda w, t=combinations: t @ w[order],
                lambda w, t=inverse: t @ w[back],
                part,
            )
