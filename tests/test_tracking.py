"""People followed through a clip by the overlap of boxes."""

from __future__ import annotations

from fractions import Fraction
from itertools import chain

import numpy as np
import pytest
import torch

from dva_core.encoders import FaceDetectorNet, LandmarkNet, TwoPassDetector
from dva_core.errors import DvaError
from dva_core.faces.alignment import face_quads, smooth_quads
from dva_core.faces.detection import FaceDetection, detect_faces
from dva_core.faces.tracking import follow_faces, landmarks_to_track, track_face
from dva_core.values import FaceTrack

from .pictures import face_landmarks

RATE = Fraction(30000, 1001)


def face(x: float, y: float = 100.0, eye_distance: float = 20.0) -> FaceDetection:
    landmarks = face_landmarks((x, y), eye_distance)
    return FaceDetection(np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)]), 0.9, landmarks)


def track(detections: list[list[FaceDetection]], **options) -> FaceTrack:
    return track_face(detections, 200, 300, RATE, **options)


def everybody(detections: list[list[FaceDetection]], **options) -> list[FaceTrack]:
    return follow_faces(detections, 200, 300, RATE, **options)


def followed(found: FaceTrack) -> list[float]:
    """The x of the face in each valid frame, by the middle of its eyes."""
    return found.landmarks[found.valid][:, 36:48, 0].mean(axis=1).tolist()


def test_a_moving_face_is_followed():
    found = track([[face(50 + 5 * t)] for t in range(10)])
    assert found.valid.all()
    assert followed(found) == pytest.approx([50 + 5 * t for t in range(10)])
    assert (found.height, found.width, found.frame_rate) == (200, 300, RATE)


def test_detections_may_come_in_any_order_and_people_may_pass_each_other():
    near = [face(40 + 10 * t, y=100, eye_distance=20) for t in range(20)]
    far = [face(230 - 10 * t, y=60, eye_distance=12) for t in range(20)]
    found = track([[a, b] if t % 3 else [b, a] for t, (a, b) in enumerate(zip(near, far, strict=True))])
    assert followed(found) == pytest.approx([40 + 10 * t for t in range(20)])


def test_the_person_is_chosen():
    frames = [[face(60, eye_distance=15), face(150, eye_distance=25), face(250, eye_distance=10)]] * 4
    assert followed(track(frames)) == pytest.approx([150] * 4)
    assert followed(track(frames, which="leftmost")) == pytest.approx([60] * 4)
    assert followed(track(frames, which="rightmost")) == pytest.approx([250] * 4)


def test_a_large_face_for_a_moment_does_not_win_over_the_one_who_stays():
    frames = [[face(60, eye_distance=15)] for _ in range(20)]
    frames[5] = [*frames[5], face(200, eye_distance=30)]
    assert followed(track(frames)) == pytest.approx([60] * 20)


def test_frames_without_the_face_are_invalid_and_it_is_found_again():
    frames = [[face(100 + t)] for t in range(20)]
    frames[7:11] = [[], [], [face(260)], []]  # hidden; meanwhile somebody else
    found = track(frames)
    assert np.flatnonzero(~found.valid).tolist() == [7, 8, 9, 10]
    assert np.isnan(found.landmarks[7:11]).all() and np.isnan(found.quads[7:11]).all()
    assert np.isfinite(found.quads[found.valid]).all()


def test_a_face_that_moved_while_hidden_is_still_the_same():
    frames = [[face(50)]] * 3 + [[]] * 8 + [[face(50 + 40)]] * 3  # the box is 40 wide
    assert track(frames).valid.sum() == 6
    frames = [[face(50)]] * 3 + [[face(50 + 40)]] * 4  # but not in an instant
    assert track(frames).valid.sum() == 4


def test_everybody_is_found_from_left_to_right():
    frames = [[face(250, eye_distance=10), face(60 + t, eye_distance=15), face(150, eye_distance=25)] for t in range(6)]
    frames[2].pop()
    tracks = everybody(frames)
    assert [np.mean(followed(found)) for found in tracks] == pytest.approx([62.5, 150, 250])
    assert [found.valid.sum() for found in tracks] == [6, 5, 6]


