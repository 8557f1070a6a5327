"""The timing protocol on calls whose time is known, derivatives that are timed, and the table with its two formats."""

import json
import time
from dataclasses import fields, replace

import pytest
import torch

from intertwine.errors import ConfigError, DataError, RepresentationError
from intertwine.products.clebsch_gordan_products import ClebschGordanDense
from intertwine.products.product import Product
from intertwine.products.survey.bench_table import COLUMNS, BenchRow, read_bench, write_bench
from intertwine.products.survey.comparison import bench_products
from intertwine.products.survey.machine import MachineLimits, measure_machine
from intertwine.products.survey.measure import DIRECTIONS, call_of, require_couplings, time_calls
from intertwine.products.survey.setting import make_setting

DOUBLE = torch.float64
PUBLISHED_SCHEMA = [
    "lmax", "setting", "product", "backend", "channels", "batch", "dtype", "device", "time_s", "flops", "bytes",
    "expressivity", "n_interactions",
]  # fmt: skip
QUICK = {"repetitions": 9, "seconds": 0.5, "batch": 20}


class Slowed(torch.nn.Module):
    """A product that takes two milliseconds more."""

    def __init__(self, product):
        super().__init__()
        self.product = product

    def forward(self, x, y):
        time.sleep(2e-3)
        return self.product(x, y)


class Nothing(Product):
    """A product that couples nothing."""

    name = "nothing"

    def forward(self, x, y):
        self.check_inputs(x, y)
        return (x[..., :1] * y[..., :1]).expand(*x.shape[:-1], self.irreps_out.dim) * 0

    def flops(self):
        return 1

    def traffic(self):
        return 1


def inputs(product, rng, dtype=DOUBLE, batch=6):
    return tuple(irreps.random(batch, rng=rng, dtype=dtype) for irreps in (product.irreps_in1, product.irreps_in2))


# --- times -----------------------------------------------------------------------------------------------


def test_two_more_milliseconds_are_seen_as_two_milliseconds(rng):
    product = ClebschGordanDense("0e + 1o", "0e + 1o").double()
    x, y = inputs(product, rng)
    slow = Slowed(product)
    timings = time_calls({"plain": call_of(product, x, y), "slow": lambda: slow(x, y)}, repetitions=40)
    difference = timings["slow"].p10 - timings["plain"].p10  # the machine may be busy, so the quiet calls count
    assert 1.95e-3 <= difference < 3e-3
    assert timings["slow"].median - timings["plain"].median >= 1.9e-3


def test_warm_up_is_thrown_away():
    """The first calls take ten times as long, as those of a compiler do; none of them may count."""
    calls = []

    def call():
        calls.append(None)
        time.sleep(5e-3 if len(calls) <= 12 else 5e-4)

    timing = time_calls({"call": call}, repetitions=15)["call"]
    assert timing.warmup_calls >= 30
    assert len(calls) == timing.warmup_calls + timing.repetitions
    assert timing.repetitions == 15
    assert timing.p90 < 4e-3


def test_warm_up_ends_when_two_medians_of_ten_agree_or_at_its_bound(monkeypatch):
    clock = iter(range(10**9))
    seconds = [0.0]

    def constant():
        seconds[0] += 1e-3

    def drifting():
        seconds[0] *= 1.05
        seconds[0] += 1e-3

    monkeypatch.setattr("intertwine.products.survey.measure.time.perf_counter", lambda: seconds[0] + 0 * next(clock))
    steady = time_calls({"a": constant}, repetitions=7)["a"]
    assert (steady.steady, steady.warmup_calls, steady.repetitions) == (True, 20, 7)
    assert steady.median == pytest.approx(1e-3)
    assert steady.p10 == pytest.approx(steady.p90)
    unsteady = time_calls({"b": drifting}, repetitions=7, warmup_calls=45, warmup_seconds=1e9, seconds=1e9)["b"]
    assert (unsteady.steady, unsteady.warmup_calls) == (False, 45)
    bounded = time_calls({"a": constant}, repetitions=50, warmup_seconds=0.0045, seconds=0.0)["a"]
    assert (bounded.steady, bounded.warmup_calls, bounded.repetitions) == (False, 5, 5)


