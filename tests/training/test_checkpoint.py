"""Checkpoints: every type comes back, nothing runs on reading, and a full disk costs nothing."""

import errno
import json
import math
import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch

from intertwine.errors import CheckpointError
from intertwine.training import atomic, checkpoint, versions
from intertwine.training.checkpoint import load_checkpoint, save_checkpoint
from intertwine.training.codec import decode, encode


def same(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, dict):
        pairs = zip(a.items(), b.items(), strict=True)
        return len(a) == len(b) and all(same(k, m) and same(v, w) for (k, v), (m, w) in pairs)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def nested(rng):
    weights = torch.randn(4, 6, generator=rng, dtype=torch.float64)
    return {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": weights}, 1: {}},
        "view": weights.T[::2],
        "again": weights,
        "bf16": weights.bfloat16(),
        "bool": weights > 0,
        "bytes": torch.arange(5, dtype=torch.uint8),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(2, dtype=torch.int64),
        "betas": (0.9, 0.999),
        "groups": [{"params": [0, 1], "foreach": None, "fused": False}],
        "floats": [math.inf, -math.inf, math.nan, 0.1, 1e-300],
        "integers": [2**70, -1, True],
        "ordered": OrderedDict([("b", 1), ("a", weights)]),
        "keys": {(1, 2): "x", None: [()], "$": {"$": "tensor"}},
        "set": {1, 2, 3},
        "a/b": {"c": weights + 1},
        "a": {"b/c": weights + 2, "b": {"c": weights + 3}},
    }


def test_all_types_come_back_exactly(tmp_path, rng):
    content = nested(rng)
    save_checkpoint(content, tmp_path / "c")
    got = load_checkpoint(tmp_path / "c")
    assert got.keys() == content.keys()
    assert all(same(got[key], content[key]) for key in content), [
        key for key in content if not same(got[key], content[key])
    ]
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["state.json", "tensors.safetensors"]


def test_the_tree_is_json(rng):
    tree, tensors = encode(nested(rng))
    assert same(decode(json.loads(json.dumps(tree)), tensors)["keys"], nested(rng)["keys"])


@pytest.mark.parametrize("value", [object(), {"a": [lambda: 0]}, Path("x"), torch.float32, b"x"])
def test_what_would_need_code_is_refused_by_path(tmp_path, value):
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint({"outer": [value]}, tmp_path / "c")
    assert "outer/0" in caught.value.got
    assert not (tmp_path / "c").exists()


def full_disk(monkeypatch, name="tensors.safetensors", after=10):
    """Every write to a file of this name gets no further than some bytes."""
    write = Path.write_bytes

    def broken(self, data):
        if self.name == name:
            write(self, data[:after])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", broken)


def test_a_full_disk_keeps_the_previous_and_leaves_no_debris(tmp_path, monkeypatch):
    save_checkpoint({"x": torch.ones(3)}, tmp_path / "c")
    with monkeypatch.context() as patch:
        full_disk(patch)
        with pytest.raises(CheckpointError) as caught:
            save_checkpoint({"x": torch.zeros(3)}, tmp_path / "c")
    assert caught.value.code == "E601"
    assert "No space left" in caught.value.message
    assert torch.equal(load_checkpoint(tmp_path / "c")["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failures_of_flush_and_rename_keep_the_previous(tmp_path, monkeypatch, call):
    save_checkpoint({"x": torch.ones(3)}, tmp_path / "c")

    def broken(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, call, broken)
        with pytest.raises(CheckpointError):
            save_checkpoint({"x": torch.zeros(3)}, tmp_path / "c")
    assert torch.equal(load_checkpoint(tmp_path / "c")["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_death_between_the_two_renames_is_mended(tmp_path):
    save_checkpoint({"x": torch.ones(3)}, tmp_path / "c")
    os.replace(tmp_path / "c", tmp_path / ".c.old")
    (tmp_path / ".c.0badf00d.tmp").mkdir()
    assert torch.equal(load_checkpoint(tmp_path / "c")["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_damage_is_found(tmp_path, name, damage):
    save_checkpoint({"x": torch.arange(100.0)}, tmp_path / "c")
    path = tmp_path / "c" / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        middle = 8 if name == "state.json" else len(data) - 9
        data[middle] ^= 255
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path / "c")


def test_old_layouts_are_upgraded_step_by_step_or_refused(tmp_path, monkeypatch):
    save_checkpoint({"x": 1}, tmp_path / "c")
    monkeypatch.setattr(checkpoint, "FORMAT_VERSION", 3)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "c")
    assert caught.value.code == "E602"
    monkeypatch.setattr(versions, "_upgrades", {})
    versions.register_upgrade("checkpoint", 1)(lambda old: {"y": old["x"]})
    versions.register_upgrade("checkpoint", 2)(lambda old: {"z": old["y"] + 1})
    assert load_checkpoint(tmp_path / "c") == {"z": 2}


def test_newer_layouts_and_other_conventions_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT_VERSION", 2)
        save_checkpoint({"x": 1}, tmp_path / "newer")
    with pytest.raises(CheckpointError, match="newer version"):
        load_checkpoint(tmp_path / "newer")
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "convention_version", lambda: 99)
        save_checkpoint({"x": 1}, tmp_path / "other")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path / "other")
    assert caught.value.got.startswith("convention version 99")
