"""The restricted reader of pickles where arrays may hold objects; that of graphs has more tests."""

import os
import pickle

import numpy as np
import pytest

from intertwine.errors import DataError
from intertwine.training.pickles import unpickle

PROTOCOLS = [2, 3, 4, 5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_of_objects_where_asked_for(protocol):
    held = np.array([{"a": np.arange(3.0)}, [1, "two"], None], dtype=object).reshape(3, 1)
    content = pickle.dumps(held, protocol=protocol)
    found = unpickle(content, "here", objects=True)
    assert found.shape == (3, 1)
    assert found[0, 0]["a"].tolist() == [0.0, 1.0, 2.0]
    assert found[1, 0] == [1, "two"]
    assert found[2, 0] is None
    with pytest.raises(DataError, match="damaged") as caught:
        unpickle(content, "here")
    assert "numbers" in caught.value.got


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_are_never_taken_for_objects(protocol):
    """A forged type of objects would take the eight bytes of a number for a pointer, and end the process."""
    content = pickle.dumps(np.array([1.0]), protocol=protocol)
    assert unpickle(content, "here", objects=True).tolist() == [1.0]
    with pytest.raises(DataError, match="damaged"):
        unpickle(content.replace(b"f8", b"O8"), "here", objects=True)


class Runs:
    """Pickles into a command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_runs_inside_an_array_of_objects_is_refused(tmp_path, protocol):
    trace = tmp_path / "trace"
    content = pickle.dumps(np.array([Runs(f"touch {trace}")], dtype=object), protocol=protocol)
    with pytest.raises(DataError, match="nothing of it was run") as caught:
        unpickle(content, "here", objects=True, what="a mapping of poses")
    assert caught.value.expected == "a mapping of poses"
    assert not trace.exists()
    pickle.loads(content)
    assert trace.exists(), "an ordinary reader runs it"


def test_classes_that_are_not_named_are_refused():
    content = pickle.dumps(ValueError("no"))
    with pytest.raises(DataError, match="ValueError"):
        unpickle(content, "here")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_cut_is_refused(protocol):
    content = pickle.dumps({"cam": [np.eye(4)] * 2, 1: [np.eye(4)] * 2}, protocol=protocol)
    for end in range(0, len(content) - 1, 5):
        with pytest.raises(DataError):
            unpickle(content[:end], "here", objects=True)
