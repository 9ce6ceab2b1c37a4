"""The method end to end, on a tiny untrained model: what must hold whatever the weights are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from dva_core import video
from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.editing.timeline import Curve
from dva_core.errors import Cancelled, DvaError
from dva_core.pipeline import decode_clip, edit_clip, edit_video, encode_clip, invert_clip
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import EncodedClip, Identity

from .tiny_model import crops, tiny_model
from .told_where import told_where

STEPS = 4


@pytest.fixture(scope="module")
def model():
    model = tiny_model()
    table = model.attributes
    for name in ("Eyeglasses", "No_Beard"):
        row = CELEBA_ATTRIBUTES.index(name)
        table.weight[row] = torch.randn(512, generator=torch.Generator().manual_seed(row))
        table.trained[row] = True
        table.midpoint[row], table.half_distance[row], table.strength[row] = 0, 3, 2
    return model


@pytest.fixture(scope="module")
def clip(model) -> EncodedClip:
    return encode_clip(model, crops(), STEPS)


def test_the_unedited_clip_comes_back_exactly(model, clip):
    assert torch.equal(decode_clip(model, clip, clip.identity.mean()), clip.crops)


def test_an_edit_changes_the_picture_and_its_opposite_changes_it_otherwise(model, clip):
    on, off = (decode_clip(model, clip, edit_clip(model, clip, {"Eyeglasses": s}), keep_detail=False) for s in (1, -1))
    assert not torch.allclose(on, clip.unedited, atol=1e-3)
    assert not torch.allclose(on, off, atol=1e-3)


def test_an_edit_leaves_alone_what_it_shall_preserve(model, clip):
    edited = edit_clip(model, clip, {"Eyeglasses": 1.0}, preserve=["No_Beard"])
    along = model.attributes.weight[model.attributes.row("No_Beard")]
    assert torch.allclose(edited.features @ along, clip.identity.mean().features @ along, atol=1e-3)
    assert not torch.equal(edited.features, edit_clip(model, clip, {"Eyeglasses": 1.0}).features)


def test_an_edit_that_is_as_strong_in_every_frame_is_the_plain_edit(model, clip):
    constant = edit_clip(model, clip, {"Eyeglasses": 0.5}, strengths=[1.0] * len(clip.crops))
    plain = edit_clip(model, clip, {"Eyeglasses": 0.5})
    assert torch.equal(decode_clip(model, clip, constant), decode_clip(model, clip, plain))


def test_frames_before_an_edit_begins_stay_as_they_are_bit_for_bit(model, clip):
    growing = edit_clip(model, clip, {"Eyeglasses": 1.0}, strengths=[0, 0, 0.3, 0.6, 1])
    decoded = decode_clip(model, clip, growing)
    assert torch.equal(decoded[:2], clip.crops[:2])
    assert not torch.allclose(decoded[2:], clip.crops[2:], atol=1e-3)


def test_the_plain_decode_comes_with_the_clip(model, clip):
    assert torch.equal(decode_clip(model, clip, clip.identity.mean(), keep_detail=False), clip.unedited)


def test_a_clip_may_be_encoded_with_one_identity_that_is_known_already(model, clip):
    again = invert_clip(model, clip.crops, clip.identity.mean(), clip.landmark_codes, STEPS)
    assert torch.equal(again.noise_maps.x_T, clip.noise_maps.x_T)


def somebody_else(clip: EncodedClip) -> Identity:
    """Who it is in the first frame, which is not the mean."""
    return replace(clip.identity, features=clip.identity.features[:1])


def test_decoded_frames_are_shown_as_they_come(model, clip):
    shown = []
    decoded = decode_clip(model, clip, somebody_else(clip), keep_detail=False, batch_size=2, preview=shown.append)
    assert [len(part) for part in shown] == [2, 2, 1]
    assert torch.equal(torch.cat(shown), decoded)


def test_results_do_not_depend_on_the_batch_size(model, clip):
    one_by_one = encode_clip(model, clip.crops, STEPS, batch_size=1)
    assert torch.allclose(one_by_one.noise_maps.x_T, clip.noise_maps.x_T, atol=1e-4)
    identity = edit_clip(model, clip, {"Eyeglasses": 1.0})
    pictures = [decode_clip(model, clip, identity, keep_detail=False, batch_size=n) for n in (1, 3)]
    assert torch.allclose(*pictures, atol=1e-4)


def test_a_clip_that_was_saved_decodes_to_the_same(model, clip, tmp_path):
    clip.save(tmp_path / "clip.safetensors")
    identity = edit_clip(model, clip, {"Eyeglasses": 1.0})
    loaded = EncodedClip.load(tmp_path / "clip.safetensors")
    assert torch.equal(decode_clip(model, loaded, identity), decode_clip(model, clip, identity))


def test_the_identity_may_change_from_frame_to_frame(model, clip):
    frames = len(clip.crops)
    still = decode_clip(model, clip, clip.identity.mean(), keep_detail=False)
    moving = decode_clip(model, clip, clip.identity, keep_detail=False)
    assert moving.shape == still.shape == (frames, 3, 32, 32)
    assert not torch.allclose(moving, still, atol=1e-4)


def test_progress_counts_up_to_its_total(model, clip):
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, []).append((done, total))

    again = encode_clip(model, clip.crops, STEPS, batch_size=2, progress=progress)
    decode_clip(model, again, somebody_else(again), batch_size=2, progress=progress)
    assert set(seen) == {"invert", "decode"}
    for counts in seen.values():
        done = [count for count, _ in counts]
        assert done == sorted(set(done)) and done[-1] == counts[-1][1]


@pytest.mark.parametrize("stage", ["encode", "decode"])
def test_long_stages_can_be_cancelled(model, clip, stage):
    calls = []

    def cancelled() -> bool:
        calls.append(stage)
        return len(calls) == 3

    with pytest.raises(Cancelled):
        if stage == "encode":
            encode_clip(model, clip.crops, STEPS, batch_size=2, cancelled=cancelled)
        else:
            decode_clip(model, clip, somebody_else(clip), batch_size=2, cancelled=cancelled)
    assert len(calls) == 3


def test_crops_of_another_size_are_refused(model):
    with pytest.raises(DvaError, match="32,32"):
        encode_clip(model, torch.zeros(2, 3, 64, 64), STEPS)


def test_an_attribute_without_a_direction_is_refused(model, clip):
    with pytest.raises(DvaError, match="Eyeglasses"):
        edit_clip(model, clip, {"Smiling": 1.0})


# --- whole videos ---

NO_FACE = 2


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


def test_a_video_is_edited_where_the_face_is_and_nowhere_else(told, rendered, pictures, tmp_path):
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS)
    edited = np.stack(list(video.read_frames(tmp_path / "edited")))
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
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS, curve=curve)
    assert torch.equal(result.crops, result.clip.crops)
    assert np.array_equal(np.stack(list(video.read_frames(tmp_path / "edited"))), rendered.frames)


def test_a_curve_counts_the_frames_of_the_video_with_a_face_or_without(told, rendered, pictures, tmp_path):
    strengths = [0, 0, 0.5, 0, 1]
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS, curve=strengths)
    edited = np.stack(list(video.read_frames(tmp_path / "edited")))
    assert [not np.array_equal(*pair) for pair in zip(edited, rendered.frames, strict=True)] == [False] * 4 + [True]
    plain = edit_clip(told, result.clip, {"Eyeglasses": 1.0})
    assert torch.equal(result.identity.features[-1:], plain.features)


def test_the_result_says_how_long_each_stage_took(told, pictures, tmp_path):
    result = edit_video(told, pictures, tmp_path / "edited", {"Eyeglasses": 1.0}, STEPS)
    stages = list(result.seconds)
    assert (stages[0], stages[-1]) == ("find face", "paste and write")
    assert all(seconds > 0 for seconds in result.seconds.values())


def test_a_video_file_keeps_its_length_and_rate(told, rendered, tmp_path):
    rate = Fraction(30000, 1001)
    video.write_video(tmp_path / "source.mp4", rendered.frames, rate)
    edit_video(told, tmp_path / "source.mp4", tmp_path / "edited.mp4", {"Eyeglasses": -1.0}, STEPS)
    assert video.probe(tmp_path / "edited.mp4").frame_rate == rate
    assert len(list(video.read_frames(tmp_path / "edited.mp4"))) == 5


@pytest.mark.parametrize("stage", ["find face", "invert", "decode", "paste and write"])
def test_a_cancelled_edit_leaves_nothing_behind(told, pictures, tmp_path, stage):
    reached = []
    with pytest.raises(Cancelled, match=stage):
        edit_video(
            told, pictures, tmp_path / "edited.mp4", {"Eyeglasses": 1.0}, STEPS,
            progress=lambda now, *_: reached.append(now), cancelled=lambda: reached[-1] == stage,
        )  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir()] == ["pictures"]


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
