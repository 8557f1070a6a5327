"""The error of the law of pieces against the number of cells, on bodies whose parts are exactly rigid."""

import torch

from intertwine.systems.apen.data import ApenData
from intertwine.systems.apen.model import APEN, PieceReport
from intertwine.systems.apen.settings import ApenRecipe, DataSettings, ModelSettings

__all__ = ["piece_curve"]

_CELLS = (16, 32, 64, 128, 256, 512, 1024)


def piece_curve(
    points: int, *, clouds: int = 4, cells: tuple[int, ...] = _CELLS, seed: int = 0
) -> dict[str, PieceReport]:
    """Return the error of an untrained network for several first partitions, which it keeps throughout.

    Args:
        points: of each body.
        clouds: bodies.
        cells: numbers of Voronoi cells; those above the number of points are left out.
        seed: of weights and motions.
    """
    sizes = DataSettings(points=points, labels=22, pose="rigid", test_clouds=clouds)
    data = ApenData(ApenRecipe(data=sizes))
    data.setup("test")
    batch = next(next(iter(data.test_sets.values())).batches(clouds)).to(torch.float64)
    if batch.instances is None:
        return {}
    found: dict[str, PieceReport] = {}
    kinds: dict[str, dict[str, object]] = {f"cells={k}": {"cells": k} for k in cells if k < points}
    kinds |= {"oracle": {"partition": "oracle"}, "singletons": {"initial": "singletons"}}
    for name, changes in kinds.items():
        fields = {
            "classes": 22,
            "partition": "fixed",
            "sigma": (0.05, 0.08, 0.12),
            "widths": (16, 16, 32),
            "hidden": 32,
        }
        settings = ModelSettings(**{**fields, "scalars": 16, "vectors": 4, **changes})  # pyright: ignore
        network = APEN(settings, rng=torch.Generator().manual_seed(seed)).double().eval()
        rng = torch.Generator().manual_seed(seed)
        found[name] = network.equivariance_report(
            batch.positions, batch.graph_index, true_part=batch.instances, rng=rng
        )
    return found
