"""Rendered frames for the face detector: people anywhere in the picture, near and far, and empty scenes."""

from __future__ import annotations

import numpy as np
import torch

from ..synthetic import TRAIN_SEEDS, render, sample_motion, sample_person, sample_scene
from ..synthetic.render import HEAD_UNITS_PER_FRAME
from .data import DETECTION_SIZE, DetectionSet, boxes_about
from .fitting import Watch

EMPTY = 0.06
_OUT_OF_SIGHT = 12.0  # head units; a frame shows 3 to 7
_AT_ONCE = 24


def render_detection_set(count: int, first_person: int, watch: Watch = Watch()) -> DetectionSet:
    """One frame of each of the training people `first_person`, +1, ...; the same in every run.

    Faces are shown 0.6 to 1.35 times as large as in a rendered clip, up to a third of the frame off its middle.
    """
    frames, landmarks = [], []
    for start in range(0, count, _AT_ONCE):
        seeds = [TRAIN_SEEDS[first_person + i] for i in range(start, min(start + _AT_ONCE, count))]
        views, empty = zip(*[_random_view(seed) for seed in seeds], strict=True)
        rendered = render(
            [sample_person(seed) for seed in seeds],
            [sample_motion(seed, 1) for seed in seeds],
            [sample_scene(seed, 1) for seed in seeds],
            [0] * len(seeds),
            torch.from_numpy(np.stack(views)),
            DETECTION_SIZE,
            DETECTION_SIZE,
        )
        frames.append(rendered.pictures)
        landmarks.append(np.where(np.array(empty)[:, None, None], np.nan, rendered.landmarks))
        watch.progress("render frames", start + len(seeds), count)
    return DetectionSet(np.concatenate(frames), boxes_about(np.concatenate(landmarks)).astype(np.float32))


def _random_view(seed: int) -> tuple[np.ndarray, bool]:
    """The map [2,3] from pixels to scene coordinates, and whether it looks past the person."""
    rng = np.random.default_rng([6, seed])
    empty = bool(rng.uniform() < EMPTY)
    units = HEAD_UNITS_PER_FRAME / rng.uniform(0.6, 1.35)
    scale = units / DETECTION_SIZE
    middle = rng.uniform(-1, 1, 2) * (units / 3) + np.array([_OUT_OF_SIGHT if empty else 0.0, 0.0])
    corner = middle - scale * (DETECTION_SIZE - 1) / 2
    return np.array([[scale, 0.0, corner[0]], [0.0, scale, corner[1]]]), empty
