"""Declared symmetries, and how far a module is from keeping them: errors, culprits, conservative forces."""

from intertwine.symmetry.check import CheckReport, check_factory, check_forces, check_module
from intertwine.symmetry.conservative import ConservativenessReport, conservativeness_error
from intertwine.symmetry.describe import describe_element
from intertwine.symmetry.equivariance import equivariance_error
from intertwine.symmetry.localise import LocalisationReport, ModuleFinding, localise
from intertwine.symmetry.parse import format_representation, parse_representation, parse_representations
from intertwine.symmetry.report import EquivarianceEntry, EquivarianceReport, rounding_limit
from intertwine.symmetry.symmetry import Symmetry
from intertwine.symmetry.target import Target, load_target

__all__ = [
    "CheckReport",
    "ConservativenessReport",
    "EquivarianceEntry",
    "EquivarianceReport",
    "LocalisationReport",
    "ModuleFinding",
    "Symmetry",
    "Target",
    "check_factory",
    "check_forces",
    "check_module",
    "conservativeness_error",
    "describe_element",
    "equivariance_error",
    "format_representation",
    "load_target",
    "localise",
    "parse_representation",
    "parse_representations",
    "rounding_limit",
]
