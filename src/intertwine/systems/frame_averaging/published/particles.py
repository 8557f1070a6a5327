"""Published errors of predicted particles, to stand beside ours.

Mean squared errors of Puny et al., ICLR 2022, table 3 (five charged particles, 3000 simulations, 10 000 epochs), and of
two later works, as remembered: they have not been read again in the papers. Times are of a batch of 100 on a GPU of
theirs.
"""

from intertwine.reporting import PaperFigure

__all__ = ["figure", "published", "seconds"]

_MSE = {
    "Linear": 0.0819,
    "SE(3)-Transformer": 0.0244,
    "TFN": 0.0155,
    "GNN": 0.0107,
    "Radial Field": 0.0104,
    "EGNN": 0.0071,
    "FA-GNN": 0.0057,
    "GNN with learned frames": 0.0043,
    "MFA-GNN": 0.003624,
}
_SECONDS = {
    "Linear": 0.0001,
    "SE(3)-Transformer": 0.1346,
    "TFN": 0.0343,
    "GNN": 0.0032,
    "Radial Field": 0.0039,
    "EGNN": 0.0062,
    "FA-GNN": 0.0041,
}
_SOURCE = "Puny et al., ICLR 2022, table 3, as remembered; 3000 simulations, 10 000 epochs"
_SOURCES = {
    "GNN with learned frames": "Kaba et al., ICML 2023, as remembered; 3000 simulations",
    "MFA-GNN": "the log released with Lin et al., ICML 2024; 3000 simulations, best of 10 000 epochs at epoch 3414",
}


def published(recipe: str, sets: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Return errors by model, test set and metric; empty for recipes of other data.

    Args:
        recipe: name of the recipe, with the system's.
        sets: names of the test sets; figures are those of the set ``test``.
    """
    if not recipe.startswith("frame_averaging/particles-") or "test" not in sets:
        return {}
    return {f"{model}, unverified": {"test": {"position_mse": value}} for model, value in _MSE.items()}


def figure(model: str) -> PaperFigure | None:
    """Return the published error of one model with its source, or None."""
    return (
        PaperFigure(_MSE[model], f"{model}: {_SOURCES.get(model, _SOURCE)}", verified=False) if model in _MSE else None
    )


def seconds(model: str) -> PaperFigure | None:
    """Return the published time of a forward pass for a batch of 100, or None."""
    return (
        PaperFigure(_SECONDS[model], f"{model}: {_SOURCE}; on a GPU of theirs", verified=False)
        if model in _SECONDS
        else None
    )
