"""Chemical elements as pictures need them: symbol, colour and covalent radius, by atomic number.

Radii in Å are the single-bond covalent radii of Cordero et al. (2008), rounded; colours follow the habit of
molecular viewers (carbon grey, nitrogen blue, oxygen red), hydrogen a grey that shows on white. Elements
outside the small table of common ones get their symbol and radius from ase if it is installed, else a neutral
entry.
"""

from dataclasses import dataclass

__all__ = ["Element", "element"]


@dataclass(frozen=True)
class Element:
    """How one element is drawn.

    Args:
        symbol: of the element.
        colour: of its ball, as ``#rrggbb``.
        radius: covalent radius in Å.
    """

    symbol: str
    colour: str
    radius: float


_COMMON = {
    1: Element("H", "#b9bec6", 0.31),
    3: Element("Li", "#a66bd4", 1.28),
    5: Element("B", "#e8a493", 0.84),
    6: Element("C", "#5d6670", 0.76),
    7: Element("N", "#3f6fd8", 0.71),
    8: Element("O", "#dd3b35", 0.66),
    9: Element("F", "#6cc24a", 0.57),
    11: Element("Na", "#8e5bc0", 1.66),
    12: Element("Mg", "#79b53c", 1.41),
    13: Element("Al", "#a9a0a0", 1.21),
    14: Element("Si", "#d2b48c", 1.11),
    15: Element("P", "#ef8a1d", 1.07),
    16: Element("S", "#e3c32a", 1.05),
    17: Element("Cl", "#2fb344", 1.02),
    19: Element("K", "#7d44b3", 2.03),
    20: Element("Ca", "#5fae2f", 1.76),
    22: Element("Ti", "#8f969d", 1.60),
    26: Element("Fe", "#c9632b", 1.32),
    28: Element("Ni", "#4fa65a", 1.24),
    29: Element("Cu", "#b87333", 1.32),
    30: Element("Zn", "#7d80b0", 1.22),
    35: Element("Br", "#a0362c", 1.20),
    46: Element("Pd", "#3b7f95", 1.39),
    47: Element("Ag", "#aab2ba", 1.45),
    53: Element("I", "#7a2f9b", 1.39),
    78: Element("Pt", "#b5bcc8", 1.36),
    79: Element("Au", "#e0b02c", 1.36),
}


def element(number: int) -> Element:
    """Return how the element with this atomic number is drawn."""
    if number in _COMMON:
        return _COMMON[number]
    try:
        from ase.data import chemical_symbols, covalent_radii
    except ImportError:
        return Element(f"Z{number}", "#c77fb5", 1.4)
    if 0 <= number < len(covalent_radii):
        return Element(chemical_symbols[number], "#c77fb5", float(covalent_radii[number]))
    return Element(f"Z{number}", "#c77fb5", 1.4)
