"""Training: from a recipe to a finished run.

The same recipe on the same machine gives the same weights, bit for bit, also when the run was killed and
resumed: everything random is a function of seed, epoch and process. (Annealing by time, and stopping by it,
depend on the clock.)
"""

import contextlib
import logging
import os
import shutil
import signal
import threading
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from intertwine.errors import ConfigError, MissingExtraError
from intertwine.training.recipes import LoadedRecipe, load_recipe
from intertwine.training.run import Run, create_run, open_run, write_recipe
from intertwine.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning import Trainer
    from rich.console import Console

    from intertwine.training.module import TrainingModule

__all__ = ["is_first_process", "train"]

_MAY_CHANGE = (
    "epochs",
    "max_minutes",
    "devices",
    "nodes",
    "threads",
    "accelerator",
    "data_workers",
    "validation_batch_size",
    "validate_every",
    "patience",
)
"""Fields of `TrainingSettings` that a resumed run may change: how long and on what it trains, not what."""


def train(
    recipe: LoadedRecipe | str | Path | None = None,
    folder: str | Path | None = None,
    *,
    resume: Run | str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    console: "Console | None" = None,
) -> Run:
    """Train a recipe and return the finished run, or go on with one that was cut off.

    Args:
        recipe: a loaded recipe, the name of one, or the path of a YAML file; not together with ``resume``.
        folder: the run's folder; ``runs/...`` when not given.
        resume: a run to go on with, from its last whole epoch.
        overrides: fields to replace, by dotted name, such as ``{"model.width": 64}``; of a resumed run only
            those that say how long and on what it trains, such as ``training.epochs``.
        console: where to show progress; nothing is shown without one.

    Raises:
        ConfigError: if the recipe is wrong, the folder is taken, or a field is replaced that a resumed run
            must keep.
        CheckpointError: if the run's files cannot be written, or those to resume from cannot be read.
        NumericsError: if numbers become NaN or infinite; the last good checkpoint is kept.
        MissingExtraError: if Lightning is not installed.
    """
    try:
        import lightning  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            "training needs Lightning", got="no module `lightning`", fix='pip install "intertwine[train]"'
        ) from error
    if (recipe is None) == (resume is None):
        raise ConfigError("train needs either a recipe or a run to resume", got={"recipe": recipe, "resume": resume})
    if resume is not None:
        run = resume if isinstance(resume, Run) else open_run(resume)
        stored = run.loaded()
        loaded = stored.changed(overrides or {})
        _refuse_another(stored, loaded)
    else:
        loaded = recipe if isinstance(recipe, LoadedRecipe) else load_recipe(recipe)  # type: ignore[arg-type]
        loaded = loaded.changed(overrides or {})
        # Other processes learn where the run is when training is over; they write nothing.
        run = create_run(loaded, folder) if is_first_process() else Run(Path("runs"))
    with _quiet(), _threads(loaded.recipe.training.threads):
        return _fit(loaded, run, resumed=resume is not None, console=console)


def _refuse_another(stored: LoadedRecipe, loaded: LoadedRecipe) -> None:
    """Raise if a resumed run would go on with another model, data or optimisation than it began with."""
    allowed = {f"training.{name}" for name in _MAY_CHANGE}
    old, new = _flat(stored.to_dict()), _flat(loaded.to_dict())
    changed = [key for key in old | new if key not in allowed and old.get(key) != new.get(key)]
    if changed:
        raise ConfigError(
            f"a resumed run keeps {', '.join(f'`{key}`' for key in changed)}",
            got={key: new.get(key) for key in changed},
            expected={key: old.get(key) for key in changed},
            fix=f"start a new run, or change only training.{{{', '.join(_MAY_CHANGE)}}}",
        )


