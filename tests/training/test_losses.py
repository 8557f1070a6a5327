from types import SimpleNamespace

import pytest
import torch

from intertwine.errors import ConfigError
from intertwine.training.losses import needed_label, weighted_sum

WEIGHTS = SimpleNamespace(energy=2.0, forces=3.0)


def test_terms_are_weighted_by_settings_and_shares_and_logged_without():
    energy, forces = torch.tensor(5.0, requires_grad=True), torch.tensor(7.0)
    total, logs = weighted_sum({"energy": energy, "forces": forces}, WEIGHTS, {"energy": 1.0, "forces": 0.5})
    assert total.item() == 2 * 5 + 3 * 0.5 * 7
    assert {name: term.item() for name, term in logs.items()} == {"energy_term": 5.0, "forces_term": 7.0}
    total.backward()
    assert float(energy.grad) == 2.0
    assert float(weighted_sum({"forces": forces}, WEIGHTS, {"energy": 1.0, "forces": 1.0})[0]) == 21.0


def test_a_label_that_has_a_weight_must_be_there():
    label = torch.zeros(2)
    assert needed_label(label, "energy", WEIGHTS) is label
    with pytest.raises(ConfigError) as caught:
        needed_label(None, "forces", WEIGHTS)
    assert caught.value.got == "loss.forces = 3.0"
    assert "data.forces_key" in caught.value.fix
