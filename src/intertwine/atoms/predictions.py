"""Predictions as ASE has them: results attached to atoms, and files of extended XYZ."""

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from intertwine.atoms.frames import require_ase
from intertwine.errors import NumericsError

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["attach_results", "extxyz_text"]


def attach_results(atoms: "Atoms", results: Mapping[str, Any], where: str) -> "Atoms":
    """Give atoms the results of a calculation, and return them.

    Args:
        atoms: to be changed.
        results: ``energy`` (eV), ``forces`` (eV/Å) and, in Voigt order, ``stress`` (eV/Å³).
        where: names the structure in errors.

    Raises:
        NumericsError: if a result is not a finite number.
    """
    from ase.calculators.singlepoint import SinglePointCalculator

    for name, value in results.items():
        if not np.isfinite(value).all():
            raise NumericsError(
                f"{where}: the predicted {name} is not a finite number",
                got=value if name == "energy" else f"{name} with NaN or infinity",
                fix="look for atoms that are too close, and try the model with `intertwine evaluate`",
            )
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def extxyz_text(images: Sequence["Atoms"]) -> str:
    """Return atoms with their results as the text of an extended XYZ file."""
    text = StringIO()
    require_ase().io.write(text, list(images), format="extxyz")
    return text.getvalue()
