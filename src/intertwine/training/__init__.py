"""Recipes, runs, checkpoints and the trainer: what all systems share.

Names load when they are first used, so that reading a recipe imports neither torch nor Lightning.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "EpochSampler": "sampling",
    "Pretrained": "pretrained",
    "RecipeInfo": "system",
    "Run": "run",
    "System": "system",
    "TrainingModule": "module",
    "TrainingSettings": "settings",
    "Verb": "system",
    "check_fields": "settings",
    "field_docs": "schema",
    "find_data": "datasets",
    "generator": "sampling",
    "get_system": "registry",
    "json_schema": "schema",
    "load_checkpoint": "checkpoint",
    "load_model": "inference",
    "load_pretrained": "pretrained",
    "load_recipe": "recipes",
    "open_run": "run",
    "recipe_from_dict": "recipes",
    "recipe_to_dict": "recipes",
    "register_system": "registry",
    "save_checkpoint": "checkpoint",
    "save_pretrained": "pretrained",
    "system_names": "registry",
    "train": "trainer",
}

__all__ = [
    "EpochSampler",
    "Pretrained",
    "RecipeInfo",
    "Run",
    "System",
    "TrainingModule",
    "TrainingSettings",
    "Verb",
    "check_fields",
    "field_docs",
    "find_data",
    "generator",
    "get_system",
    "json_schema",
    "load_checkpoint",
    "load_model",
    "load_pretrained",
    "load_recipe",
    "open_run",
    "recipe_from_dict",
    "recipe_to_dict",
    "register_system",
    "save_checkpoint",
    "save_pretrained",
    "system_names",
    "train",
]

if TYPE_CHECKING:
    from intertwine.training.checkpoint import load_checkpoint, save_checkpoint
    from intertwine.training.datasets import find_data
    from intertwine.training.inference import load_model
    from intertwine.training.module import TrainingModule
    from intertwine.training.pretrained import Pretrained, load_pretrained, save_pretrained
    from intertwine.training.recipes import load_recipe, recipe_from_dict, recipe_to_dict
    from intertwine.training.registry import get_system, register_system, system_names
    from intertwine.training.run import Run, open_run
    from intertwine.training.sampling import EpochSampler, generator
    from intertwine.training.schema import field_docs, json_schema
    from intertwine.training.settings import TrainingSettings, check_fields
    from intertwine.training.system import RecipeInfo, System, Verb
    from intertwine.training.trainer import train


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'intertwine.training' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"intertwine.training.{_HOME[name]}"), name)
    globals()[name] = value
    return value
