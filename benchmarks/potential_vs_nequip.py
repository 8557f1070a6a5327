"""Time our NequIP-type network beside nequip: equal hyperparameters, the same atoms, one process.

Run by `make bench`, in the environment of e3nn 0.6. Configurations and tasks are those of `potentials.py`, with
neighbours within 5 Å. Both networks have features of both parities, the same radial functions, gates, self-connections
and readout. Their weights differ and are not converted, so that outputs are not compared; what is compared is that both
see the same edges, and the row `parameters`. It differs: nequip's first layer convolves one channel an element where
ours convolves all, which favours nequip.

`--compile` adds nequip with its compile mode, which takes minutes to compile for each dtype and task.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from nequip_peer import NequipSetting, build_model, make_batch, prepare
from potentials import (
    CHECKOUT,
    DTYPES,
    OURS,
    Contender,
    Problem,
    measure_tasks,
    our_inputs,
    predictor,
    read_problem,
    write,
)
from torch import Tensor, nn

from intertwine.reporting.results import ResultRow
from intertwine.systems.potential.model import Potential
from intertwine.systems.potential.settings import ModelSettings
from intertwine.training.memory import keep_freed_memory

PEER, COMPILED = "nequip", "nequip_compiled"
SETTING = NequipSetting()


def our_settings(setting: NequipSetting) -> ModelSettings:
    """Return the settings of our network with the sizes of nequip's."""
    return ModelSettings(
        architecture="nequip",
        cutoff=setting.cutoff,
        layers=setting.layers,
        channels=setting.channels,
        hidden_lmax=setting.lmax,
        harmonics_lmax=setting.lmax,
        odd_parity=True,
        radial_size=setting.num_bessel,
        radial_power=setting.polynomial_cutoff,
        radial_widths=(setting.radial_width,) * setting.radial_depth,
        readout_width=setting.readout_width,
    )


def build(given: Problem, compiled: bool) -> dict[str, Contender]:
    """Return our network and nequip's."""
    inputs = our_inputs(given, SETTING.cutoff)
    edges = inputs["edge_index"].shape[1]
    neighbours = edges / len(given.forces)
    rng = torch.Generator().manual_seed(0)
    ours = Potential(our_settings(SETTING), atomic_energies=given.isolated, mean_neighbours=neighbours, rng=rng).to(
        given.device, given.dtype
    )
    batch = make_batch(given.frames, list(given.isolated), SETTING.cutoff)
    batch = {name: tensor.to(given.device) for name, tensor in batch.items()}

    def peer(compiled: bool) -> Contender:
        # a compiled model is of one mode: two of them with compilation, else twice the same
        options = {"mean_neighbours": neighbours, "dtype": given.dtype, "compiled": compiled}
        model: nn.Module = build_model(SETTING, given.isolated, **options).to(given.device)
        evaluated = build_model(SETTING, given.isolated, **options).to(given.device) if compiled else model

        def predict(training: bool) -> dict[str, Tensor]:
            chosen = model if training else evaluated
            if chosen.training != training:
                chosen.train(training)
            return chosen(batch.copy())

        return Contender(model, predict, batch["edge_index"].shape[1])

    contenders = {OURS: Contender(ours, predictor(ours, inputs), edges), PEER: peer(False)}
    return contenders | {COMPILED: peer(True)} if compiled else contenders


def compare(options: argparse.Namespace) -> list[ResultRow]:
    """Build the networks and measure both tasks in each dtype."""
    rows = []
    for name in options.dtype:
        given = read_problem(DTYPES[name], options.device)
        contenders = build(given, options.compile)
        edges = {who: contender.edges for who, contender in contenders.items()}
        if len(set(edges.values())) != 1:
            raise SystemExit(f"the networks see different edges: {edges}")
        rows += measure_tasks(given.case, contenders, given.forces, options, metric="speed_ratio_to_{}")
    return rows


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--compile", action="store_true", help="also time nequip in its compile mode")
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=30, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=5, help="rounds before them")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-potential-nequip.json")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    prepare()
    start = time.perf_counter()
    rows = compare(options)
    command = shlex.join(["python", "benchmarks/potential_vs_nequip.py", *sys.argv[1:]])
    write(rows, command, time.perf_counter() - start, ("nequip", "e3nn"), options.output)


if __name__ == "__main__":
    main()
