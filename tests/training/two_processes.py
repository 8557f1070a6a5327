"""Script: trains the toy in one process and in two, with and without averaging, and writes the weights.

Argument: the folder to write to. All processes are forks of one, so that the libraries are imported once.
"""

import os
import socket
import sys
import traceback
import warnings
from pathlib import Path

import lightning
import torch
import toy_system
from safetensors.torch import save_file
from toy_system.training import make_data, make_module

from intertwine.training.callbacks import EpochSeeds
from intertwine.training.recipes import load_recipe
from intertwine.training.registry import register_system
from intertwine.training.sampling import generator
from intertwine.training.strategy import ExplicitGradientStrategy


class Broken(ExplicitGradientStrategy):
    def post_backward(self, closure_loss):
        pass


CASES = [(1, "good"), (2, "good"), (2, "broken")]


def fit(target, processes, kind):
    changes = {"training.batch_size": 12 // processes, "model.dropout": 0.0, "training.epochs": 2}
    recipe = load_recipe("toy/well").changed(changes).recipe
    data = make_data(recipe)
    data.setup("fit")
    # Each process starts from other weights: those of process 0 must be sent to all.
    rank = int(os.environ.get("LOCAL_RANK", 0))
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


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def fork(folder, processes, kind, rank, port):
    child = os.fork()
    if child:
        return child
    try:
        if processes > 1:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "LOCAL_RANK": str(rank)}
        fit(folder / f"{processes}-{kind}", processes, kind)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main(folder):
    torch.set_num_threads(1)
    register_system(toy_system.SYSTEM)
    fit(folder / "warm", 1, "good")  # imports everything
    children = []
    for processes, kind in CASES:
        port = free_port()
        children += [fork(folder, processes, kind, rank, port) for rank in range(processes)]
    return max([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children], key=abs)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