def test_calls_take_turns():
    order = []
    time_calls({name: lambda name=name: order.append(name) for name in "abc"}, repetitions=6, warmup_calls=0)
    assert order == list("abc") * 6


def test_percentiles_are_those_of_the_repetitions(monkeypatch):
    times = iter([1, 5, 2, 4, 3, 9, 7, 8, 6, 10, 11])
    now = [0.0]
    monkeypatch.setattr("intertwine.products.survey.measure.time.perf_counter", lambda: now[0])

    def call():
        now[0] += next(times)

    timing = time_calls({"call": call}, repetitions=11, warmup_calls=0, seconds=1e9)["call"]
    assert (timing.p10, timing.median, timing.p90) == (2, 6, 10)


def test_a_measurement_without_repetitions_is_refused():
    with pytest.raises(ConfigError):
        time_calls({"call": int}, repetitions=0)


# --- what is timed ------------------------------------------------------------------------------------------


def test_derivatives_are_those_of_the_product(rng):
    product = ClebschGordanDense("0e + 1o", "1o").double()
    x, y = inputs(product, rng)
    torch.testing.assert_close(call_of(product, x, y)(), product(x, y), rtol=0, atol=0)
    assert not call_of(product, x, y)().requires_grad
    gx, gy = call_of(product, x, y, "backward")()
    assert (gx.shape, gy.shape) == (x.shape, y.shape)
    second = call_of(product, x, y, "double_backward")()
    cotangent = torch.randn(6, product.irreps_out.dim, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    # z is bilinear: the gradient by x along 1 is <g, T(1, y)>, whose gradient by y is that of <g, T(1, .)>, and so on
    a, b, g = (value.clone().requires_grad_(True) for value in (x, y, cotangent))
    total = (g * (product(torch.ones_like(a), b) + product(a, torch.ones_like(b)))).sum()
    for got, expected in zip(second, torch.autograd.grad(total, (a, b, g)), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # raised by torch's own compiler, 2.13
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_compiled_calls_give_the_same(direction, rng):
    torch.compiler.reset()
    product = ClebschGordanDense("0e + 1o", "1o").double()
    x, y = inputs(product, rng)
    eager, compiled = (call_of(product, x, y, direction, backend)() for backend in ("eager", "compiled"))
    torch.testing.assert_close(compiled, eager, rtol=1e-12, atol=1e-12)


def test_unknown_directions_and_backends_are_refused(rng):
    product = ClebschGordanDense("1o", "1o").double()
    for words in (("sideways",), ("forward", "scripted")):
        with pytest.raises(ConfigError):
            call_of(product, *inputs(product, rng), *words)


def test_what_couples_nothing_is_refused():
    with pytest.raises(RepresentationError, match="expressivity is 0") as caught:
        require_couplings(Nothing("1o", "1o", "0e"))
    assert caught.value.code == "E203"
    assert require_couplings(ClebschGordanDense("1o", "1o")) == 3


# --- rows ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    limits = MachineLimits(1e11, 1e10)
    settings = [make_setting("MIMO", 1), make_setting("SIMO", 2)]
    names = ["clebsch_gordan_sparse", "gaunt_grid"]
    return list(
        bench_products(settings, names, directions=("forward", "backward"), limits=limits, commit="abc", **QUICK)
    )


def test_rows_hold_what_was_measured(rows):
    assert [(row.setting, row.direction, row.product) for row in rows] == [
        (setting, direction, product)
        for setting in ("MIMO", "SIMO")
        for direction in ("forward", "backward")
        for product in ("clebsch_gordan_sparse", "gaunt_grid")
    ]
    first, second = rows[:2]
    assert (first.expressivity, first.n_interactions, first.flops) == (5, 5, 63)
    assert (second.expressivity, second.n_interactions, second.flops) == (5, 5, 15 * (2 * 17 + 1))
    assert (first.batch, first.channels, first.dtype, first.device, first.lmax) == (20, 1, "float32", "cpu", 1)
    assert (first.peak_flops_s, first.bandwidth_bytes_s, first.commit) == (1e11, 1e10, "abc")
    assert (first.threads, first.torch) == (torch.get_num_threads(), torch.__version__)
    for row in rows:
        assert 0 < row.p10_s <= row.time_s <= row.p90_s
        assert row.repetitions >= 5


def test_schema_is_the_published_one_and_more():
    assert list(COLUMNS[:13]) == PUBLISHED_SCHEMA
    assert {"direction", "p10_s", "p90_s", "repetitions", "clock", "threads", "torch", "commit"} <= set(COLUMNS)


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_files_give_back_the_rows(rows, suffix, tmp_path):
    path = write_bench(tmp_path / "new" / f"bench{suffix}", rows)
    assert read_bench(path) == rows
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    sparse = [replace(rows[0], p10_s=None, steady=None, peak_flops_s=None, commit="")]
    assert read_bench(write_bench(path, sparse)) == sparse
    if suffix == ".csv":
        assert path.read_text().splitlines()[0] == ",".join(COLUMNS)
    else:
        assert list(json.loads(path.read_text())[0]) == list(COLUMNS)


def test_a_table_with_the_published_columns_alone_is_read(tmp_path):
    path = tmp_path / "bench.csv"
    path.write_text(",".join(PUBLISHED_SCHEMA) + "\n2,MIMO,cgtp,eager,1,10,float32,cpu,0.5,10,20,14,14\n")
    (row,) = read_bench(path)
    assert (row.time_s, row.direction, row.p10_s) == (0.5, "forward", None)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("lmax,setting\n1,MIMO\n", "row 2, time_s"),
        (",".join(PUBLISHED_SCHEMA) + "\n2,MIMO,cgtp,eager,1,10,float32,cpu,nan,10,20,14,14\n", "row 2, time_s"),
        (",".join(PUBLISHED_SCHEMA) + "\n2.5,MIMO,cgtp,eager,1,10,float32,cpu,1,10,20,14,14\n", "row 2, lmax"),
        (",".join(PUBLISHED_SCHEMA) + "\n2,MIMO,cgtp,eager,1,10,float32,cpu,1,10,20\n", "row 2, expressivity"),
    ],
)
def test_damaged_tables_are_refused_by_their_places(text, place, tmp_path):
    path = tmp_path / "bench.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_bench(path)
    assert place in caught.value.got