def test_who_is_seen_for_a_moment_only_is_left_out():
    frames = [[face(60)] for _ in range(60)]
    frames[20:22] = [[*faces, face(250)] for faces in frames[20:22]]  # 2 of 60 frames
    assert len(everybody(frames)) == 1
    frames[22].append(face(250))
    assert len(everybody(frames)) == 2
    assert len(everybody(frames[15:25])) == 2 and len(everybody(frames[20:21])) == 2  # much of a short clip


def test_a_moment_counts_when_nobody_is_seen_longer():
    frames: list[list[FaceDetection]] = [[] for _ in range(60)]
    frames[7], frames[40] = [face(200)], [face(90)]
    assert [followed(found) for found in everybody(frames)] == [pytest.approx([90]), pytest.approx([200])]


def test_faces_of_a_few_pixels_are_not_looked_at():
    small = 1.9  # the square is four eye distances wide
    tracks = everybody([[face(60, eye_distance=small), face(200, eye_distance=2.1)]] * 4)
    assert [followed(found) for found in tracks] == [pytest.approx([200] * 4)]
    with pytest.raises(DvaError, match="No face was found"):
        everybody([[face(60, eye_distance=small)]] * 4)


def test_known_landmarks_become_a_track_and_useless_ones_invalid_frames():
    landmarks = np.stack([face_landmarks((100.0 + t, 80.0), 20.0) for t in range(6)])
    given = np.array([True, True, False, True, True, True])
    landmarks[3] = np.nan
    landmarks[4] = 50.0  # all in one point
    found = landmarks_to_track(landmarks.astype(np.float32), given, 200, 300, RATE)
    assert found.valid.tolist() == [True, True, False, False, False, True]
    np.testing.assert_array_equal(found.landmarks[found.valid], landmarks[found.valid])
    assert np.isnan(found.landmarks[~found.valid]).all()
    np.testing.assert_array_equal(found.quads, smooth_quads(found.landmarks, found.valid))
    with pytest.raises(DvaError, match="None of the 6 frames"):
        landmarks_to_track(landmarks, np.zeros(6, bool), 200, 300, RATE)


def test_quads_are_smoothed_unless_told_not_to():
    rng = np.random.default_rng(0)
    frames = [[face(100 + rng.normal(0, 2))] for _ in range(12)]
    landmarks = np.stack([faces[0].landmarks for faces in frames])
    np.testing.assert_array_equal(track(frames).quads, smooth_quads(landmarks))
    np.testing.assert_array_equal(track(frames, smooth=0).quads, face_quads(landmarks))
    trembling = [np.diff(track(frames, smooth=amount).quads, axis=0).std() for amount in (0, 0.5, 1, 3)]
    assert trembling == sorted(trembling, reverse=True)


def test_no_face_anywhere_is_told():
    with pytest.raises(DvaError, match="No face was found in any of the 3 frames"):
        track([[], [], []])


def test_detection_finds_the_same_in_every_frame_whatever_the_batch():
    torch.manual_seed(0)
    detector = TwoPassDetector(FaceDetectorNet(widths=(4, 4, 4, 4)).eval(), LandmarkNet().eval())
    frames = np.random.default_rng(0).integers(0, 256, (2, 90, 70, 3), dtype=np.uint8)
    together = detect_faces(detector, frames)
    one_by_one = detect_faces(detector, iter(frames), batch_size=1)
    assert [len(faces) for faces in together] == [len(faces) for faces in one_by_one]
    assert len(together) == 2 and any(together)
    for a, b in zip(chain(*together), chain(*one_by_one), strict=True):
        np.testing.assert_allclose(a.landmarks, b.landmarks, atol=1e-3)
        np.testing.assert_allclose(a.box, b.box, atol=1e-3)
        assert a.landmarks.shape == (68, 2) and a.box.shape == (4,) and a.score == pytest.approx(b.score)
