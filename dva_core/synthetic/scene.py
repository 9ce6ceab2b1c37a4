"""What is around the person: background, clothes, light, camera, and now and then an object before the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

WAVES = 5
PANELS = 3


@dataclass(frozen=True)
class Scene:
    """Everything but the person. Fields are [T, ...] float32; what does not change is repeated over the frames.

    Positions are in head units; light is a unit vector towards the light (x right, y down, z to the camera).
    """

    background: np.ndarray  # [T,2,3] colours at the top and the bottom
    waves: np.ndarray  # [T,WAVES,4] texture: frequency x, y, phase, amplitude
    panels: np.ndarray  # [T,PANELS,8] blurred furniture: x, y, half width, half height, softness, r, g, b
    cloth: np.ndarray  # [T,2,3] colours of garment and its stripes
    cloth_style: np.ndarray  # [T,3] neckline depth, stripe frequency, stripe strength
    light: np.ndarray  # [T,3] direction
    ambient: np.ndarray  # [T]
    tint: np.ndarray  # [T,3] gain per channel
    shift: np.ndarray  # [T,2] where the head is
    zoom: np.ndarray  # [T] size of the head
    occluder: np.ndarray  # [T,8] x, y, half width, half height, angle, r, g, b; half width 0: none


def sample_scene(seed: int, frames: int, frame_rate: float = 25.0, occluder: bool = False) -> Scene:
    """Draws the surroundings of a clip. With `occluder`, an object passes before the face once."""
    rng = np.random.default_rng([3, seed])
    u = rng.uniform
    seconds = (np.arange(frames) / frame_rate)[:, None]

    def still(values: np.ndarray) -> np.ndarray:
        return np.broadcast_to(values, (frames, *np.shape(values))).astype(np.float32)

    base = u(0.12, 0.75) * (1 + 0.35 * np.cos(u(0, 6.3) + np.array([0, 2.1, 4.2])))
    background = np.stack([base * u(0.8, 1.25), base * u(0.5, 1.0)])
    direction, frequency = u(0, np.pi, WAVES), np.array([0.5, 0.9, 1.6, 2.8, 4.5]) * u(0.7, 1.3, WAVES)
    phase = u(0, 6.3, WAVES) + seconds * u(-0.6, 0.6, WAVES)
    amplitude = u(0, 1, WAVES) * np.array([0.07, 0.05, 0.04, 0.03, 0.02])
    frequency_x, frequency_y = frequency * np.cos(direction), frequency * np.sin(direction)
    waves = np.stack(np.broadcast_arrays(frequency_x, frequency_y, phase, amplitude), -1)
    ranges = (-2, 2), (-2, 1), (0.15, 0.7), (0.3, 1.2), (0.03, 0.3)
    shapes = np.stack([u(low, high, PANELS) for low, high in ranges], -1)
    colors = np.clip(base * u(0.6, 1.5, (PANELS, 1)) + u(-0.1, 0.1, (PANELS, 3)), 0.02, 0.95)
    panels = np.concatenate([shapes, colors], -1)
    drift = 0.10 * np.stack([_sway(rng, seconds), _sway(rng, seconds)], -1)[:, 0]
    angle, height = u(-1.2, 1.2), u(-0.7, 0.2)
    light = np.array([np.sin(angle), height, np.cos(angle)]) / np.sqrt(1 + height**2)
    garment = u(0.05, 0.7) * (1 + 0.6 * np.cos(u(0, 6.3) + np.array([0, 2.1, 4.2])))
    return Scene(
        background=still(np.clip(background, 0.02, 0.95)),
        waves=np.broadcast_to(waves, (frames, WAVES, 4)).astype(np.float32),
        panels=still(panels) + np.pad(drift, ((0, 0), (0, 6)))[:, None].astype(np.float32) * 0.4,
        cloth=still(np.clip(np.stack([garment, garment * u(0.4, 1.5)]), 0.02, 0.95)),
        cloth_style=still(np.array([u(0.0, 0.35), u(4, 12), u(0, 1) ** 2])),
        light=still(light),
        ambient=still(np.asarray(u(0.42, 0.62))),
        tint=still(u(0.85, 1.1) * (1 + u(-0.06, 0.06, 3))),
        shift=(u(-0.12, 0.12, 2) + drift).astype(np.float32),
        zoom=(u(0.95, 1.05) + 0.03 * _sway(rng, seconds)[:, 0]).astype(np.float32),
        occluder=_passing_object(rng, seconds[:, 0]) if occluder else np.zeros((frames, 8), np.float32),
    )


def _sway(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    frequency, phase = rng.uniform(0.05, 0.5, 3), rng.uniform(0, 6.3, 3)
    return np.sin(2 * np.pi * frequency * seconds + phase).mean(axis=-1, keepdims=True) * 1.2


def _passing_object(rng: np.random.Generator, seconds: np.ndarray) -> np.ndarray:
    """A rounded bar that crosses the picture in about a second, entering half a second after the start or later."""
    start, speed, side = rng.uniform(0.1, 0.6), rng.uniform(2.0, 4.0), rng.choice((-1, 1))
    x = side * (-2.0 + speed * (seconds - start))
    rest = np.array([rng.uniform(-0.3, 0.9), rng.uniform(0.12, 0.3), rng.uniform(0.5, 1.2), rng.uniform(-0.6, 0.6)])
    color = rng.uniform(0.05, 0.8, 3)
    return np.concatenate([x[:, None], np.tile(np.concatenate([rest, color]), (len(x), 1))], axis=1).astype(np.float32)
