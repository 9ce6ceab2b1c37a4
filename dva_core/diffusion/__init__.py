"""Deterministic diffusion over any noise estimator eps(x, t); knows nothing of faces."""

from .ddim import decode, invert
from .schedule import TRAINING_STEPS, linear_alpha_bar, spaced_timesteps

__all__ = ["TRAINING_STEPS", "decode", "invert", "linear_alpha_bar", "spaced_timesteps"]
