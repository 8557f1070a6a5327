"""Script: makes runs that die, each in a fork of one process, so that the libraries are imported once.

Arguments: a folder, and one word per run, ``name:EPOCH,BATCH/EPOCH,BATCH/-`` with the places at which its parts die.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

import torch
import toy_system

from intertwine.training.recipes import load_recipe
from intertwine.training.registry import register_system
from intertwine.training.trainer import train


def part(folder, place):
    os.environ["TOY_KILL"] = place
    if folder.exists():
        train(resume=folder)
    else:
        train(load_recipe("toy/well", "cpu"), folder, overrides={"training.threads": 1})


def main(root, *words):
    torch.set_num_threads(1)
    register_system(toy_system.SYSTEM)
    train(load_recipe("toy/well", "smoke"), Path(root) / "warm")  # imports everything
    for word in words:
        name, _, places = word.partition(":")
        for place in places.split("/"):
            child = os.fork()
            if child == 0:
                try:
                    part(Path(root) / name, place)
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                    os._exit(1)
            _, status = os.waitpid(child, 0)
            expected = 0 if place == "-" else -signal.SIGKILL
            if os.waitstatus_to_exitcode(status) != expected:
                sys.exit(f"{word}: status {status} at {place}")


if __name__ == "__main__":
    main(*sys.argv[1:])
