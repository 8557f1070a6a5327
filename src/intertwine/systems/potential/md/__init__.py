"""Molecular dynamics with a trained potential: function, settings, and the command ``intertwine md``."""

from intertwine.systems.potential.md.command import add_arguments, main
from intertwine.systems.potential.md.settings import MDSettings
from intertwine.systems.potential.md.simulation import MDResult, run_md

__all__ = ["MDResult", "MDSettings", "add_arguments", "main", "run_md"]
