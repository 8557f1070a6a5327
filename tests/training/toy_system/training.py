import os
import signal
from pathlib import Path

import torch
from lightning import LightningDataModule
from torch.utils.data import TensorDataset
from torchmetrics import MeanAbsoluteError, MetricCollection

from intertwine.training.module import TrainingModule
from intertwine.training.sampling import generator, make_loader

from .model import Well


class ToyData(LightningDataModule):
    def __init__(self, recipe):
        super().__init__()
        self.recipe = recipe

    def setup(self, stage):
        rng = generator(self.recipe.seed, "data")
        x = torch.randn(self.recipe.data.items, 3, generator=rng)
        energy, forces = x.square().sum(-1) / 2, -x.clone()
        if self.recipe.data.poison is not None:
            energy[self.recipe.data.poison] = float("nan")
        cut = len(x) * 3 // 4
        self.train_set = TensorDataset(x[:cut], energy[:cut], forces[:cut])
        self.validation_set = TensorDataset(x[cut:], energy[cut:], forces[cut:])

    def train_dataloader(self):
        training = self.recipe.training
        return make_loader(self.train_set, training.batch_size, seed=self.recipe.seed, workers=training.data_workers)

    def val_dataloader(self):
        return make_loader(self.validation_set, self.recipe.training.batch_size)


class ToyModule(TrainingModule):
    def loss(self, batch):
        x, energy, forces = batch
        out = self.model(x)
        energy_loss = (out["energy"] - energy).square().mean()
        force_loss = (out["forces"] - forces).square().mean()
        return energy_loss + force_loss, {"energy_loss": energy_loss, "force_loss": force_loss}

    def metrics(self):
        return MetricCollection({"energy_mae": MeanAbsoluteError()})

    def validation(self, batch, metrics):
        metrics.update(self.model(batch[0])["energy"], batch[1])
        return self.loss(batch)

    def on_train_batch_start(self, batch, batch_idx):
        # "EPOCH,BATCH": die there, as if the machine did.
        where = os.environ.get("TOY_KILL")
        if self.model.settings.width == 13:
            raise KeyboardInterrupt
        if where == f"{self.trainer.current_epoch},{batch_idx}":
            os.kill(os.getpid(), signal.SIGKILL)


def make_data(recipe):
    return ToyData(recipe)


def make_module(recipe, data, *, rng):
    mean = float(data.train_set.tensors[1].nan_to_num().mean())
    return ToyModule(Well(recipe.model, shift=mean, rng=rng), recipe.training)


def evaluate(run, *, device="cpu"):
    from intertwine.reporting import Evaluation, EvaluationRow

    model = run.model(device)
    with torch.no_grad():
        value = float(model(torch.zeros(1, 3, device=device))["energy"])
    return Evaluation((EvaluationRow("origin", "energy", value, "eV", 1),))


def check(run, *, trials=8, rng):
    raise NotImplementedError


def predict(run, files, *, output: Path, device="cpu"):
    output.mkdir(parents=True, exist_ok=True)
    written = []
    for file in files:
        target = output / f"{file.stem}.out"
        target.write_text(str(len(file.read_text())))
        written.append(target)
    return written


def report(run):
    from intertwine.reporting import Section

    return [Section("Toy", "Hello.")]


def reproduce(scale, *, folder, seeds, console):
    from intertwine.reporting import ResultRow

    return [ResultRow(case="well", metric="energy", value=1.0, unit="eV", seeds=list(seeds or (0,)))]


def add_arguments(parser):
    parser.add_argument("--times", type=int, default=1, help="How often.")


def wobble(args, console):
    console.print(" ".join(["wobble"] * args.times))
    return None
