"""Published figures of the tetris experiment to stand beside ours.

Xie, Daigavane, Kotak, Smidt, "The Price of Freedom", ICML 2025, read off their figure: the Clebsch-Gordan product is
right about all eight shapes after 60 to 80 steps for every lmax from 1 to 4, the Gaunt product stays at seven of eight,
reached after 85 to 135 steps. The other products are not part of their figure.
"""

from intertwine.reporting import PaperFigure

__all__ = ["figure"]

_SOURCE = "Xie et al., The Price of Freedom, ICML 2025, Tetris figure; multiplicity 8, lmax 1 to 4"
_FIGURES = {
    ("clebsch_gordan", "accuracy"): (1.0, ""),
    ("clebsch_gordan", "steps"): (80.0, ", the slowest"),
    ("gaunt", "accuracy"): (0.875, ""),
    ("gaunt", "steps"): (135.0, ", the slowest"),
}


def figure(product: str, metric: str) -> PaperFigure | None:
    """Return the published figure of a product with its source, or None.

    Args:
        product: ``model.product`` of a recipe.
        metric: ``accuracy`` (from 0 to 1), or ``steps`` until the highest accuracy.
    """
    found = _FIGURES.get((product, metric))
    return None if found is None else PaperFigure(found[0], _SOURCE + found[1])
