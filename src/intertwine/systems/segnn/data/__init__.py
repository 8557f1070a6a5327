"""The data of a recipe; the particles themselves are those of `intertwine.particles`, offered here as well."""

from intertwine.particles import (
    InitialStates,
    ParticleBatch,
    Samples,
    SampleSet,
    complete_graph,
    draw_states,
    fitted_time,
    read_samples,
    simulate,
    simulated_samples,
)
from intertwine.systems.segnn.data.module import ParticleData, make_data

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
