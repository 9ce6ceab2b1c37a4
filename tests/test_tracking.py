"""People followed through a clip by the overlap of boxes and by who they are."""

from __future__ import annotations

from collections.abc import Sequence
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
from dva_core.footage import face_features
from dva_core.synthetic import HELD_OUT_SEEDS, Rendered, render, sample_motion, sample_person, sample_scene
from dva_core.synthetic.render import HEAD_UNITS_PER_FRAME
from dva_core.values import FaceTrack
from dva_core.weights.bundle import load_model

from .pictures import face_landmarks

RATE = Fraction(30000, 1001)


def face(x: float, y: float = 100.0, eye_distance: float = 20.0, features: np.ndarray | None = None) -> FaceDetection:
    landmarks = face_landmarks((x, y), eye_distance)
    return FaceDetection(np.concatenate([landmarks.min(axis=0), landmarks.max(axis=0)]), 0.9, landmarks, features)


def looks(person: int, likeness: float = 0.8, frame: int = 0) -> np.ndarray:
    """Features of a person, of length 1, as alike to the person's mean as told and different in every frame."""
    rng = np.random.default_rng([person, frame])
    features = likeness * np.eye(512)[person] + np.sqrt(1 - likeness**2) * np.eye(512)[rng.integers(100, 512)]
    return features.astype(np.float32)


def seen(person: int, xs: Sequence[float], likeness: float = 0.8) -> list[FaceDetection]:
    """One person in neighbouring frames."""
    return [face(x, features=looks(person, likeness, frame)) for frame, x in enumerate(xs)]


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


def test_people_who_cross_with_one_hidden_do_not_swap():
    there, back = seen(1, np.linspace(60, 240, 19)), seen(2, np.linspace(240, 60, 19))
    frames = [[a] if 7 <= t < 12 else [a, b] for t, (a, b) in enumerate(zip(there, back, strict=True))]
    first, second = sorted(everybody(frames), key=lambda found: followed(found)[0])
    assert followed(first) == pytest.approx([60 + 10 * t for t in range(19)])
    assert np.flatnonzero(~second.valid).tolist() == [7, 8, 9, 10, 11]
    assert followed(second) == pytest.approx([240 - 10 * t for t in range(19) if not 7 <= t < 12])


def test_who_comes_back_in_another_place_is_known_by_the_looks():
    away: list[list[FaceDetection]] = [[]] * 3
    frames = [*([one] for one in seen(1, [60.0] * 6)), *away, *([one] for one in seen(1, [240.0] * 6))]
    assert followed(track(frames)) == pytest.approx([60] * 6 + [240] * 6)
    frames = [*frames[:9], *([one] for one in seen(2, [240.0] * 6))]
    assert [followed(found) for found in everybody(frames)] == [pytest.approx([60] * 6), pytest.approx([240] * 6)]


def test_who_takes_an_empty_place_is_somebody_else_when_the_looks_say_so():
    frames = [*([one] for one in seen(1, [100.0] * 6)), [], *([one] for one in seen(2, [100.0] * 6))]
    assert sorted(found.valid.tolist() for found in everybody(frames)) == sorted(
        [[True] * 6 + [False] * 7, [False] * 7 + [True] * 6]
    )


def test_twins_who_are_seen_at_once_stay_two():
    frames = [[a, b] for a, b in zip(seen(1, [60.0] * 6), seen(1, [240.0] * 6), strict=True)]
    assert [followed(found) for found in everybody(frames)] == [pytest.approx([60] * 6), pytest.approx([240] * 6)]


def test_a_face_that_is_covered_or_blurred_for_a_moment_is_still_the_same():
    frames = [[one] for one in seen(1, [100.0 + t for t in range(20)])]
    frames[8:12] = [[face(108.0 + t, features=looks(50 + t))] for t in range(4)]  # looks like nobody
    frames[0] = [face(100, features=looks(60))]
    found = everybody(frames)
    assert len(found) == 1 and found[0].valid.all()


