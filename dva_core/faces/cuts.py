"""Where one shot of a film ends and the next begins."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange

# Frames are compared as pictures of this many cells a side, each the mean of this many samples a side or more, so that
# grain and small motions vanish.
CELLS, SAMPLES = 24, 6
# A cell counts in units of the deviation within its frame, so that a change of light alone is none; a frame flatter
# than this (of 0..1) has no pattern, and its noise must not become one.
LEAST_CONTRAST = 0.05
# Three frames on either side of a cut show the same; what lasts shorter is a flash or an object before the camera.
SIDE = 3
# The nearest frames across a cut are this far apart, as the root mean square (0: the same, 1.4: nothing in common),
# and this many times further than into the frames around it, which is what tells a cut from motion and fades.
# Rendered clips: 0.64 and 5.7 or more at 99 of 100 cuts between two of them, elsewhere 0.30 and 1.5 at most.
LEAST_CHANGE, LEAST_RATIO = 0.5, 3.0
# So many changes on either side are around it. Only the larger half of them counts: in animation and slowed film each
# picture is shown two or three times, and the changes between are none.
AROUND = 4


class CutFinder:
    """Finds hard cuts in frames that pass by on their way elsewhere; keeps five small pictures, and a number a frame.

    A cut is a change that is large beside those around it, as in the adaptive detector of PySceneDetect (Castellano
    2014); but each change is the smallest between any of three frames before and any of three after.
    """

    def __init__(self) -> None:
        self._recent: deque[np.ndarray] = deque(maxlen=2 * SIDE - 1)
        self._changes: list[float] = []  # into each frame

    def watching(self, frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """The same frames, uint8 [H,W,3], each looked at when it is asked for."""
        for frame in frames:
            self._look(frame)
            yield frame

    def cuts(self) -> tuple[int, ...]:
        """Those of the frames seen that begin a new shot: numbers from 0, in order, without frame 0.

        A shot is three frames long or more, but the first and the last, which may be cut short.
        """
        return tuple(frame for frame in range(1, len(self._changes)) if self._is_cut(frame))

    def _look(self, frame: np.ndarray) -> None:
        picture, number = _thumbnail(frame), len(self._changes)
        apart = {number - back: _distance(picture, earlier) for back, earlier in enumerate(reversed(self._recent), 1)}
        self._changes.append(np.inf if number else 0.0)
        # If a shot begins at `first`, this frame is one of its first three; the three before are in the shot before.
        for first in range(max(1, number - SIDE + 1), number + 1):
            nearest = min(apart[earlier] for earlier in range(max(0, first - SIDE), first))
            self._changes[first] = min(self._changes[first], nearest)
        self._recent.append(picture)

    def _is_cut(self, frame: int) -> bool:
        change = self._changes[frame]
        before, after = self._changes[max(1, frame - AROUND) : frame], self._changes[frame + 1 : frame + 1 + AROUND]
        # Where a cut goes over one blended frame it is two changes; the larger one counts, or the first of equals.
        largest = change > max(before[1 - SIDE :], default=0) and change >= max(after[: SIDE - 1], default=0)
        around = sum(sorted(before + after)[-AROUND:]) / AROUND
        return largest and change >= max(LEAST_CHANGE, LEAST_RATIO * around)


def find_cuts(frames: Iterable[np.ndarray]) -> tuple[int, ...]:
    """The frames that begin a new shot, as `CutFinder.cuts` tells them, of frames uint8 [H,W,3]."""
    finder = CutFinder()
    for _ in finder.watching(frames):
        pass
    return finder.cuts()


def shots(cuts: Iterable[int], count: int) -> list[range]:
    """The frames of each shot of a clip of `count` frames, in order; none is empty, and together they are all."""
    edges = sorted({0, count, *(cut for cut in cuts if 0 < cut < count)})
    return [range(first, last) for first, last in pairwise(edges)]


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    """A frame uint8 [H,W,3] as float32 [3,CELLS,CELLS] of mean 0 and, unless it is flat, deviation 1."""
    step = max(1, min(frame.shape[:2]) // (CELLS * SAMPLES))
    samples = torch.from_numpy(np.ascontiguousarray(frame[::step, ::step]))
    cells = F.adaptive_avg_pool2d(rearrange(samples, "h w c -> c h w").float() / 255, CELLS).numpy()
    return (cells - cells.mean()) / max(float(cells.std()), LEAST_CONTRAST)


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2)))
