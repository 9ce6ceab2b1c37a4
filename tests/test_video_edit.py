"""A whole video through the method, on a tiny untrained model: what must hold whatever the weights are."""

from __future__ import annotations

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import torch

from dva_core import video
from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.editing.timeline import Curve
from dva_core.errors import Cancelled, DvaError
from dva_core.footage import FRAMES_AT_ONCE, find_face
from dva_core.pipeline import decode_clip, edit_clip, encode_clip, invert_clip, pasted_frames, read_crops
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import EncodedClip, FaceTrack, Identity
from dva_core.video_edit import edit_video

from .tiny_model import editable_model
from .told_where import told_where

STEPS, NO_FACE = 4, 2
EDIT = {"Eyeglasses": 1.0}


@pytest.fixture(scope="module")
def model():
    return editable_model()


@pytest.fixture(scope="module")
def rendered():
    return render_clip(HELD_OUT_SEEDS[7], frames=5, height=72, width=80)


@pytest.fixture
def told(model, rendered) -> DiffusionVideoAutoencoder:
    return told_where(model, rendered.landmarks, without_face=(NO_FACE,))


@pytest.fixture
def pictures(rendered, tmp_path):
    """The rendered clip as a folder of PNGs, so that nothing is lost by writing."""
    video.write_video(tmp_path / "pictures", rendered.frames, Fraction(25))
    return tmp_path / "pictures"


def frames_of(path) -> np.ndarray:
    return np.stack(list(video.read_frames(path)))


def test_a_video_is_edited_where_the_face_is_and_nowhere_else(told, rendered, pictures, tmp_path):
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS)
    edited = frames_of(tmp_path / "edited")
    assert edited.shape == rendered.frames.shape
    assert result.frames_without_face == [NO_FACE]
    assert np.array_equal(edited[NO_FACE], rendered.frames[NO_FACE])
    changed = (edited != rendered.frames).any(axis=-1)
    assert all(changed[t].any() for t in range(5) if t != NO_FACE)
    for t in range(5):
        ys, xs = np.nonzero(changed[t])
        low, high = result.track.quads[t].min(axis=0) - 1, result.track.quads[t].max(axis=0) + 1
        assert ((xs >= low[0]) & (xs <= high[0]) & (ys >= low[1]) & (ys <= high[1])).all()


def test_a_curve_of_nothing_gives_the_video_back_bit_for_bit(told, rendered, pictures, tmp_path):
    curve = Curve(((0, 0.0),))
    edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS, curve=curve)
    assert np.array_equal(frames_of(tmp_path / "edited"), rendered.frames)


def test_a_curve_counts_the_frames_of_the_video_with_a_face_or_without(told, rendered, pictures, tmp_path):
    strengths = [0, 0, 0.5, 0, 1]
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS, curve=strengths)
    edited = frames_of(tmp_path / "edited")
    assert [not np.array_equal(*pair) for pair in zip(edited, rendered.frames, strict=True)] == [False] * 4 + [True]
    clip = encode_clip(told, read_crops(pictures, result.track, told.config.image_size), STEPS)
    plain = edit_clip(told, clip, {"Eyeglasses": 1.0})
    assert torch.equal(result.identity.features[-1:], plain.features)


def test_frames_where_a_curve_is_at_0_cost_nothing(told, pictures, tmp_path):
    evaluated = []
    hook = told.unet.register_forward_hook(lambda net, inputs, noise: evaluated.append(len(noise)))
    edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS, curve=[0, 0, 0.5, 0, 1])
    hook.remove()
    assert sum(evaluated) == 2 * STEPS + 1  # one frame of five


def test_the_result_says_how_long_each_stage_took(told, pictures, tmp_path):
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS)
    stages = ["find face", "encode", "edit and write"]
    beside = ["of that: crop", "of that: invert", "of that: decode", "of that: paste and write"]
    assert list(result.seconds)[:3] == stages and sorted(result.seconds) == sorted(stages + beside)
    assert all(seconds > 0 for seconds in result.seconds.values())
    assert all(result.seconds[part] <= result.seconds["edit and write"] for part in beside)


def test_a_video_file_keeps_its_length_and_rate(told, rendered, tmp_path):
    rate = Fraction(30000, 1001)
    video.write_video(tmp_path / "source.mp4", rendered.frames, rate)
    edit_video(told, tmp_path / "source.mp4", tmp_path / "edited.mp4", {"Eyeglasses": -1.0}, STEPS)
    assert video.probe(tmp_path / "edited.mp4").frame_rate == rate
    assert len(list(video.read_frames(tmp_path / "edited.mp4"))) == 5


