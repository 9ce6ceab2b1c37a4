"""The method end to end, on a tiny untrained model: what must hold whatever the weights are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dva_core.diffusion import SOLVERS
from dva_core.errors import Cancelled, DvaError
from dva_core.pipeline import decode_clip, edit_clip, encode_clip, invert_clip
from dva_core.values import EncodedClip, Identity

from .tiny_model import crops, editable_model

STEPS = 4


@pytest.fixture(scope="module")
def model():
    return editable_model()


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


def test_the_plain_decode_of_a_solver_that_loses_detail_comes_with_the_clip(model):
    clip = encode_clip(model, crops(), STEPS, "ddim")
    assert torch.equal(decode_clip(model, clip, clip.identity.mean(), keep_detail=False), clip.unedited)
    assert not torch.allclose(clip.unedited, clip.crops, atol=1e-3)


def test_without_detail_an_edit_of_almost_nothing_looks_like_none(model, clip):
    plain, almost = (
        decode_clip(model, clip, edit_clip(model, clip, {"Eyeglasses": scale}, shifts=()), keep_detail=False)
        for scale in (0.0, 1e-4)
    )
    assert torch.allclose(plain, almost, atol=1e-2) and not torch.allclose(plain, clip.crops, atol=1e-2)
    ddim = invert_clip(model, clip.crops, clip.identity, clip.landmark_codes, STEPS, "ddim")
    assert torch.allclose(plain, ddim.unedited, atol=1e-5)


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver_takes_a_clip_there_and_back(model, solver):
    clip = encode_clip(model, crops(), STEPS, solver)
    edited = decode_clip(model, clip, edit_clip(model, clip, {"Eyeglasses": 1.0}))
    assert torch.equal(decode_clip(model, clip, clip.identity.mean()), clip.crops)
    assert not torch.allclose(edited, clip.crops, atol=1e-3)


def test_the_head_may_keep_less_detail_or_more(model, clip):
    identity = edit_clip(model, clip, {"Eyeglasses": 1.0})
    nothing, half, everything = (
        decode_clip(model, clip, identity, detail_in_head=share, keep_background=False) for share in (0.0, 0.5, 1.0)
    )
    assert not torch.allclose(nothing, half, atol=1e-3) and not torch.allclose(half, everything, atol=1e-3)


@pytest.mark.parametrize("solver, share, message", [("residual", 1.5, "from 0 to 1"), ("ddim", 0.5, "solver residual")])
def test_an_impossible_share_of_detail_is_refused(model, solver, share, message):
    clip = encode_clip(model, crops(), STEPS, solver)
    with pytest.raises(DvaError, match=message):
        decode_clip(model, clip, somebody_else(clip), detail_in_head=share)


def test_maps_stored_in_half_precision_take_half_the_memory_and_decode_to_nearly_the_same(model, clip):
    half = invert_clip(model, clip.crops, clip.identity, clip.landmark_codes, STEPS, half=True)
    one = clip.noise_maps.x_T[0].nbytes
    assert clip.noise_maps.bytes_per_frame == (STEPS + 3) * one
    assert half.noise_maps.bytes_per_frame == one + (STEPS + 2) * one // 2
    identity = edit_clip(model, clip, {"Eyeglasses": 1.0})
    pictures = [decode_clip(model, each, identity) for each in (clip, half)]
    assert (pictures[0] - pictures[1]).square().mean() < 1e-5


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
