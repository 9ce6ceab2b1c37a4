"""Points followed through a clip without any detector, on any footage, and the face that moves with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import DvaError
from ..memory import one_thread
from ..progress import Cancel, Progress, Watch, never, silent
from .lucas_kanade import LEAST_SIDE, WINDOW, Windows, cut_windows, find_windows, likeness, pyramid, shrunk_places

LEAST_POINTS, LEAST_VISIBLE = 4, 3
# Points are followed in pictures so small that a window is as wide as the points lie from their middle on average: it
# then shows so much of a face that a blink or a word hardly changes it. The numbers of pixels below count there.
# A point that on the way back ends further than this from where it was is lost (Kalal et al. 2010).
RETURN_LIMIT = WINDOW / 20
# How like the first frame it still looks there (normalised cross-correlation): less than the first number, and the
# point is covered; more than the second, and it is the same spot, which ends drift and brings lost points back.
COVERED, SAME = 0.2, 0.7
# A point in sight that would have to move this far to be the same spot is not put right: that is another spot.
DRIFT_LIMIT = WINDOW / 4
# In units of the points' mean distance from their middle: who is further off the common motion than the first number
# is lost, and who is further off than the second has no more say in that motion for it (Huber 1964).
STRAY, OUTLIER = 0.25, 0.02
REWEIGHTINGS = 10
# The rows of the 68 whose mean is the eye on the left, the eye on the right and the corners of the mouth.
ANCHORS = (slice(36, 42), slice(42, 48), slice(48, 49), slice(54, 55))

# 68 points (x,y) in iBUG order with the middle of the eyes at (0,0) and their distance 1: the mean of 2000 rendered
# people of the training set who look straight ahead, aligned to each other, and of its mirror image.
MEAN_FACE = np.array([
    (-1.210, 0.076), (-1.174, 0.414), (-1.091, 0.736), (-0.967, 1.032), (-0.810, 1.290), (-0.628, 1.500),
    (-0.427, 1.657), (-0.216, 1.753), (0.000, 1.785), (0.216, 1.753), (0.427, 1.657), (0.628, 1.500),
    (0.810, 1.290), (0.967, 1.032), (1.091, 0.736), (1.174, 0.414), (1.210, 0.076), (-0.787, -0.308),
    (-0.644, -0.340), (-0.500, -0.350), (-0.356, -0.338), (-0.213, -0.303), (0.213, -0.303), (0.356, -0.338),
    (0.500, -0.350), (0.644, -0.340), (0.787, -0.308), (0.000, 0.045), (0.000, 0.255), (0.000, 0.472),
    (0.000, 0.682), (-0.180, 0.772), (-0.090, 0.808), (0.000, 0.835), (0.090, 0.808), (0.180, 0.772),
    (-0.751, 0.006), (-0.600, -0.084), (-0.400, -0.082), (-0.249, 0.011), (-0.400, 0.075), (-0.600, 0.073),
    (0.249, 0.011), (0.400, -0.082), (0.600, -0.084), (0.751, 0.006), (0.600, 0.073), (0.400, 0.075),
    (-0.395, 1.078), (-0.237, 1.023), (-0.099, 1.005), (0.000, 1.023), (0.099, 1.005), (0.237, 1.023),
    (0.395, 1.078), (0.237, 1.154), (0.099, 1.173), (0.000, 1.177), (-0.099, 1.173), (-0.237, 1.154),
    (-0.336, 1.078), (-0.119, 1.078), (0.000, 1.078), (0.119, 1.078), (0.336, 1.078), (0.119, 1.078),
    (0.000, 1.078), (-0.119, 1.078),
])  # fmt: skip


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Where N points are in each of T frames, in pixels of the frame.

    positions: float64 [T,N,2] (x,y), the centre of the top-left pixel at (0,0). visible: bool [T,N]; the position of
    a point that is not visible is a guess from those that are.
    """

    positions: np.ndarray
    visible: np.ndarray


