"""Published errors to stand beside ours: mean squared errors of positions of five charged particles.

Read off a bar chart of Luo, Chen, Krishnapriyan, ICLR 2024, to about 0.1e-3: SEGNN with the product of Clebsch-Gordan
coefficients and with the Gaunt product, trained on 3000 simulations to the end.
"""

from intertwine.reporting import PaperFigure

__all__ = ["figure", "published"]

_MSE = {("clebsch_gordan", 1): 5.0e-3, ("gaunt", 1): 4.8e-3, ("clebsch_gordan", 2): 5.2e-3, ("gaunt", 2): 5.05e-3}
_NAMES = {"clebsch_gordan": "SEGNN", "gaunt": "SEGNN with Gaunt products"}


def published(recipe: str, attribute_lmax: int, sets: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Return figures by model, test set and metric; empty for a recipe or degree without published ones.

    Args:
        recipe: name of the recipe, with the system's.
        attribute_lmax: largest degree of the attributes.
        sets: names of the test sets.
    """
    if not recipe.startswith("segnn/charged5"):
        return {}
    found = {name: _MSE.get((product, attribute_lmax)) for product, name in _NAMES.items()}
    return {
        name: {case: {"position_mse": value} for case in sets} for name, value in found.items() if value is not None
    }


def figure(product: str, attribute_lmax: int) -> PaperFigure | None:
    """Return the published figure of one product with its source, or None."""
    value = _MSE.get((product, attribute_lmax))
    if value is None:
        return None
    return PaperFigure(value, f"{_NAMES[product]}: Luo et al., ICLR 2024, read off a bar chart; 3000 simulations")