def test_across_a_cut_nobody_is_followed():
    frames = [[one] for one in seen(1, [100.0] * 16)]
    before, after = sorted(everybody(frames, cuts=(6,)), key=lambda found: not found.valid[0])
    assert np.flatnonzero(before.valid).tolist() == list(range(6))
    assert np.flatnonzero(after.valid).tolist() == list(range(6, 16))
    assert track(frames, cuts=(6,)).valid.sum() == 10
    without_looks = [[face(100)] for _ in range(16)]
    assert len(everybody(without_looks, cuts=(6,))) == 2 and len(everybody(without_looks)) == 1


def test_rendered_people_who_cross_do_not_swap():
    model = load_model("demo")
    frames, there, back = crossing(HELD_OUT_SEEDS[122], HELD_OUT_SEEDS[123], 32)
    found = follow_faces(detect_faces(model.detector, frames, embed=face_features(model)), *frames.shape[1:3], RATE)
    for truth in (there, back):
        ends = [[np.abs(one.landmarks[t, 30] - truth[t, 30]).max() < 8 for t in (0, 1, -2, -1)] for one in found]
        assert [True] * 4 in ends


def crossing(back_person: int, front_person: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two rendered people who pass each other: frames uint8 [T,160,320,3] and the landmarks [T,68,2] of each."""
    height, width = 160, 320

    def shown(seed: int, places: np.ndarray) -> Rendered:
        scale = HEAD_UNITS_PER_FRAME / (0.8 * height)
        views = [[[scale, 0, -scale * x], [0, scale, -scale * height / 2]] for x in places]
        parts = [
            [make] * count for make in (sample_person(seed), sample_motion(seed, count), sample_scene(seed, count))
        ]
        return render(*parts, range(count), torch.tensor(views, dtype=torch.float64), height, width)

    back, front = shown(back_person, np.linspace(60, 260, count)), shown(front_person, np.linspace(260, 60, count))
    frames = np.where((front.parsing > 0)[..., None], front.pictures, back.pictures)
    return frames, back.landmarks, front.landmarks


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


def test_the_square_of_a_steadily_moving_face_does_not_lag():
    frames = [[face(40 + 5 * t)] for t in range(40)]
    centres = track(frames).quads.mean(axis=1)[:, 0]
    np.testing.assert_allclose(centres[12:-12], [40 + 5 * t for t in range(12, 28)], atol=1e-6)


def test_squares_before_a_gap_or_a_cut_are_not_pulled_to_those_after_it():
    landmarks = np.stack([face_landmarks((x, 100.0), 20.0) for x in [60.0] * 10 + [200.0] * 10])
    in_view = np.arange(20) != 9
    with_gap = landmarks_to_track(landmarks, in_view, 200, 300, RATE)
    at_cut = landmarks_to_track(landmarks, np.ones(20, bool), 200, 300, RATE, cuts=(10,))
    for found in (with_gap, at_cut):
        np.testing.assert_allclose(found.quads[found.valid], face_quads(landmarks[found.valid]))
    smeared = landmarks_to_track(landmarks, np.ones(20, bool), 200, 300, RATE)
    assert np.abs(smeared.quads - at_cut.quads).max() > 1


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


def test_faces_have_features_of_length_one_when_asked_for():
    model = load_model("demo")
    frames, there, back = crossing(HELD_OUT_SEEDS[122], HELD_OUT_SEEDS[123], 1)
    (found,) = detect_faces(model.detector, frames, embed=face_features(model))
    assert len(found) == 2 and all(one.features.shape == (512,) for one in found)
    assert [np.linalg.norm(one.features) for one in found] == pytest.approx([1, 1], abs=1e-5)
    one, other = (face_features(model)(frames[0], truth)[0] for truth in (there, back))
    likeness = np.array([[one @ each.features, other @ each.features] for each in found])
    assert likeness.max(axis=1).min() > 0.6 and likeness.min(axis=1).max() < 0.25
    assert all(each.features is None for each in detect_faces(model.detector, frames)[0])
