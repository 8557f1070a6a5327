"""Charged particles: an exact simulator, readers of files, samples, batches, and the data of a recipe."""

from intertwine.systems.segnn.data.batch import ParticleBatch, SampleSet, complete_graph
from intertwine.systems.segnn.data.files import read_samples
from intertwine.systems.segnn.data.module import ParticleData, make_data
from intertwine.systems.segnn.data.samples import Samples, fitted_time
from intertwine.systems.segnn.data.simulation import InitialStates, draw_states, simulate, simulated_samples

__all__ = [
    "InitialStates",
    "ParticleBatch",
    "ParticleData",
    "SampleSet",
    "Samples",
    "complete_graph",
    "draw_states",
    "fitted_time",
    "make_data",
    "read_samples",
    "simulate",
    "simulated_samples",
]