@pytest.mark.parametrize(
    ("stage", "left"), [("find face", []), ("encode", ["face"]), ("edit", ["face", "person"])]
)
def test_a_cancelled_edit_leaves_what_is_done_and_no_more(told, pictures, tmp_path, stage, left):
    reached = []
    with pytest.raises(Cancelled, match=stage) as stopped:
        edit_video(
            told, pictures, tmp_path / "edited.mp4", {"Eyeglasses": 1.0}, STEPS,
            progress=lambda now, *_: reached.append(now), cancelled=lambda: reached[-1] == stage,
        )  # fmt: skip
    unfinished = tmp_path / "edited.mp4.unfinished"
    assert set(tmp_path.iterdir()) == {pictures, *([unfinished] if left else [])}
    assert sorted(file.stem for file in unfinished.glob("*.safetensors")) == left
    assert (str(unfinished) in str(stopped.value)) == bool(left)


def test_a_list_of_strengths_for_another_video_is_refused_before_it_is_inverted(told, pictures, tmp_path):
    stages = set()
    with pytest.raises(DvaError, match="4 strengths for 5 frames"):
        edit_video(
            told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS,
            curve=[1.0] * 4, progress=lambda stage, *_: stages.add(stage),
        )  # fmt: skip
    assert stages == {"find face"}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"edits": {"Eyeglases": 1.0}}, "Eyeglases"),
        ({"preserve": ["Smiling"]}, "Smiling"),
        ({"steps": 37}, "37 steps"),
        ({"target": "pictures"}, "pictures"),
        ({"source": "nowhere.mp4"}, "nowhere.mp4"),
    ],
)
def test_impossible_requests_fail_before_any_work(told, pictures, tmp_path, change, complaint):
    request = {"source": "pictures", "target": "edited", "edits": {"Eyeglasses": 1.0}, "steps": STEPS} | change
    request |= {name: tmp_path / request[name] for name in ("source", "target")}
    worked = []
    with pytest.raises(DvaError, match=complaint):
        edit_video(told, **request, progress=lambda *now: worked.append(now))
    assert worked == []


# --- part by part ---

COUNT = 2 * FRAMES_AT_ONCE + 5
WITHOUT = 2, FRAMES_AT_ONCE - 1, FRAMES_AT_ONCE, FRAMES_AT_ONCE + 2, COUNT - 2


@pytest.fixture(scope="module")
def long():
    return render_clip(HELD_OUT_SEEDS[7], frames=COUNT, height=72, width=80)


@pytest.fixture(scope="module")
def long_pictures(long, tmp_path_factory):
    folder = tmp_path_factory.mktemp("long") / "pictures"
    video.write_video(folder, long.frames, Fraction(25))
    return folder


def in_memory(model, source, track: FaceTrack, edits) -> tuple[EncodedClip, Identity, torch.Tensor]:
    """The whole clip, its edited identity and its edited crops, held at once but worked on in the same parts."""
    crops, parts, row = read_crops(source, track, model.config.image_size), [], 0
    for start in range(0, len(track.valid), FRAMES_AT_ONCE):
        count = int(track.valid[start : start + FRAMES_AT_ONCE].sum())
        parts += [slice(row, row + count)] if count else []
        row += count
    features = torch.cat([model.encode_identity(crops[rows]).features for rows in parts])
    mean = Identity(features, model.name).mean()
    clips = [invert_clip(model, crops[rows], mean, model.encode_landmarks(crops[rows]), STEPS) for rows in parts]
    identity = edit_clip(model, clips[0], edits)
    return crops, identity, torch.cat([decode_clip(model, clip, identity) for clip in clips])


@pytest.mark.parametrize("without_face", [(), WITHOUT, tuple(range(5, 18))])
def test_what_goes_through_in_parts_is_what_goes_through_as_a_whole(model, long, long_pictures, tmp_path, without_face):
    told = [told_where(model, long.landmarks, without_face) for _ in range(2)]
    result = edit_video(told[0], long_pictures, tmp_path / "edited", EDIT, STEPS)
    assert result.frames_without_face == list(without_face)
    crops, identity, edited = in_memory(model, long_pictures, find_face(told[1], long_pictures), EDIT)
    assert torch.equal(result.identity.features, identity.features)
    whole = np.stack(list(pasted_frames(model, long_pictures, result.track, crops, edited)))
    assert np.array_equal(frames_of(tmp_path / "edited"), whole)
    clip = encode_clip(model, crops, STEPS)
    torch.testing.assert_close(decode_clip(model, clip, edit_clip(model, clip, EDIT)), edited, atol=1e-3, rtol=0)


def test_few_frames_of_a_long_video_are_in_memory(model, tmp_path):
    count = 12 * FRAMES_AT_ONCE
    rendered = render_clip(HELD_OUT_SEEDS[7], frames=1, height=180, width=160)
    video.write_video(tmp_path / "long.mp4", [rendered.frames[0]] * count, Fraction(25))
    told = told_where(model, np.repeat(rendered.landmarks, count, axis=0), without_face=range(3, count))
    tracemalloc.start()
    edit_video(told, tmp_path / "long.mp4", tmp_path / "edited.mp4", EDIT, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.75 * count * rendered.frames[0].nbytes  # measured: 0.45 to 0.54
