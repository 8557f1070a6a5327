"""The restricted reader of pickles: what graphs need is rebuilt, everything else is refused and not run."""

import os
import pickle
import sys
from collections import OrderedDict

import numpy as np
import pytest
import torch

from intertwine.errors import DataError
from intertwine.systems.equiformer.data import unpickle_graph

PROTOCOLS = [2, 3, 4, 5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("style", ["old", "new"])
def test_graphs_of_both_layouts_become_mappings(geometric, fields_of, surface, style, protocol):
    fields = fields_of(surface())
    content = getattr(geometric, style)(protocol=protocol, **fields)
    assert "torch_geometric" not in sys.modules
    found = unpickle_graph(content, "here")
    assert {name: value for name, value in found.items() if value is not None}.keys() == fields.keys()
    for name, value in fields.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(found[name], value)
            assert found[name].dtype == value.dtype
        else:
            assert found[name] == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_views_and_numbers_come_back(protocol):
    values = {
        "float": np.linspace(0, 1, 7).reshape(7, 1),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "empty": np.zeros((0, 3)),
        "bytes": np.array([True, False]),
        "number": np.float64(2.5),
        "whole": np.int32(-3),
        "view": torch.arange(12.0).reshape(3, 4)[1:, ::2],
        "bool": torch.tensor([True, False]),
        "ordered": OrderedDict(a=1),
        "size": torch.Size([2, 3]),
        "nothing": None,
    }
    found = unpickle_graph(pickle.dumps(values, protocol=protocol), "here")
    assert found.keys() == values.keys()
    for name, value in values.items():
        if isinstance(value, np.ndarray | torch.Tensor):
            np.testing.assert_array_equal(found[name], value)
            assert found[name].dtype == value.dtype
        else:
            assert found[name] == value
            assert type(found[name]) is type(value)


class Runs:
    """Pickles into a call of anything."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, *PROTOCOLS])
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "system"),
        (eval, "eval"),
        (exec, "exec"),
        (getattr, "getattr"),
        (torch.load, "load"),
        (np.load, "load"),
        (pickle.loads, "loads"),
        (bytearray, "bytearray"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_that_runs_something_is_refused_and_nothing_runs(tmp_path, protocol, function, name):
    trace = tmp_path / "trace"
    argument = f"touch {trace}" if function is os.system else f"open({str(trace)!r}, 'w')"
    content = pickle.dumps({"pos": Runs(function, argument)}, protocol=protocol)
    with pytest.raises(DataError) as caught:
        unpickle_graph(content, "graph 7 of a file")
    assert name in caught.value.got
    assert "graph 7 of a file" in caught.value.message
    assert "run" in str(caught.value)
    assert not trace.exists()


def test_the_trap_does_run_in_an_ordinary_reader(tmp_path):
    trace = tmp_path / "trace"
    pickle.loads(pickle.dumps(Runs(os.system, f"touch {trace}")))
    assert trace.exists(), "the test above would prove nothing"


def test_a_storage_that_hides_a_program_is_refused(tmp_path):
    """Tensors carry their bytes in a file inside the file; that one is read without running anything either."""
    trace = tmp_path / "trace"
    inner = pickle.dumps(torch.serialization.MAGIC_NUMBER, 2) + pickle.dumps(torch.serialization.PROTOCOL_VERSION, 2)
    inner += pickle.dumps({"little_endian": True}, 2) + pickle.dumps(Runs(os.system, f"touch {trace}"), 2)
    with pytest.raises(DataError):
        unpickle_graph(pickle.dumps(Runs(torch.storage._load_from_bytes, inner)), "here")
    assert not trace.exists()
    with pytest.raises(Exception, match=r"."):  # the trap is one: torch itself would run it
        torch.storage._load_from_bytes(inner)
    assert trace.exists()


@pytest.mark.parametrize(
    "name",
    [b"torch_geometric.data.data\nData", b"torch._utils\n_rebuild_tensor_v2", b"numpy\ndtype", b"torch\nSize"],
)
def test_a_pickle_cannot_change_what_a_name_stands_for(geometric, fields_of, surface, name):
    """``BUILD`` with slots sets attributes of what is on the stack: here, of what stands for the name itself."""
    with pytest.raises(DataError):
        unpickle_graph(b"c" + name + b"\n(N}S'__setstate__'\nctorch\nSize\nstb.", "here")
    with pytest.raises(DataError):
        unpickle_graph(b"c" + name + b"\n}S'mark'\nI1\nsb.", "here")
    assert unpickle_graph(geometric.old(**fields_of(surface())), "here")["sid"] == 17


@pytest.mark.parametrize(
    "state",
    [b"(I1\nI2\nt", b"I3\n", b"]"],
    ids=["tuple", "number", "list"],
)
def test_a_graph_whose_state_is_no_mapping_is_refused(state):
    with pytest.raises(DataError):
        unpickle_graph(b"\x80\x02ctorch_geometric.data.data\nData\n)\x81" + state + b"b.", "here")


def test_every_cut_of_a_pickle_is_refused(geometric, fields_of, surface):
    content = geometric.new(**fields_of(surface()))
    assert unpickle_graph(content, "here")
    for end in range(0, len(content) - 1, max(1, len(content) // 200)):
        with pytest.raises(DataError):
            unpickle_graph(content[:end], "here")


def test_flipped_bytes_give_an_answer_or_a_data_error(geometric, fields_of, surface):
    content = bytearray(geometric.old(**fields_of(surface())))
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        try:
            unpickle_graph(bytes(damaged), "here")
        except DataError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["O8", "V8", "S8", "M8"])
def test_arrays_of_anything_but_numbers_are_refused(protocol, kind):
    """A forged type of objects would take the eight bytes of a number for a pointer, and end the process."""
    content = pickle.dumps(np.array([1.0]), protocol=protocol)
    assert unpickle_graph(content, "here") == [1.0]
    with pytest.raises(DataError) as caught:
        unpickle_graph(content.replace(b"f8", kind.encode()), "here")
    assert "numbers" in caught.value.got


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2,), (9,)), (-1, (2,), (1,)), (2, (2,), (-1,)), (0, (2, 2), (1,))],
)
def test_tensors_that_reach_beyond_their_storage_are_refused(offset, size, stride):
    class Reaching:
        def __init__(self, *arguments):
            self.arguments = arguments

        def __reduce__(self):
            storage = torch.arange(4.0)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (storage, *self.arguments, False, OrderedDict())

    assert unpickle_graph(pickle.dumps(Reaching(1, (3,), (1,))), "here").tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(DataError):
        unpickle_graph(pickle.dumps(Reaching(offset, size, stride)), "here")
