"""Published errors to stand beside ours: root mean square errors of energy (meV) and force components (meV/Å).

3BPA: table 2 of Luo, Chen, Krishnapriyan, ICLR 2024 (read from the table in its repository), trained on the same 500
structures and tested on the full published test sets; our development sets are other structures of the same dynamics.
AcAc: Batatia et al., NeurIPS 2022 (not verified against the paper).
"""

from intertwine.reporting import PaperFigure

__all__ = ["figure", "published"]

_3BPA = {
    "MACE": {"300K": (3.0, 8.8), "600K": (9.7, 21.8), "1200K": (29.8, 62.0)},
    "MACE-Gaunt": {"300K": (2.9, 9.2), "600K": (10.6, 22.2), "1200K": (30.4, 63.1)},
    "NequIP": {"300K": (3.3, 10.8), "600K": (11.2, 26.4), "1200K": (38.5, 76.2)},
    "ACE": {"300K": (7.1, 27.1), "600K": (24.0, 64.3), "1200K": (85.3, 187.0)},
}
_ACAC = {
    "MACE": {"300K": (0.9, 5.1), "600K": (4.6, 22.4)},
    "NequIP": {"300K": (0.81, 5.9), "600K": (6.0, 27.8)},
}
_TABLES = {"3bpa": (_3BPA, True), "acac": (_ACAC, False)}


def published(recipe: str, sets: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Return figures by model, test set and metric; empty for a recipe without published ones.

    Args:
        recipe: name of the recipe, with or without the system's.
        sets: names of the test sets; their ending says the temperature.
    """
    table, _ = _TABLES.get(_key(recipe), ({}, True))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for model, cases in table.items():
        for name in sets:
            if pair := cases.get(name.rpartition("_")[2]):
                found.setdefault(model, {})[name] = {"energy_rmse": pair[0], "force_rmse": pair[1]}
    return found


def figure(recipe: str, name: str, metric: str, model: str = "MACE") -> PaperFigure | None:
    """Return one published figure with its source, or None."""
    value = published(recipe, (name,)).get(model, {}).get(name, {}).get(metric)
    if value is None:
        return None
    verified = _TABLES[_key(recipe)][1]
    source = "Luo et al., ICLR 2024, table 2" if verified else "Batatia et al., NeurIPS 2022"
    return PaperFigure(value, f"{model}: {source}; full published test set", verified)


def _key(recipe: str) -> str:
    """The data set of one of this system's own recipes; a user's recipe of the same name has no published figures."""
    system, _, name = recipe.partition("/")
    return name.partition("-")[0] if system == "potential" else ""
