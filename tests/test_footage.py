"""Who is where in a video file, and a track held against the frames it is given with."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dva_core import edit_video, edit_video_as_published, find_face, find_face_by_points, find_faces, load_model, video
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.errors import Cancelled
from dva_core.faces.tracking import landmarks_to_track
from dva_core.footage import FRAMES_AT_ONCE, frames_with_track, track_part
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import FaceTrack

from .pictures import face_points
from .sentences import one_sentence
from .tiny_model import tiny_model

COUNT, HEIGHT, WIDTH, RATE = 6, 96, 112, Fraction(25)


@pytest.fixture(scope="module")
def people():
    """Two people, each in a clip of their own."""
    return [render_clip(HELD_OUT_SEEDS[person], COUNT, HEIGHT, WIDTH) for person in (1, 2)]


@pytest.fixture(scope="module")
def two_shots(people, tmp_path_factory) -> Path:
    """A film that cuts from the one to the other."""
    folder = tmp_path_factory.mktemp("footage") / "pictures"
    video.write_video(folder, np.concatenate([clip.frames for clip in people]), RATE)
    return folder


@pytest.fixture(scope="module")
def demo():
    return load_model("demo")


# --- finding ---


def test_everybody_is_found_each_in_their_own_shot(demo, two_shots, people):
    tracks, cuts = find_faces(demo, two_shots)
    assert cuts == (COUNT,)
    valid = sorted((track.valid.tolist() for track in tracks), reverse=True)
    assert valid == [[True] * COUNT + [False] * COUNT, [False] * COUNT + [True] * COUNT]
    for track in tracks:
        assert (track.height, track.width, track.frame_rate) == (HEIGHT, WIDTH, RATE)
        shot, truth = track.valid, np.concatenate([clip.landmarks for clip in people])
        eyes = np.linalg.norm(face_points(truth)[:, 1] - face_points(truth)[:, 0], axis=-1).mean()
        assert np.linalg.norm(track.landmarks[shot] - truth[shot], axis=-1).mean() < 0.15 * eyes


def test_the_largest_face_is_the_one_that_is_meant(demo, two_shots):
    tracks, _ = find_faces(demo, two_shots)
    areas = [np.nansum(np.linalg.norm(track.quads[:, 1] - track.quads[:, 0], axis=-1) ** 2) for track in tracks]
    assert np.array_equal(find_face(demo, two_shots).valid, tracks[int(np.argmax(areas))].valid)


def test_points_are_followed_to_the_cut_and_no_further(two_shots, people):
    track, cuts = find_face_by_points(two_shots, face_points(people[0].landmarks[0]))
    assert cuts == (COUNT,)
    assert track.valid.tolist() == [True] * COUNT + [False] * COUNT
    assert np.isnan(track.quads[COUNT:]).all()
    alone = landmarks_to_track(track.landmarks[:COUNT], track.valid[:COUNT], HEIGHT, WIDTH, RATE)
    assert np.array_equal(track.quads[:COUNT], alone.quads)  # nothing of the other shot went into the smoothing


def test_points_are_the_pixels_of_a_film_file_too(people, tmp_path):
    video.write_video(tmp_path / "clip.mp4", people[0].frames, Fraction(24))
    points = [tuple(point) for point in face_points(people[0].landmarks[0])]
    track, _ = find_face_by_points(tmp_path / "clip.mp4", points)
    assert (track.height, track.width, track.frame_rate) == (HEIGHT, WIDTH, 24)
    assert track.valid.all()


def test_following_points_tells_its_progress_and_can_be_cancelled(two_shots, people):
    told, points = [], face_points(people[0].landmarks[0])
    find_face_by_points(two_shots, points, progress=lambda stage, done, total: told.append(done))
    assert told == list(range(1, 2 * COUNT + 1))
    with pytest.raises(Cancelled):
        find_face_by_points(two_shots, points, cancelled=lambda: True)


def test_points_that_do_not_fit_are_told(two_shots, tmp_path):
    with one_sentence("only 3 points"):
        find_face_by_points(two_shots, [(30, 40), (60, 40), (35, 70)])
    with one_sentence("Point 1 at 112, 40", "112 x 96"):
        find_face_by_points(two_shots, [(30, 40), (112, 40), (35, 70), (55, 70)])
    with one_sentence("nowhere.mp4"):
        find_face_by_points(tmp_path / "nowhere.mp4", [(30, 40), (60, 40), (35, 70), (55, 70)])


# --- a track and its video ---


@pytest.fixture(scope="module")
def track(two_shots, people) -> FaceTrack:
    return find_face_by_points(two_shots, face_points(people[0].landmarks[0]))[0]


@pytest.fixture(scope="module")
def model():
    model = tiny_model()
    model.attributes.weight.fill_(1.0)
    model.attributes.trained[CELEBA_ATTRIBUTES.index("Eyeglasses")] = True
    return model


def test_a_video_comes_in_parts_each_with_its_part_of_the_track(track, people, tmp_path):
    count = FRAMES_AT_ONCE + 3
    frames, numbers = people[0].frames[np.arange(count) % COUNT], np.arange(count) % COUNT
    video.write_video(tmp_path / "long", frames, RATE)
    parts = list(frames_with_track(tmp_path / "long", track_part(track, numbers.tolist())))
    assert [len(part) for part, _ in parts] == [len(part.valid) for _, part in parts] == [FRAMES_AT_ONCE, 3]
    longer = frames_with_track(tmp_path / "long", track_part(track, numbers.tolist()), FRAMES_AT_ONCE + 2)
    assert [len(part) for part, _ in longer] == [FRAMES_AT_ONCE + 2, 1]
    assert np.array_equal(np.concatenate([part for part, _ in parts]), frames)
    assert np.array_equal(np.concatenate([part.landmarks for _, part in parts]), track.landmarks[numbers])


def test_a_video_that_goes_on_after_the_track_is_another_one(track, people, tmp_path):
    # Even where a part of the video ends with the track.
    video.write_video(tmp_path / "long", people[0].frames[np.arange(FRAMES_AT_ONCE + 3) % COUNT], RATE)
    short = track_part(track, (np.arange(FRAMES_AT_ONCE) % COUNT).tolist())
    with one_sentence(f"{FRAMES_AT_ONCE} frames", "the track of this very video"):
        list(frames_with_track(tmp_path / "long", short))


def test_only_the_frames_of_the_track_are_edited(model, two_shots, people, track, tmp_path):
    result = edit_video(model, two_shots, tmp_path / "edited", {"Eyeglasses": 1.0}, 2, track=track)
    changed = np.stack(list(video.read_frames(tmp_path / "edited"))) != np.concatenate([c.frames for c in people])
    assert changed.any(axis=(1, 2, 3)).tolist() == track.valid.tolist()
    assert result.frames_without_face == list(range(COUNT, 2 * COUNT)) and result.track is track
    assert result.cuts == ()  # nobody was looked for


@pytest.mark.parametrize("edit", [edit_video, edit_video_as_published])
@pytest.mark.parametrize("other", ["longer", "shorter", "wider"])
def test_the_track_of_another_video_is_refused_and_nothing_written(model, two_shots, track, tmp_path, edit, other):
    wrong = {
        "longer": track_part(track, [*range(COUNT), *range(2 * COUNT)]),
        "shorter": track_part(track, slice(0, COUNT)),
        "wider": replace(track, width=WIDTH + 2),
    }[other]
    said = f"{len(wrong.valid)} frames of {wrong.width} x {HEIGHT} pixels"
    with one_sentence(said, str(two_shots), "the track of this very video"):
        edit(model, two_shots, tmp_path / "edited", {"Eyeglasses": 1.0}, 2, track=wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("edit", [edit_video, edit_video_as_published])
def test_a_track_without_a_face_is_refused(model, two_shots, track, tmp_path, edit):
    nobody = replace(track, valid=np.zeros_like(track.valid))
    with one_sentence("no frame with a face"):
        edit(model, two_shots, tmp_path / "edited", {"Eyeglasses": 1.0}, 2, track=nobody)
    assert list(tmp_path.iterdir()) == []
