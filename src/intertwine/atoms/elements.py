"""Elements: their symbols, and their places in a model's list."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from intertwine.errors import DataError

__all__ = ["species_of", "symbols_of"]


def species_of(numbers: np.ndarray, species: Sequence[int]) -> Int64[Tensor, " atoms"]:
    """Return the place in ``species`` of each atomic number.

    Raises:
        DataError: naming the elements that are not there, and those that are.
    """
    place = np.full(256, -1)
    place[list(species)] = np.arange(len(species))
    index = place[numbers]
    if (index < 0).any():
        raise DataError(
            "there are elements that the model does not know",
            got=symbols_of(numbers[index < 0]),
            expected=f"only {symbols_of(species)}",
            fix="train on data with these elements, or leave the structure out",
        )
    return torch.from_numpy(index)


def symbols_of(numbers: Iterable[int]) -> str:
    """Return the different elements of some atomic numbers, as text; without ASE the numbers themselves."""
    different = sorted({int(z) for z in numbers})
    try:
        from ase.data import chemical_symbols
    except ImportError:
        return ", ".join(f"Z{z}" for z in different)
    return ", ".join(chemical_symbols[z] for z in different)
