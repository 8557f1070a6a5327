"""Script: trains the toy for a few steps in one process or in several, and writes the weights.

Arguments: the file to write, the number of processes, and ``broken`` to leave the averaging of gradients out.
"""

import sys
import warnings
from pathlib import Path

import lightning
import toy_system  # noqa: F401 (registers the system)
import torch
from safetensors.torch import save_file
from toy_system.training import make_data, make_module

from intertwine.training.callbacks import EpochSeeds
from intertwine.training.recipes import load_recipe
from intertwine.training.sampling import generator
from intertwine.training.strategy import ExplicitGradientStrategy


class Broken(ExplicitGradientStrategy):
    def post_backward(self, closure_loss):
        pass


def main(target, processes, kind):
    torch.set_num_threads(1)
    changes = {"training.batch_size": 12 // processes, "model.dropout": 0.0, "training.epochs": 2}
    recipe = load_recipe("toy/well").changed(changes).recipe
    data = make_data(recipe)
    data.setup("fit")
    # Each process starts from other weights: those of process 0 must be sent to all.
    rank = int(__import__("os").environ.get("LOCAL_RANK", 0))
    module = make_module(recipe, data, rng=generator(recipe.seed + rank, "model")).double()
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=processes,
        strategy={"good": ExplicitGradientStrategy, "broken": Broken}[kind]() if processes > 1 else "auto",
        max_epochs=recipe.training.epochs,
        gradient_clip_val=0.5,
        callbacks=[EpochSeeds(recipe.seed)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        inference_mode=False,
        use_distributed_sampler=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(module, data)
    state = {k: v.detach().clone() for k, v in module.model.state_dict().items()}
    state["validation_loss"] = trainer.callback_metrics["validation_loss"].clone()
    save_file(state, f"{target}.{trainer.global_rank}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