def _flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, by dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _fit(loaded: LoadedRecipe, run: Run, *, resumed: bool, console: "Console | None") -> Run:
    from intertwine.training.sampling import generator, isolated_randomness

    recipe, system = loaded.recipe, loaded.system
    settings: TrainingSettings = recipe.training
    with isolated_randomness(recipe.seed, "initial"):
        try:
            data = system.load("data")(recipe)
            data.prepare_data()
            data.setup("fit")
            module = system.load("module")(recipe, data, rng=generator(recipe.seed, "model"))
        except BaseException:
            if not resumed and is_first_process():
                shutil.rmtree(run.folder)  # nothing was trained: the corrected command may use the same folder
            raise
        if settings.precision == "64":
            module.double()
        trainer = _trainer(settings, run, recipe.seed, console)
        if resumed and trainer.is_global_zero:
            write_recipe(loaded, run.folder)
        with _interruptible(run):
            trainer.fit(module, data, ckpt_path=str(run.last) if resumed and _has_checkpoint(run) else None)
        if trainer.is_global_zero:
            _export(module, run)
        trainer.strategy.barrier()
        return Run(Path(trainer.strategy.broadcast(str(run.folder))))


def _trainer(settings: TrainingSettings, run: Run, seed: int, console: "Console | None") -> "Trainer":
    from lightning import Trainer
    from lightning.pytorch.callbacks import EarlyStopping

    from intertwine.training.callbacks import EpochSeeds, FiniteNumbers, MetricsFile
    from intertwine.training.clock import Clock
    from intertwine.training.ema import WeightAverage
    from intertwine.training.progress import TrainingProgress
    from intertwine.training.saving import BestAndLast, FolderCheckpointIO
    from intertwine.training.schedule import Schedule
    from intertwine.training.strategy import ExplicitGradientStrategy

    clock = Clock(settings.max_minutes)
    callbacks: list[Any] = [clock, EpochSeeds(seed), Schedule(settings, clock), FiniteNumbers(run)]
    if settings.ema is not None:
        callbacks.append(WeightAverage(settings.ema))
    if settings.patience is not None:
        callbacks.append(EarlyStopping(settings.monitor, patience=settings.patience, check_on_train_epoch_end=False))
    callbacks += [MetricsFile(run, clock), BestAndLast(run, settings.monitor)]
    if console is not None:
        callbacks.append(TrainingProgress(console, clock, settings.epochs))
    return Trainer(
        accelerator="gpu" if settings.accelerator == "cuda" else settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy=ExplicitGradientStrategy() if settings.devices * settings.nodes > 1 else "auto",
        precision="bf16-mixed" if settings.precision == "bf16-mixed" else "32-true",
        max_epochs=settings.epochs,
        check_val_every_n_epoch=settings.validate_every,
        gradient_clip_val=settings.gradient_clip,
        callbacks=callbacks,
        plugins=[FolderCheckpointIO()],
        default_root_dir=run.folder,
        logger=False,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
        use_distributed_sampler=False,
    )


def _export(module: "TrainingModule", run: Run) -> None:
    """Save the best weights, or their average where one is kept, as a model that needs no training code."""
    from intertwine.training.atomic import recover
    from intertwine.training.checkpoint import load_checkpoint

    recover(run.best)
    checkpoint = load_checkpoint(run.best if run.best.exists() else run.last)
    weights = checkpoint["callbacks"].get("WeightAverage", {}).get("weights")
    if weights is None:
        states = checkpoint["state_dict"].items()
        weights = {k.removeprefix("model."): v for k, v in states if k.startswith("model.")}
    module.model.load_state_dict(weights)
    module.model.save_pretrained(run.model_folder)  # type: ignore[operator]


def _has_checkpoint(run: Run) -> bool:
    from intertwine.training.atomic import recover

    if run.last.parent.exists():
        recover(run.last)
    return run.last.exists()


def is_first_process() -> bool:
    """Return whether this process writes and prints, from what launchers tell in the environment."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name]) == 0
    return all(int(os.environ.get(name, 0)) == 0 for name in ("LOCAL_RANK", "NODE_RANK"))


@contextlib.contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    """Turn Lightning's exit on Ctrl-C back into an interrupt that says how to go on, and undo its handler."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as exit_:
        raise KeyboardInterrupt(f"go on with `intertwine train --resume {run.folder}`") from exit_
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's notices and hints off the screen; what a user must know is an error here."""
    loggers = [logging.getLogger(name) for name in ("lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning(_fabric|_utilities)?\b.*")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
