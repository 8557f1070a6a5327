"""Published errors of normals, to stand beside ours.

Puny et al., ICLR 2022, table 1 (ABC, 10 000 models, 512 points), as remembered: they have not been read again in the
paper. The published code turns no cloud in the regimes with rotations, so that the figures of those may not mean what
they say.
"""

from intertwine.reporting import PaperFigure

__all__ = ["REGIMES", "figure", "published"]

REGIMES = ("I/I", "I/SO(3)", "SO(3)/SO(3)")
"""How training and test clouds lie: as they are, or turned at random."""

_ERRORS = {
    "PointNet": (0.207, 0.449, 0.258),
    "VN-PointNet": (0.215, 0.216, 0.223),
    "FA-PointNet": (0.158, 0.163, 0.161),
    "FA-Local-PointNet": (0.097, 0.098, 0.098),
    "DGCNN": (0.070, 0.193, 0.121),
    "VN-DGCNN": (0.133, 0.130, 0.144),
    "FA-DGCNN": (0.067, 0.069, 0.071),
}
_SOURCE = "Puny et al., ICLR 2022, table 1, as remembered; ABC, 10 000 CAD models"


def published(recipe: str, sets: tuple[str, ...], regime: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return errors by model, test set and metric; empty for other recipes.

    Args:
        recipe: name of the recipe, with the system's.
        sets: names of the test sets; figures are those of the set ``test`` and of its turned copy.
        regime: how training clouds lie, ``I`` or ``SO(3)``.
    """
    if not recipe.startswith("frame_averaging/normals-") or "test" not in sets:
        return {}
    found = {}
    for model, errors in _ERRORS.items():
        as_they_are, turned, both = errors
        values = {"test": as_they_are, "test, turned": turned} if regime == "I" else {"test, turned": both}
        found[f"{model}, unverified"] = {name: {"normal_error": value} for name, value in values.items()}
    return found


def figure(model: str, regime: str) -> PaperFigure | None:
    """Return the published error of one model in one regime with its source, or None."""
    if model not in _ERRORS:
        return None
    return PaperFigure(_ERRORS[model][REGIMES.index(regime)], f"{model}, {regime}: {_SOURCE}", verified=False)
