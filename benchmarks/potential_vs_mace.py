"""Time our MACE-type network beside mace-torch: the same weights, the same atoms, one process.

Run by `make bench`, in an environment of its own. Configurations and tasks are those of `potentials.py`; neighbours are
within 5 Å.

Our network is the converted one of mace-torch, so that both compute the same function. The row `max_difference` says
how equal they are: the largest error of an interaction energy or a force component, in parts of the largest one. Where
that is more than 1e-5 nothing is timed. The row `parameters` differs: mace-torch has linearly dependent couplings.
"""

import argparse
import shlex
import sys
import time
from pathlib import Path

import torch
from mace_peer import MaceSetting, build_model, make_graphs, make_loader
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
from torch import Tensor

from intertwine.reporting.results import ResultRow, Target
from intertwine.systems.potential.convert import from_mace

PEER = "mace-torch"
SETTING = MaceSetting(channels=64, hidden_lmax=1, max_ell=3, correlation=3, interactions=2)
EQUAL, FASTER = Target("<=", 1e-5), Target(">=", 4.0)


def build(given: Problem) -> dict[str, Contender]:
    """Return mace-torch's model, and ours with its weights."""
    graphs = make_graphs(given.frames, list(given.isolated), SETTING.cutoff, given.dtype)
    batch = next(iter(make_loader(graphs, len(graphs)))).to(given.device).to_dict()
    edges = batch["edge_index"].shape[1]
    neighbours = edges / len(given.forces)
    peer = build_model(SETTING, given.isolated, mean_neighbours=neighbours, dtype=given.dtype)
    ours = from_mace(peer).to(given.device)
    peer = peer.to(given.device)
    inputs = our_inputs(given, SETTING.cutoff)

    def predict_peer(training: bool) -> dict[str, Tensor]:
        if peer.training != training:
            peer.train(training)
        return peer(batch, training=training, compute_force=True)

    return {
        OURS: Contender(ours, predictor(ours, inputs), inputs["edge_index"].shape[1]),
        PEER: Contender(peer, predict_peer, edges),
    }


def max_difference(contenders: dict[str, Contender], given: Problem) -> float:
    """Return the largest error of ours against the peer, in parts of the largest value; energies without the atoms'."""
    ours, peer = contenders[OURS].predict(False), contenders[PEER].predict(False)
    known = contenders[OURS].model.atomic_energies  # in float32 mace-torch rounds them, which forces do not see
    isolated = [sum(known[number] for number in frame.numbers.tolist()) for frame in given.frames]
    interaction = ours["energy"].cpu() - torch.tensor(isolated, dtype=torch.float64)
    pairs = [(interaction, peer["interaction_energy"].detach().cpu()), (ours["forces"], peer["forces"].detach())]
    return max(float((a.double() - b.double()).abs().max() / b.abs().max()) for a, b in pairs)


def compare(options: argparse.Namespace) -> list[ResultRow]:
    """Build the networks, check that they are equal, and measure both tasks in each dtype."""
    rows = []
    for name in options.dtype:
        given = read_problem(DTYPES[name], options.device)
        both = build(given)
        if both[OURS].edges != both[PEER].edges:
            raise SystemExit(f"the networks see different edges: {both[OURS].edges} and {both[PEER].edges}")
        difference = max_difference(both, given)
        if not EQUAL.accepts(difference):
            raise SystemExit(
                f"{given.case}: outputs differ by {difference:.2g}, more than {EQUAL.value:g} of the largest"
            )
        rows.append(ResultRow(given.case, "max_difference", difference, "", target=EQUAL))
        contenders = {who: both[who] for who in options.only}
        rows += measure_tasks(given.case, contenders, given.forces, options, target=FASTER)
    return rows


def main() -> None:
    """Measure, print, and write the results file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[OURS, PEER], default=[OURS, PEER], help="what to time")
    parser.add_argument("--dtype", nargs="+", choices=list(DTYPES), default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=50, help="rounds that count")
    parser.add_argument("--warmup", type=int, default=10, help="rounds before them")
    parser.add_argument("--threads", type=int, help="CPU threads of torch (default: its own choice)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--output", type=Path, default=CHECKOUT / "results" / "bench-potential.json")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    start = time.perf_counter()
    rows = compare(options)
    command = shlex.join(["python", "benchmarks/potential_vs_mace.py", *sys.argv[1:]])
    write(rows, command, time.perf_counter() - start, (PEER,), options.output)


if __name__ == "__main__":
    main()
