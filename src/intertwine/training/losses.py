"""Losses of several terms: a label for each, a weight for each, and their sum."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from intertwine.errors import ConfigError

__all__ = ["needed_label", "weighted_sum"]


def needed_label(label: Tensor | None, name: str, weights: Any) -> Tensor:
    """Return a label that the loss has a weight for.

    Args:
        label: of a batch, None if it has none.
        name: of the label and of its weight.
        weights: settings that have the weight as an attribute.

    Raises:
        ConfigError: if the data do not have it.
    """
    if label is None:
        raise ConfigError(
            f"the loss has a weight for {name}, and the data have none",
            got=f"loss.{name} = {getattr(weights, name)}",
            fix=f"set loss.{name} to 0, or name the label in data.{name}_key",
        )
    return label


def weighted_sum(
    terms: Mapping[str, Tensor], weights: Any, shares: Mapping[str, float]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss, and its terms without weights by the names under which they are logged.

    Args:
        terms: scalars by name, at least one.
        weights: settings that have the weight of each term as an attribute.
        shares: factor of each term, see `TrainingModule.share`.
    """
    total = torch.stack([getattr(weights, name) * shares[name] * term for name, term in terms.items()]).sum()
    return total, {f"{name}_term": term for name, term in terms.items()}