@pytest.mark.parametrize(("name", "text"), [("a.json", "{"), ("a.json", "3"), ("a.txt", ""), ("no.csv", None)])
def test_files_that_are_no_tables_are_refused(name, text, tmp_path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError):
        read_bench(tmp_path / name)
    with pytest.raises(DataError):
        write_bench(tmp_path / "bench.xlsx", [])


def test_a_bench_needs_samples_and_leaves_out_what_does_not_fit(monkeypatch):
    with pytest.raises(ConfigError):
        list(bench_products([make_setting("MIMO", 1)], ["gaunt_grid"], batch=0))
    said = []
    monkeypatch.setattr("intertwine.products.survey.comparison._memory", lambda: 1e4)
    found = bench_products(
        [make_setting("MIMO", 1)], ["gaunt_grid", "gaunt_curl"], directions=("forward", "backward"),
        report=said.append, **QUICK,
    )  # fmt: skip
    assert [row.direction for row in found] == ["forward"]
    assert any("gaunt_curl: left out" in text for text in said)
    assert any("gaunt_grid, backward: left out, it would not fit" in text for text in said)


def test_the_limits_of_the_machine_are_of_the_right_size():
    limits = measure_machine(repetitions=1)
    assert 1e8 < limits.peak_flops_s < 1e15
    assert 1e8 < limits.bandwidth_bytes_s < 1e14
    assert MachineLimits(10.0, 2.0).attainable(3) == 6
    assert MachineLimits(10.0, 2.0).attainable(30) == 10
    assert {item.name for item in fields(BenchRow)} >= {"peak_flops_s", "bandwidth_bytes_s"}
