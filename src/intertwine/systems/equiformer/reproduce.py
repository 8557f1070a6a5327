"""The card's experiment: EquiformerV2 with and without the Gaunt self-interaction, equal otherwise.

At the scale ``paper`` the data are those of OC20, which must be at hand, and the published figures stand beside ours.
At the scales ``cpu`` and ``smoke`` the data are small surfaces made here: what is shown is that both train, what they
keep of the symmetry, and what the self-interaction changes, not the published errors.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from intertwine.errors import DataError
from intertwine.reporting import ResultRow, Target
from intertwine.symmetry import check_forces
from intertwine.systems.equiformer.evaluate import GRID_TOLERANCE, check_batch
from intertwine.systems.equiformer.published import figure
from intertwine.training.datasets import find_data
from intertwine.training.experiment import baseline_errors, count_weights, measure_run, record, train_timed
from intertwine.training.page import write_run_page
from intertwine.training.recipes import LoadedRecipe, load_recipe
from intertwine.training.run import Run

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["reproduce", "result_row"]

_VARIANTS = {"base": "none", "self_mix": "after_attention"}
"""The two networks that are compared: the name of the case, and `model.self_mix`."""


def reproduce(
    scale: Literal["paper", "cpu", "smoke"],
    *,
    folder: Path,
    seeds: tuple[int, ...] | None = None,
    console: "Console | None" = None,
    lmax: int | None = None,
) -> list[ResultRow]:
    """Run the experiment and return its rows.

    Args:
        scale: scale of the recipe.
        folder: where the runs are kept, one a variant and seed.
        seeds: seeds of initial weights and data order; the card's are 0 and 1.
        console: where to show progress.
        lmax: largest degree of the features; the recipe's when not given.

    Raises:
        DataError: at the scale ``paper``, if the files of OC20 are not at hand.
    """
    loaded = load_recipe("equiformer/oc20_2m", scale=scale)
    if lmax is not None:
        loaded = loaded.changed({"model.lmax": lmax, "model.mmax": min(loaded.recipe.model.mmax, lmax)})
    _require_data(loaded)
    rows: list[ResultRow] = []
    for variant, place in _VARIANTS.items():
        results: dict[tuple[str, str, str], dict[int, float]] = {}
        baselines: dict[tuple[str, str], float] = {}
        for seed in seeds or (0, 1):
            changes = {"model.self_mix": place, "seed": seed}
            title = f"equiformer/oc20_2m, {variant}, scale {scale}, seed {seed}"
            run_place = Path(folder) / f"{variant}-{scale}-seed{seed}"
            run, seconds = train_timed(loaded, run_place, changes, title=title, console=console)
            numbers, baselines = _measure(run, variant, seed, console)
            record(results, seed, {(variant, "training_time", "min"): seconds / 60, **numbers})
        degree = loaded.recipe.model.lmax
        rows += [result_row(key, values, scale, degree, baselines) for key, values in results.items()]
    return rows


def _require_data(loaded: LoadedRecipe) -> None:
    data = loaded.recipe.data
    if data.train is None:
        return
    for name in (data.train, data.validation, *data.test.values()):
        try:
            find_data(name)
        except DataError as error:
            raise DataError(
                "the data of OC20 are not available here, so the published figures cannot be reproduced",
                got=f"no {name}",
                expected="the preprocessed S2EF databases: 2M training structures, four validation splits (CC BY 4.0)",
                fix="set INTERTWINE_DATA to the folder that holds oc20/s2ef, or use --scale cpu, which makes its data",
            ) from error


def _measure(
    run: Run, variant: str, seed: int, console: "Console | None"
) -> tuple[dict[tuple[str, str, str], float], dict[tuple[str, str], float]]:
    """Evaluate, check and report one run.

    Returns its numbers by (case, metric, unit), and the errors of a network that predicts the mean by test set and
    metric.
    """
    found: dict[tuple[str, str, str], float] = {}
    evaluation, checked = measure_run(run, seed)
    for row in evaluation.rows:
        found[f"{variant}/{row.set}", row.metric, row.unit] = row.value
    law = checked.equivariance
    found[variant, "rotation_error", ""] = law.part("rotations").relative
    found[variant, "permutation_error", ""] = law.part("permutations").relative
    measured, _ = check_forces(run.model(), check_batch(run).inputs())
    if measured is not None:  # reported without a target: the forces do not claim to be a gradient
        found[variant, "force_jacobian_asymmetry", ""] = measured.jacobian_asymmetry
        found[variant, "energy_force_mismatch", ""] = float(measured.energy_mismatch or 0.0)
    found[variant, "parameters", ""] = count_weights(run)
    page = write_run_page(run)
    if console is not None:
        console.print(f"page: {page}", highlight=False, soft_wrap=True)
    return found, baseline_errors(evaluation)


def result_row(
    key: tuple[str, str, str],
    values: dict[int, float],
    scale: str,
    lmax: int,
    baselines: dict[tuple[str, str], float],
) -> ResultRow:
    """Return one row of the results, with published figure, baseline and target where there are some.

    Args:
        key: case, metric and unit.
        values: by seed.
        scale: of the recipe; published figures belong to ``paper``.
        lmax: largest degree of the features.
        baselines: by test set and metric.
    """
    case, metric, unit = key
    variant, _, name = case.partition("/")
    fields: dict[str, object] = {"unit": unit}
    if scale == "paper" and name == "mean":
        fields["paper"] = figure(metric, lmax, variant == "self_mix")
    if (name, metric) in baselines:
        fields["baselines"] = {"zero model": baselines[name, metric]}
    if metric == "rotation_error":
        fields["target"] = Target("<", GRID_TOLERANCE)
    if metric == "permutation_error":
        fields["target"] = Target("<", 1e-10)
    return ResultRow.over_seeds(case, metric, values, **fields)