@one_thread()
def follow_points(
    frames: Iterable[np.ndarray], points: np.ndarray, *, progress: Progress = silent, cancelled: Cancel = never
) -> PointTracks:
    """Follows points float64 [N,2] (x,y), in pixels of the first frame, through frames uint8 [H,W,3], two held at once.

    Pyramidal Lucas-Kanade (Bouguet 2001), checked by going back (Kalal et al. 2010) and by what the first frame
    showed, which also ends drift. A lost point moves along with the others until it is seen again. Raises DvaError
    when there are no frames or they differ in size, and for fewer than four points or points that are not finite,
    that coincide or that lie outside the first frame.
    """
    points = np.array(points, dtype=np.float64)
    _check_points(points)
    watch = Watch("follow points", 0, progress, cancelled)
    frames = iter(frames)
    frame = next(frames, None)
    if frame is None:
        raise DvaError("There are no frames to follow points through; give a clip with at least one.")
    shape, (height, width) = frame.shape, frame.shape[:2]
    _check_inside(points, height, width)

    shrink = max(1.0, min(_spread(_complex(points)) / WINDOW, min(height, width) / LEAST_SIDE))
    before = pyramid(frame, shrink)
    start = places = shrunk_places(torch.from_numpy(points), shrink)
    windows = cut_windows(before, start)
    seen = torch.ones(len(points), dtype=torch.bool)
    positions, visible = [points], [seen.numpy()]
    watch.tick()
    for t, frame in enumerate(frames, start=1):
        if frame.shape != shape:
            raise DvaError(
                f"Frame {t} is {frame.shape[1]} x {frame.shape[0]} pixels and the first one {width} x {height}; all "
                "frames of a clip must be of one size."
            )
        after = pyramid(frame, shrink)
        places, seen = _step(start, windows, before, after, places, seen)
        before = after
        positions.append(shrunk_places(places, 1 / shrink).numpy())
        seen = seen & torch.from_numpy(_inside(positions[-1], height, width))
        visible.append(seen.numpy())
        watch.tick()
    return PointTracks(np.stack(positions), np.stack(visible))


