"""Frames without a face are passed on, filled or refused."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dva_core.errors import DvaError
from dva_core.faces.alignment import face_quads, smooth_quads
from dva_core.faces.gaps import fill_gaps, frame_ranges
from dva_core.faces.tracking import landmarks_to_track
from dva_core.values import FaceTrack

from .pictures import face_landmarks


def track(places: list[float | None]) -> FaceTrack:
    """A face at an x in each frame, or none."""
    landmarks = np.stack([face_landmarks((x or 0.0, 100.0), 20.0) for x in places])
    return landmarks_to_track(landmarks, np.array([x is not None for x in places]), 200, 300, Fraction(25))


def places(found: FaceTrack) -> list[float]:
    return found.landmarks[:, 36:48, 0].mean(axis=1).tolist()


GAPS = [None, None, 50.0, 60.0, None, None, None, 100.0, None]


def test_pass_leaves_the_track_as_it_is():
    given = track(GAPS)
    assert fill_gaps(given, "pass") is given


@pytest.mark.parametrize("mode", ["pass", "hold", "interpolate", "error"])
def test_without_gaps_there_is_nothing_to_do(mode):
    given = track([50.0, 51.0, 52.0])
    assert fill_gaps(given, mode) is given


def test_hold_repeats_the_last_face_and_at_the_start_the_first():
    found = fill_gaps(track(GAPS), "hold")
    assert found.valid.all()
    assert places(found) == pytest.approx([50, 50, 50, 60, 60, 60, 60, 100, 100])
    assert (found.height, found.width, found.frame_rate) == (200, 300, 25)


def test_a_held_square_rests_and_is_not_pulled_to_where_the_face_comes_back():
    given = track(GAPS)
    found = fill_gaps(given, "hold")
    np.testing.assert_allclose(found.quads[given.valid], given.quads[given.valid])
    np.testing.assert_array_equal(found.quads[4:7], found.quads[[3, 3, 3]])


def test_interpolate_goes_straight_from_side_to_side_and_holds_at_the_ends():
    found = fill_gaps(track(GAPS), "interpolate")
    assert found.valid.all()
    assert places(found) == pytest.approx([50, 50, 50, 60, 70, 80, 90, 100, 100])
    np.testing.assert_allclose(found.quads, smooth_quads(found.landmarks))


@pytest.mark.parametrize("mode", ["hold", "interpolate"])
def test_a_gap_is_not_filled_across_a_cut(mode):
    given = track([None, 50.0, 60.0, None, None, None, None])
    found = fill_gaps(given, mode, cuts=(4,))
    assert found.valid.tolist() == [True] * 4 + [False] * 3
    assert places(found)[:4] == pytest.approx([50, 50, 60, 60])
    assert np.isnan(found.quads[4:]).all()


@pytest.mark.parametrize("mode", ["hold", "interpolate"])
def test_each_shot_is_filled_from_its_own_frames(mode):
    given = track([50.0, 50.0, None, None, 200.0, 200.0, None, None])
    found = fill_gaps(given, mode, cuts=(3, 6))
    assert found.valid.tolist() == [True] * 6 + [False] * 2
    assert places(found)[:6] == pytest.approx([50, 50, 50, 200, 200, 200])
    np.testing.assert_allclose(found.quads[:6], face_quads(found.landmarks[:6]))  # nothing is smoothed across the cut


@pytest.mark.parametrize("mode", ["hold", "interpolate"])
def test_squares_are_smoothed_as_much_as_asked_for(mode):
    found = fill_gaps(track(GAPS), mode, smooth=0)
    np.testing.assert_allclose(found.quads, face_quads(found.landmarks))


def test_error_names_the_frames():
    with pytest.raises(DvaError, match=r"frames 0-1, 4-6 and 8 of 9 \(counting from 0\)"):
        fill_gaps(track(GAPS), "error")


@pytest.mark.parametrize("mode", ["hold", "interpolate"])
def test_a_clip_without_any_face_cannot_be_filled(mode):
    nothing = FaceTrack(np.zeros((3, 68, 2)), np.zeros((3, 4, 2)), np.zeros(3, bool), 200, 300, Fraction(25))
    with pytest.raises(DvaError, match="None of the 3 frames"):
        fill_gaps(nothing, mode)


@pytest.mark.parametrize(
    ("frames", "words"),
    [([], ""), ([0], "0"), ([3, 4], "3-4"), ([12, 13, 14, 40], "12-14 and 40"), ([0, 2, 3, 49], "0, 2-3 and 49")],
)
def test_ranges_in_words(frames, words):
    assert frame_ranges(np.isin(np.arange(50), frames)) == words
