"""Orbits with a known dictionary, and how well methods recover it."""

from gc_utils.planted.methods import METHODS, Problem
from gc_utils.planted.orbits import planted_orbits, write_store
from gc_utils.planted.recovery import cosines, recovery, reliability, summary
from gc_utils.planted.trials import grid, run_trials, trial

__all__ = [
    "METHODS",
    "Problem",
    "cosines",
    "grid",
    "planted_orbits",
    "recovery",
    "reliability",
    "run_trials",
    "summary",
    "trial",
    "write_store",
]
