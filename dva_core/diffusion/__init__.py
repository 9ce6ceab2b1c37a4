"""Deterministic diffusion over any noise estimator eps(x, t); knows nothing of faces."""

from .schedule import TRAINING_STEPS, linear_alpha_bar, spaced_timesteps
from .solvers import DEFAULT_SOLVER, DEFAULT_STEPS, SOLVERS, Solver, decode, find_solver, invert

__all__ = [
    "DEFAULT_SOLVER", "DEFAULT_STEPS", "SOLVERS", "TRAINING_STEPS", "Solver", "decode", "find_solver", "invert",
    "linear_alpha_bar", "spaced_timesteps",
]  # fmt: skip
