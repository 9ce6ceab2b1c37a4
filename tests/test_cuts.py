"""Hard cuts are found; motion, light, flashes, grain and fades are none."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import dva_core
from dva_core import video
from dva_core.faces.cuts import CutFinder, find_cuts, shots
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip

ASSETS = Path(dva_core.__file__).parent / "assets"


@cache
def clip(person: int) -> np.ndarray:
    """Somebody talks, an object passes before every other: uint8 [20,90,120,3]."""
    return render_clip(HELD_OUT_SEEDS[person], 20, 90, 120, occluder=person % 2 == 0).frames


def panned(step: int, count: int = 40) -> np.ndarray:
    """A camera that moves over a row of rooms, each 120 pixels wide, by some pixels a frame."""
    row = np.concatenate([clip(person)[0] for person in range(6)], axis=1)
    return np.stack([row[:, step * t : step * t + 120] for t in range(min(count, (row.shape[1] - 120) // step))])


@pytest.mark.parametrize("name", ["demo.mp4", "demo_second.mp4"])
def test_the_shipped_clips_are_one_shot(name):
    assert find_cuts(video.read_frames(ASSETS / name)) == ()


def test_shipped_clips_one_after_the_other_have_a_cut_between_them():
    first, second = (list(video.read_frames(ASSETS / name)) for name in ("demo.mp4", "demo_second.mp4"))
    assert find_cuts([*first, *second, *first]) == (64, 88)


def test_every_cut_between_rendered_people_is_found_and_nothing_else():
    assert find_cuts(np.concatenate([clip(person) for person in range(6)])) == (20, 40, 60, 80, 100)


def test_short_shots_are_found_down_to_three_frames():
    assert find_cuts(np.concatenate([clip(0)[:6], clip(1)[:3], clip(2)[:6]])) == (6, 9)
    assert find_cuts(np.concatenate([clip(1)[:1], clip(2)[:9]])) == (1,)  # what is left of the shot before


@pytest.mark.parametrize("step", [3, 6, 12, 24])
def test_a_pan_is_no_cut_however_fast(step):
    assert find_cuts(panned(step)) == ()
    assert find_cuts(np.repeat(panned(step), 2, axis=0)) == ()  # film shown at half the speed


def test_a_head_that_fills_the_frame_and_shakes_is_no_cut():
    at = [(round(8 + 8 * np.sin(t)), round(8 + 8 * np.cos(1.3 * t))) for t in range(20)]
    near = np.stack([frame[25 + y : 55 + y, 35 + x : 65 + x] for frame, (y, x) in zip(clip(1), at, strict=True)])
    assert find_cuts(near) == ()


@pytest.mark.parametrize("length", [1, 2])
def test_a_flash_or_a_few_lost_frames_are_no_cut(length):
    for flash in (255, 0, clip(3)[:length]):
        frames = clip(1).copy()
        frames[9 : 9 + length] = flash
        assert find_cuts(frames) == ()


def test_a_change_of_light_is_no_cut():
    frames = clip(1).astype(np.float64)
    frames[10:] *= 0.6
    assert find_cuts(frames.astype(np.uint8)) == ()


def test_grain_neither_hides_a_cut_nor_makes_one():
    grain = np.random.default_rng(0).normal(0, 25, (40, 90, 120, 3))
    assert find_cuts((np.concatenate([clip(1), clip(3)]) + grain).clip(0, 255).astype(np.uint8)) == (20,)
    assert find_cuts((30 + 0.2 * grain).clip(0, 255).astype(np.uint8)) == ()  # nothing but grain


def test_a_fade_is_no_cut_but_one_blended_frame_hides_none():
    share = np.clip((np.arange(20) - 5) / 9, 0, 1)[:, None, None, None]
    assert find_cuts((clip(1) * (1 - share) + clip(3) * share).astype(np.uint8)) == ()
    down_and_up = np.abs(np.linspace(-1, 1, 40))[:, None, None, None]
    assert find_cuts((np.concatenate([clip(1), clip(3)]) * down_and_up).astype(np.uint8)) == ()
    blended = (clip(1)[9:10].astype(int) + clip(3)[9:10]) // 2
    assert find_cuts(np.concatenate([clip(1)[:9], blended, clip(3)[9:]]).astype(np.uint8)) in [(9,), (10,)]


def test_frames_are_looked_at_as_they_pass_by():
    finder, joined = CutFinder(), np.concatenate([clip(1), clip(2)])
    passing = finder.watching(iter(joined))
    assert finder.cuts() == ()
    assert all(np.array_equal(frame, given) for frame, given in zip(passing, joined, strict=True))
    assert finder.cuts() == (20,)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_clips_of_no_or_one_or_two_frames(count):
    assert find_cuts(clip(1)[:count]) == ()


def test_cuts_divide_a_clip_into_shots():
    assert shots((3, 7), 9) == [range(3), range(3, 7), range(7, 9)]
    assert shots((), 4) == [range(4)] and shots((0, 4, 9), 4) == [range(4)] and shots((), 0) == []