def landmarks_from_points(tracks: PointTracks, cuts: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
    """A face that moves as the points do: landmarks float64 [T,68,2] in iBUG order, and valid bool [T].

    The first four points are, as the picture shows them, the eye on the left, the eye on the right, the mouth's
    corner on the left and the one on the right; any others steady the motion. The mean face is bent so that it meets
    the four, and moves by the similarity (Umeyama 1991) from the first frame's points to each frame's, in which points
    that go astray count less. A frame is valid when at least three points are visible that the first frame shows too,
    and no new shot has begun (`cuts`: the frames that begin one); elsewhere landmarks are NaN. Raises DvaError for
    fewer than four points or points that coincide.
    """
    _check_points(tracks.positions[0])
    points = _complex(tracks.positions)
    face = _laid_on(points[0, :4])
    visible = tracks.visible & tracks.visible[0]
    valid = visible.sum(axis=1) >= LEAST_VISIBLE
    valid[min(cuts, default=len(valid)) :] = False
    landmarks = np.full((len(points), *MEAN_FACE.shape), np.nan)
    for t in np.flatnonzero(valid):
        turn, shift = _common_motion(points[0, visible[t]], points[t, visible[t]])
        landmarks[t] = _pairs(turn * face + shift)
    return landmarks, valid


def _laid_on(points: np.ndarray) -> np.ndarray:
    """The mean face, complex [68], with eyes and corners of the mouth at complex points [4].

    Bilinear, which has just the freedom to meet all four: the face's square depends on them alone, and by the nearest
    similarity it came out a tenth too small on smiling people.
    """

    def terms(places: np.ndarray) -> np.ndarray:
        x, y = places.T
        return np.stack([np.ones_like(x), x, y, x * y], axis=-1)

    anchors = np.stack([MEAN_FACE[rows].mean(axis=0) for rows in ANCHORS])
    return terms(MEAN_FACE) @ np.linalg.solve(terms(anchors), points)


def _step(
    start: Tensor, windows: list[Windows], before: list[Tensor], after: list[Tensor], places: Tensor, seen: Tensor
) -> tuple[Tensor, Tensor]:
    """Places one frame on, and whether they are seen. `start`, `windows`: where points began and what was there."""
    flowed = find_windows(cut_windows(before, places), after, places)
    back = find_windows(cut_windows(after, flowed), before, flowed)
    returned = (back - places).norm(dim=-1) < RETURN_LIMIT
    steady = seen & returned

    # The others take no part in the common motion, unless hardly any is left: then what is lost stays where it was.
    moved = torch.where(steady[:, None], flowed, places).numpy()
    counted = steady.numpy() if steady.sum() > 1 else np.ones(len(start), dtype=bool)
    turn, shift = _common_motion(_complex(start.numpy()[counted]), _complex(moved[counted]))
    common = turn * _complex(start.numpy()) + shift
    guess, stray = torch.from_numpy(_pairs(common)), STRAY * _spread(common)

    axes = torch.tensor([[turn.real, -turn.imag], [turn.imag, turn.real]], dtype=torch.float64)
    places = torch.where(steady[:, None], flowed, guess)
    found = find_windows(windows, after, places, axes)
    near = (found - places).norm(dim=-1) < torch.where(steady, DRIFT_LIMIT, stray)
    same = near & (likeness(windows, after, found, axes) > SAME)
    places = torch.where(same[:, None], found, places)
    uncovered = seen & (likeness(windows, after, places, axes) > COVERED)
    seen = returned & (same | uncovered) & ((places - guess).norm(dim=-1) < stray)
    return torch.where((seen | same)[:, None], places, guess), seen


def _common_motion(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """The similarity z -> turn z + shift of points, complex [N], to others of which a few may be wrong."""
    limit = OUTLIER * _spread(source)
    weights = np.ones(len(source))
    for _ in range(REWEIGHTINGS):
        turn, shift = _similarity(source, target, weights)
        weights = limit / np.maximum(np.abs(turn * source + shift - target), limit)
    return turn, shift


def _similarity(source: np.ndarray, target: np.ndarray, weights: np.ndarray) -> tuple[complex, complex]:
    """Weighted least squares: Umeyama 1991 for the plane and without reflection, where one factor turns and scales."""
    weights = weights / weights.sum()
    middle, goal = weights @ source, weights @ target
    turn = (weights * (source - middle).conj()) @ (target - goal) / (weights @ np.abs(source - middle) ** 2)
    return turn, goal - turn * middle


def _spread(points: np.ndarray) -> float:
    """The mean distance of complex points [N] from their middle."""
    return float(np.abs(points - points.mean()).mean())


def _complex(points: np.ndarray) -> np.ndarray:
    """(x,y) as x + iy."""
    return points[..., 0] + 1j * points[..., 1]


def _pairs(points: np.ndarray) -> np.ndarray:
    return np.stack([points.real, points.imag], axis=-1)


def _inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    return ((points >= -0.5) & (points <= np.array([width, height]) - 0.5)).all(axis=-1)


def _check_points(points: np.ndarray) -> None:
    if points.ndim != 2 or points.shape[1] != 2:
        raise DvaError(f"Points must be an array [N,2] of x and y, not {list(points.shape)}.")
    if len(points) < LEAST_POINTS:
        raise DvaError(
            f"There are only {len(points)} points; give at least {LEAST_POINTS}: the eye on the left, the eye on the "
            "right, and the corners of the mouth on the left and on the right."
        )
    if not np.isfinite(points).all():
        raise DvaError(f"Point {_first(~np.isfinite(points).all(axis=1))} is not a number; give x and y in pixels.")
    apart = np.abs(np.subtract.outer(_complex(points), _complex(points))) + np.eye(len(points))
    if apart.min() < 1:
        a, b = np.unravel_index(apart.argmin(), apart.shape)
        raise DvaError(f"Points {a} and {b} lie on each other; every point needs its own place.")


def _check_inside(points: np.ndarray, height: int, width: int) -> None:
    inside = _inside(points, height, width)
    if not inside.all():
        i = _first(~inside)
        raise DvaError(
            f"Point {i} at {points[i, 0]:g}, {points[i, 1]:g} lies outside the first frame, whose size is "
            f"{width} x {height}; give x and y in its pixels, from its top-left corner."
        )


def _first(wrong: np.ndarray) -> int:
    return int(np.flatnonzero(wrong)[0])
