"""Motion, surroundings and noise that come from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from dva_core.editing.transfer import (
    motion_in_step,
    resample_motion,
    with_motion,
    with_person,
    with_random_noise,
    without_gaps,
)
from dva_core.errors import DvaError
from dva_core.pipeline import decode_clip, encode_clip
from dva_core.synthetic import render_crops, sample_motion, sample_person, sample_scene
from dva_core.values import EncodedClip, LandmarkCodes

from .tiny_model import crops, tiny_model

STEPS = 4
MOUTH = 62  # the first coordinate of its points


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def clip(model) -> EncodedClip:
    return encode_clip(model, crops(), STEPS)


@pytest.fixture(scope="module")
def other(model) -> EncodedClip:
    return encode_clip(model, crops().flip(0, 3), STEPS)


def counting(frames: int) -> LandmarkCodes:
    """A motion whose points all say which frame it is."""
    return LandmarkCodes(torch.arange(frames).float()[:, None].expand(-1, 102).contiguous(), "tiny")


def shown(codes: LandmarkCodes) -> list[float]:
    return codes.codes[:, 0].tolist()


def face(seed: int, motion: int, frames: int = 12) -> torch.Tensor:
    """The true codes [T,102] of a rendered person who moves as the motion of a seed does."""
    person, scene = sample_person(seed), sample_scene(seed, 10 * frames)
    every = [sample_motion(motion, 10 * frames)] * frames
    rendered = render_crops([person] * frames, every, [scene] * frames, range(0, 10 * frames, 10), 32)
    return torch.from_numpy((rendered.landmarks[:, 17:].reshape(frames, 102) + 0.5) / 32).float()


# --- length and frame rate ---


def test_motion_keeps_its_speed_in_another_frame_rate():
    assert shown(resample_motion(counting(9), 50, 4, 25)) == [0, 2, 4, 6]
    assert shown(resample_motion(counting(9), Fraction(15), 4, Fraction(30))) == [0, 0.5, 1, 1.5]


def test_frames_of_an_equal_rate_are_taken_bit_for_bit():
    codes = LandmarkCodes(torch.rand(7, 102), "tiny")
    assert torch.equal(resample_motion(codes, 25, 7, 25.0).codes, codes.codes)
    assert torch.equal(resample_motion(codes, 25, 3, 25).codes, codes.codes[:3])


def test_a_short_motion_runs_back_and_forth():
    assert shown(resample_motion(counting(3), 25, 8, 25)) == [0, 1, 2, 1, 0, 1, 2, 1]
    assert shown(resample_motion(counting(1), 25, 3, 25)) == [0, 0, 0]


def test_a_long_clip_does_not_drift():
    frames = 30_000
    codes = resample_motion(counting(2 * frames), Fraction(30000, 1001), frames, Fraction(30000, 1001))
    assert shown(codes) == list(range(frames))


def test_frames_without_a_face_are_bridged_and_keep_their_time():
    valid = np.array([False, True, True, False, False, True, False])
    assert shown(without_gaps(counting(3), valid)) == pytest.approx([0, 0, 1, 4 / 3, 5 / 3, 2])


@pytest.mark.parametrize("request_", [(0, 5, 25), (25, 0, 25), (25, 5, -1)])
def test_impossible_rates_and_counts_are_a_sentence(request_):
    with pytest.raises(DvaError, match="above 0"):
        resample_motion(counting(3), *request_)


def test_codes_of_another_track_are_a_sentence():
    with pytest.raises(DvaError, match="3 landmark codes do not fit 2 frames"):
        without_gaps(counting(3), np.array([True, True, False]))


def test_motion_keeps_its_time_in_a_clip_with_other_faces_and_frames():
    seen, wanted = np.array([True, False, True]), np.array([False, True, True, True])
    assert shown(motion_in_step(counting(2), seen, 25, wanted, 50)) == [0.25, 0.5, 0.75]


# --- motion ---


def test_a_clip_driven_by_itself_is_itself(model, clip):
    for relative in (True, False):
        driven = with_motion(clip, clip.landmark_codes, relative=relative)
        assert torch.equal(decode_clip(model, driven, clip.identity.mean()), clip.crops)


def test_driven_absolutely_the_codes_are_the_drivers_own(clip, other):
    driven = with_motion(clip, other.landmark_codes, relative=False)
    assert torch.equal(driven.landmark_codes.codes, other.landmark_codes.codes)


def test_driven_relatively_a_face_keeps_its_proportions_and_turns_as_the_driver_does(clip):
    errors, errors_of_absolute = [], []
    for a, b in ((3, 8), (5, 2), (11, 6), (4, 9)):
        own, driver, wanted = face(a, motion=a), face(b, motion=b), face(a, motion=b)
        driven = with_motion(moving(clip, own), LandmarkCodes(driver, "tiny")).landmark_codes.codes
        errors.append((driven - wanted)[:, :MOUTH].abs().mean())
        errors_of_absolute.append((driver - wanted)[:, :MOUTH].abs().mean())
        assert (turn(driven) - turn(wanted)).abs().mean() < 0.4 * (turn(own) - turn(wanted)).abs().mean()
    assert sum(errors) < 0.7 * sum(errors_of_absolute)


def test_driven_relatively_the_mouth_goes_twice_as_far(clip):
    own = face(3, motion=3)[:1].expand(4, -1)
    change = torch.zeros(4, 102)
    change[0::2, MOUTH:], change[1::2, MOUTH:] = 0.01, -0.01
    driven = with_motion(moving(clip, own), LandmarkCodes(own + change, "tiny")).landmark_codes.codes
    assert torch.allclose(driven - own, 2 * change, atol=1e-6)


def turn(codes: torch.Tensor) -> torch.Tensor:
    """How far the tip of the nose is beside the place between the eyes, where the nose begins."""
    return codes[:, 2 * (30 - 17)] - codes[:, 2 * (27 - 17)]


def moving(clip: EncodedClip, codes: torch.Tensor) -> EncodedClip:
    """The first frame of a clip, again for every row of codes."""
    first = torch.zeros(len(codes), dtype=torch.long)
    return EncodedClip(
        clip.crops[first],
        clip.identity.mean(),
        LandmarkCodes(codes, "tiny"),
        clip.noise_maps.part(first),
        clip.unedited[first],
    )


def test_where_the_new_motion_changes_nothing_the_source_stays(model, clip, other):
    identity = clip.identity.mean()
    driven = with_motion(clip, other.landmark_codes)
    plain, kept = (decode_clip(model, driven, identity, keep_detail=keep) for keep in (False, True))
    assert not torch.equal(plain, clip.unedited)
    same = (plain - clip.unedited).abs().amax(dim=1, keepdim=True) < 1e-3
    lost = (clip.crops - clip.unedited).abs()
    assert ((kept - clip.crops).abs() <= lost + (plain - clip.unedited).abs() + 1e-5).masked_select(same).all()


@pytest.mark.parametrize(
    ("driver", "word"),
    [(counting(3), "3 frames and the clip 5"), (LandmarkCodes(torch.zeros(5, 102), "demo"), "by demo")],
)
def test_motion_that_does_not_fit_is_a_sentence(clip, driver, word):
    with pytest.raises(DvaError, match=word):
        with_motion(clip, driver)


# --- surroundings ---


def test_somebody_in_their_own_surroundings_is_unchanged(model, clip):
    moved = with_person(clip, clip.identity, clip.landmark_codes)
    assert torch.equal(decode_clip(model, moved, clip.identity.mean()), clip.crops)


def test_a_new_background_brings_everything_but_who_and_how(model, clip, other):
    moved = with_person(other, clip.identity, clip.landmark_codes)
    assert torch.equal(moved.identity.features, clip.identity.mean().features)
    assert torch.equal(moved.landmark_codes.codes, clip.landmark_codes.codes)
    assert torch.equal(moved.noise_maps.x_T, other.noise_maps.x_T)
    # It is the other's picture that is changed, so the other's detail comes back.
    back = replace(moved, landmark_codes=other.landmark_codes)
    same = decode_clip(model, back, other.identity.mean(), keep_background=False)
    assert torch.allclose(same, other.crops, atol=1e-4)


def test_surroundings_of_another_length_or_model_are_a_sentence(model, clip):
    shorter = encode_clip(model, crops(3), STEPS)
    with pytest.raises(DvaError, match="5 frames and the clip 3"):
        with_person(shorter, clip.identity, clip.landmark_codes)
    with pytest.raises(DvaError, match="by other"):
        with_person(clip, replace(clip.identity, model="other"), clip.landmark_codes)


# --- noise ---


def test_noise_is_repeatable_and_the_same_in_all_frames(clip):
    x_T = with_random_noise(clip, seed=1).noise_maps.x_T
    assert torch.equal(x_T, with_random_noise(clip, seed=1).noise_maps.x_T)
    assert not torch.equal(x_T, with_random_noise(clip, seed=2).noise_maps.x_T)
    assert torch.equal(x_T, x_T[:1].expand_as(x_T))


def test_nothing_of_the_source_comes_back_into_noise(model, clip):
    noisy = with_random_noise(clip, seed=1)
    plain, kept = (decode_clip(model, noisy, clip.identity.mean(), keep_detail=keep) for keep in (False, True))
    assert torch.allclose(kept, plain, atol=1e-5)
