"""Published figures of telling graphs apart, to stand beside ours.

Puny et al., ICLR 2022, table 2, as remembered: they have not been read again in the paper. Pairs are those that 100
randomly initialised networks do not tell apart; accuracies are those of trained networks on EXP.
"""

from intertwine.reporting import PaperFigure

__all__ = ["figure", "published"]

_SOURCE = "Puny et al., ICLR 2022, table 2, as remembered"
_TABLE = {
    "GCN": (4755, 600, 0.50),
    "GAT": (1828, 600, 0.50),
    "GIN": (386, 600, 0.50),
    "ChebNet": (44, 71, 0.82),
    "PPGN": (0, 0, 1.00),
    "GNNML3": (0, 0, 1.00),
    "GA-MLP": (0, 0, 0.50),
    "FA-MLP": (0, 0, 1.00),
    "GA-GIN+ID": (0, 0, 0.50),
    "FA-GIN+ID": (0, 0, 1.00),
}
"""Undistinguished pairs of graph8c and of EXP, and accuracy on EXP, by network."""
_COLUMNS = {"graph8c": 0, "EXP-iso": 1, "EXP-classify": 2}


def figure(network: str, experiment: str) -> PaperFigure | None:
    """Return the figure of one network with its source, or None.

    Args:
        network: as the table calls it, for example ``FA-MLP``.
        experiment: ``graph8c``, ``EXP-iso`` or ``EXP-classify``.
    """
    row = _TABLE.get(network)
    return None if row is None else PaperFigure(row[_COLUMNS[experiment]], _SOURCE, verified=False)


def published(recipe: str, sets: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Return accuracies by network, test set and metric; empty for recipes of other data.

    Args:
        recipe: name of the recipe, with the system's.
        sets: names of the test sets; figures are those of the set ``exp``.
    """
    if not recipe.startswith("frame_averaging/exp-") or "exp" not in sets:
        return {}
    names = ("GIN", "ChebNet", "PPGN", "GA-MLP", "FA-MLP", "FA-GIN+ID")
    return {f"{name}, unverified": {"exp": {"accuracy": _TABLE[name][2]}} for name in names}
