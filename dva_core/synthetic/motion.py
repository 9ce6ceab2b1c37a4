"""How the person moves: smooth random trajectories of pose and expression."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Motion:
    """Pose and expression per frame, every field float32 [T]. Angles in radians, the rest in 0..1 or -1..1.

    yaw > 0 turns the face to the right of the picture, pitch > 0 lowers it, roll > 0 tilts it clockwise.
    """

    yaw: np.ndarray
    pitch: np.ndarray
    roll: np.ndarray
    blink: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    mouth_open: np.ndarray
    smile: np.ndarray
    brow_raise: np.ndarray


def sample_motion(seed: int, frames: int, frame_rate: float = 25.0) -> Motion:
    """Draws the motion of a clip. Frame t is the same whatever the number of frames asked for."""
    rng = np.random.default_rng([2, seed])
    seconds = np.arange(frames) / frame_rate

    def wander(center: float, spread: float) -> np.ndarray:
        return center + spread * _wander(rng, seconds)

    yaw = wander(rng.normal(0, 0.11), 0.16)
    pitch = wander(rng.normal(0, 0.06), 0.10)
    roll = wander(rng.normal(0, 0.04), 0.07)
    speech = np.clip(wander(rng.uniform(-0.2, 0.6), 0.5), 0, 1) * np.clip(0.5 + _wander(rng, seconds * 4), 0, 1)
    return Motion(
        yaw=_float(np.clip(yaw, -0.6, 0.6)),
        pitch=_float(np.clip(pitch, -0.32, 0.32)),
        roll=_float(roll),
        blink=_float(_blinks(rng, seconds)),
        gaze_x=_float(np.clip(wander(0, 0.5), -1, 1)),
        gaze_y=_float(np.clip(wander(0, 0.4), -1, 1)),
        mouth_open=_float(np.clip(speech, 0, 1)),
        smile=_float(np.clip(wander(rng.uniform(-0.2, 0.6), 0.4), -0.4, 1)),
        brow_raise=_float(np.clip(wander(0, 0.5), -1, 1)),
    )


def _wander(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """A smooth random function of time with unit variance: a few slow sines."""
    frequency = rng.uniform(0.1, 0.9, 5)
    phase = rng.uniform(0, 2 * np.pi, 5)
    weight = rng.normal(0, 1, 5) / np.sqrt(frequency)
    weight /= np.sqrt((weight**2).sum() / 2)
    return np.sin(2 * np.pi * frequency * seconds[:, None] + phase) @ weight


def _blinks(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """Eyelids: 0 open, 1 closed; a blink takes about a quarter of a second and comes every two to five seconds."""
    starts = np.cumsum(rng.uniform(1.5, 5.0, 200)) - rng.uniform(0, 3)
    closeness = np.abs(seconds[:, None] - starts) / 0.13
    return np.clip(0.08 + np.clip(1.3 - closeness, 0, 1).max(axis=1), 0, 1)


def _float(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)
