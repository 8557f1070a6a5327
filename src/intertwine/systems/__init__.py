"""The published systems, one sub-package each; listing them imports none of their networks.

Example:
    >>> from intertwine.systems import get_system
    >>> get_system("potential").name
    'potential'
"""

from intertwine.training.registry import get_system, register_system, system_names

__all__ = ["get_system", "register_system", "system_names"]
