"""The network: EquiformerV2 with direct forces, and where wanted a Gaunt self-interaction in each block."""

from intertwine.systems.equiformer.model.equiformer import Equiformer

__all__ = ["Equiformer"]
