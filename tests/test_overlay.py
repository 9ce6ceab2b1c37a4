"""Followed faces drawn into their frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from dva_core.errors import DvaError
from dva_core.faces.overlay import CHOSEN, OTHER, draw_tracks
from dva_core.faces.tracking import landmarks_to_track
from dva_core.values import FaceTrack

from .pictures import face_landmarks


def person(x: float, y: float, eye_distance: float, size: int = 240, valid: tuple[bool, ...] = (True, True)):
    landmarks = np.repeat(face_landmarks((x, y), eye_distance)[None], len(valid), axis=0)
    return landmarks_to_track(landmarks, np.array(valid), size, size, Fraction(25))


def grey(count: int = 2, size: int = 240) -> np.ndarray:
    return np.full((count, size, size, 3), 100, np.uint8)


def shows(frame: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return (frame == colour).all(axis=-1)


def corner(track: FaceTrack) -> tuple[int, int]:
    """Row and column of the bottom-right corner, where no number stands."""
    x, y = track.quads[0, 2].round().astype(int)
    return int(y), int(x)


def test_every_square_is_drawn_and_the_chosen_one_has_another_colour():
    left, right = person(60, 100, 20), person(180, 100, 20)
    frames = grey()
    drawn = draw_tracks(frames, [left, right], chosen=1)
    assert drawn.shape == frames.shape and drawn.dtype == np.uint8
    for frame in drawn:
        assert shows(frame, OTHER)[corner(left)] and shows(frame, CHOSEN)[corner(right)]
    assert (frames == 100).all()


def test_only_the_chosen_one_shows_landmarks():
    left, right = person(60, 100, 20), person(180, 100, 20)
    drawn = draw_tracks(grey(), [left, right], chosen=0)[0]
    for track, colour, dots in ((left, CHOSEN, True), (right, OTHER, False)):
        x, y = track.landmarks[0, 48].round().astype(int)
        assert shows(drawn, colour)[y, x] == dots


def test_people_have_different_numbers():
    one, two = (draw_tracks(grey(), tracks, chosen=0)[0] for tracks in ([person(120, 120, 20)],
                [person(900, 120, 20), person(120, 120, 20)]))  # fmt: skip
    top, left = (int(value) for value in person(120, 120, 20).quads[0, 0, ::-1])
    label = slice(top, top + 30), slice(left, left + 30)
    assert (shows(one, CHOSEN)[label] != shows(two, OTHER)[label]).any()


def test_frames_without_the_face_stay_as_they_are():
    drawn = draw_tracks(grey(), [person(120, 120, 20, valid=(True, False))], chosen=0)
    assert (drawn[0] != 100).any() and (drawn[1] == 100).all()


def test_the_number_of_a_face_beyond_the_border_is_still_seen():
    drawn = draw_tracks(grey(), [person(20, 5, 20)], chosen=0)[0]
    assert shows(drawn[:20, :20], (0, 0, 0)).any()


def test_lines_grow_with_the_frame():
    small, large = (draw_tracks(grey(1, size), [person(size / 2, size / 2, size / 8, size, (True,))], 0)[0]
                    for size in (240, 960))  # fmt: skip
    width = [shows(frame, CHOSEN)[:, frame.shape[1] // 2 + 1][-frame.shape[0] // 4 :].sum() for frame in (small, large)]
    assert width[1] == 4 * width[0] > 0


@pytest.mark.parametrize("size", [1, 8])
def test_the_smallest_frames_can_be_drawn_into(size):
    assert draw_tracks(grey(2, size), [person(4, 4, 2.5, size)], 0).shape == (2, size, size, 3)


def test_nobody_and_no_frames():
    assert (draw_tracks(grey(), [], 0) == 100).all()
    assert draw_tracks(grey(0), [], 0).shape == (0, 240, 240, 3)


def test_tracks_of_another_clip_are_told():
    with pytest.raises(DvaError, match="face 1 has 2 frames, but 3"):
        draw_tracks(grey(3), [person(120, 120, 20)], 0)
