"""Published errors on OC20 S2EF after training on the 2M split, to stand beside ours.

Luo, Chen, Krishnapriyan, ICLR 2024, table of OC20: means over the four validation splits; energies in meV, forces in
meV/Å, EFwT in %.
"""

from intertwine.reporting import PaperFigure

__all__ = ["SPLITS", "figure", "published"]

SPLITS = ("val_id", "val_ood_ads", "val_ood_cat", "val_ood_both")
"""The validation splits that the published figures are means over."""

_METRICS = ("energy_mae", "force_mae", "force_cosine", "efwt")
_OC20 = {
    "SchNet": (1400.0, 78.3, 0.109, 0.00),
    "DimeNet++": (805.0, 65.7, 0.217, 0.01),
    "SpinConv": (406.0, 36.2, 0.479, 0.13),
    "GemNet-dT": (358.0, 29.5, 0.557, 0.61),
    "GemNet-OC": (286.0, 25.7, 0.598, 1.06),
    "SCN 1-tap": (299.0, 24.3, 0.605, 0.98),
    "SCN 4-tap": (279.0, 22.2, 0.643, 1.41),
    "eSCN L=4": (291.0, 22.2, 0.637, 1.39),
    "eSCN L=6": (294.0, 21.3, 0.653, 1.45),
    "EquiformerV2 L=4": (284.0, 21.4, 0.657, 1.51),
    "EquiformerV2 L=6": (285.0, 20.5, 0.663, 1.67),
    "EquiformerV2 + Selfmix L=4": (277.0, 20.9, 0.661, 1.82),
    "EquiformerV2 + Selfmix L=6": (276.0, 20.1, 0.669, 1.95),
}


def published(recipe: str, scale: str, sets: tuple[str, ...]) -> dict[str, dict[str, dict[str, float]]]:
    """Return figures by model, the set ``mean``, and metric; empty for other data than the whole of OC20's.

    Args:
        recipe: name of the recipe with the system's.
        scale: of the recipe; the smaller scales have data of their own.
        sets: names of the test sets.
    """
    if (recipe, scale) != ("equiformer/oc20_2m", "paper") or set(sets) != set(SPLITS):
        return {}
    return {model: {"mean": dict(zip(_METRICS, values, strict=True))} for model, values in _OC20.items()}


def figure(metric: str, lmax: int, self_mix: bool) -> PaperFigure | None:
    """Return the figure of one variant with its source, or None if it was not published."""
    name = f"EquiformerV2{' + Selfmix' if self_mix else ''} L={lmax}"
    if name not in _OC20 or metric not in _METRICS:
        return None
    value = _OC20[name][_METRICS.index(metric)]
    return PaperFigure(value, f"{name}: Luo et al., ICLR 2024; mean over four validation splits", True)
