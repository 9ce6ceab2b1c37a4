"""Clips of real people whose motion is known: a window that moves over photographs which libraries carry along."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import insightface
import numpy as np
import skimage.data
from PIL import Image

HEIGHT, WIDTH = 240, 256
# Eyes and corners of the mouth as the picture shows them from left to right, in pixels of the photograph, read off it.
ASTRONAUT = np.array([(203.0, 101.0), (247.0, 104.0), (205.0, 141.0), (243.0, 142.0)])
AT_THE_TABLE = np.array([(1149.0, 327.0), (1195.0, 323.0), (1155.0, 366.0), (1197.0, 364.0)])
LEAST_ZOOM, MOST_ZOOM = 1.2, 1.35


@dataclass(frozen=True, eq=False)
class PhotoClip:
    """frames: uint8 [T,H,W,3]. motions: [T,2,3] take places in the photograph to places in each frame. points: [4,2]
    (x,y) in the first frame, the eyes and the corners of the mouth."""

    frames: np.ndarray
    motions: np.ndarray
    points: np.ndarray

    def carried(self, places: np.ndarray, start: int = 0) -> np.ndarray:
        """Where places [N,2] of frame `start` are in each frame: [T,N,2]."""
        return moved(moved(places, inverse(self.motions[start])), self.motions)


@cache
def photo(name: str) -> Image.Image:
    if name == "astronaut":
        return Image.fromarray(skimage.data.astronaut())
    return Image.open(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg").convert("RGB")


@cache
def photo_clip(name: str, count: int = 8, grain: float = 2.0) -> PhotoClip:
    """The "astronaut" or somebody "at the table" before a hand-held camera.

    It sways, turns and comes nearer, and each frame is darker by a hundredth of the first one's light; `grain` is the
    deviation of the sensor's noise in levels of 255.
    """
    points, rng = (ASTRONAUT if name == "astronaut" else AT_THE_TABLE), np.random.default_rng(0)
    motions = np.stack([_motion(t / 12, points.mean(axis=0)) for t in range(count)])
    pictures = [_seen(photo(name), motion) * (1 - 0.01 * t) for t, motion in enumerate(motions)]
    noisy = np.stack(pictures) + rng.normal(0, grain, (count, HEIGHT, WIDTH, 3))
    return PhotoClip(np.rint(noisy).clip(0, 255).astype(np.uint8), motions, moved(points, motions[0]))


def moved(places: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Places [N,2] under a motion [2,3], or under each of [T,2,3]: [T,N,2]."""
    return places @ np.swapaxes(motion[..., :2], -1, -2) + motion[..., None, :, 2]


def inverse(motion: np.ndarray) -> np.ndarray:
    return np.linalg.inv(np.vstack([motion, (0, 0, 1)]))[:2]


def _motion(time: float, middle: np.ndarray) -> np.ndarray:
    """The camera at a time from 0 on; the picture is never smaller than the photograph, so that no pixel is skipped."""
    turn = np.deg2rad(5 * np.sin(2.5 * time))
    zoom = LEAST_ZOOM + (MOST_ZOOM - LEAST_ZOOM) * time
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    goal = (WIDTH / 2 + 20 + 12 * np.sin(5 * time), HEIGHT / 2 + 12 + 6 * np.sin(7 * time))
    return np.column_stack([linear, goal - linear @ middle])


def _seen(picture: Image.Image, motion: np.ndarray) -> np.ndarray:
    """The photograph through this motion, float64 [H,W,3]; Pillow counts places from the edge of the first pixel."""
    back = inverse(motion)
    back[:, 2] += 0.5 - back[:, :2].sum(axis=1) / 2
    coefficients = back.flatten().tolist()
    seen = picture.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    return np.float64(seen)
