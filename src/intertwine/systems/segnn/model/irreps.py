"""The irreps of a steerable network: attributes, and hidden features with as many weights as a layer of scalars."""

from math import ceil, sqrt

from intertwine.products.paths import all_paths
from intertwine.representations import Irrep, Irreps
from intertwine.systems.segnn.settings import ModelSettings

__all__ = ["attribute_irreps", "balanced_channels", "hidden_irreps"]


def attribute_irreps(settings: ModelSettings) -> Irreps:
    """Return the irreps of the attributes: spherical harmonics up to the largest degree."""
    return Irreps.spherical_harmonics(settings.attribute_lmax)


def hidden_irreps(settings: ModelSettings) -> Irreps:
    """Return the irreps of the hidden features, in canonical order, each with the same number of channels."""
    kinds = _kinds(settings)
    channels = balanced_channels(kinds, attribute_irreps(settings), settings.hidden)
    return Irreps([(channels, ir) for ir in kinds.irreps])


def balanced_channels(irreps: Irreps, attributes: Irreps, width: int) -> int:
    """Return the smallest number of channels for which a product has at least the weights of a linear layer.

    With n channels of every irrep, the fully connected Clebsch-Gordan product of features with attributes into
    features has n² weights for each path; a linear layer of ``width`` scalars has ``width``². So networks of
    all degrees compare at equal numbers of weights, as in the code of Brandstetter et al., ICLR 2022.

    Args:
        irreps: the features' irreps, one copy each.
        attributes: the attributes' irreps, one copy each.
        width: of the layer of scalars.

    Example:
        >>> balanced_channels(Irreps("0e + 1o"), Irreps("0e + 1o"), 64)
        32
    """
    return ceil(width / sqrt(len(all_paths(irreps, attributes, irreps))))


def _kinds(settings: ModelSettings) -> Irreps:
    degrees = range(settings.hidden_lmax + 1)
    signs = (1, -1) if settings.unnatural else (1,)
    return Irreps([Irrep(l, sign * (-1) ** l) for l in degrees for sign in signs])  # noqa: E741
