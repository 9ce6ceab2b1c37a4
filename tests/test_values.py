"""The values between the stages: saved and loaded whole, refused when they are not what they claim."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from dva_core.errors import DvaError
from dva_core.values import EncodedClip, FaceTrack, Identity, IdentityShift, LandmarkCodes, NoiseMaps


def face_track() -> FaceTrack:
    rng = np.random.default_rng(0)
    landmarks, quads = rng.normal(size=(3, 68, 2)), rng.normal(size=(3, 4, 2))
    landmarks[1], quads[1] = np.nan, np.nan
    return FaceTrack(landmarks, quads, np.array([True, False, True]), 120, 160, Fraction(30000, 1001))


def encoded_clip(frames: int = 3) -> EncodedClip:
    torch.manual_seed(0)
    return EncodedClip(
        torch.rand(frames, 3, 8, 8),
        Identity(torch.randn(frames, 512), "demo"),
        LandmarkCodes(torch.rand(frames, 102), "demo"),
        NoiseMaps(torch.randn(frames, 3, 8, 8), 20, "ddim", "demo"),
        torch.rand(frames, 3, 8, 8),
    )


def test_a_face_track_survives_its_file(tmp_path):
    track = face_track()
    track.save(tmp_path / "track.safetensors")
    loaded = FaceTrack.load(tmp_path / "track.safetensors")
    np.testing.assert_array_equal(loaded.landmarks, track.landmarks)
    np.testing.assert_array_equal(loaded.quads, track.quads)
    np.testing.assert_array_equal(loaded.valid, track.valid)
    assert (loaded.height, loaded.width, loaded.frame_rate) == (120, 160, Fraction(30000, 1001))


def test_an_encoded_clip_survives_its_file(tmp_path):
    clip = encoded_clip()
    clip.save(tmp_path / "new" / "clip.safetensors")
    loaded = EncodedClip.load(tmp_path / "new" / "clip.safetensors")
    assert torch.equal(loaded.crops, clip.crops)
    assert torch.equal(loaded.identity.features, clip.identity.features)
    assert torch.equal(loaded.landmark_codes.codes, clip.landmark_codes.codes)
    assert torch.equal(loaded.noise_maps.x_T, clip.noise_maps.x_T)
    assert (loaded.noise_maps.steps, loaded.noise_maps.solver, loaded.identity.model) == (20, "ddim", "demo")


def test_part_of_a_clip_is_of_the_same_person():
    clip = encoded_clip(frames=4)
    part = clip.part([3, 1])
    assert torch.equal(part.identity.features, clip.identity.mean().features)
    for name in ("crops", "unedited"):
        assert torch.equal(getattr(part, name), getattr(clip, name)[[3, 1]])
    assert torch.equal(part.noise_maps.x_T, clip.noise_maps.x_T[[3, 1]])
    assert torch.equal(clip.part(slice(1, 2)).landmark_codes.codes, clip.landmark_codes.codes[1:2])


def test_an_identity_shift_survives_its_file(tmp_path):
    shift = IdentityShift(torch.randn(1, 512), "demo", "face -> face with a \N{LATIN SMALL LETTER E WITH ACUTE}")
    shift.save(tmp_path / "shift.safetensors")
    loaded = IdentityShift.load(tmp_path / "shift.safetensors")
    assert torch.equal(loaded.features, shift.features)
    assert (loaded.model, loaded.name) == (shift.model, shift.name)


@pytest.mark.parametrize("features", [torch.zeros(2, 512), torch.zeros(1, 512).half(), torch.full((1, 512), torch.nan)])
def test_an_identity_shift_is_one_finite_row(features):
    with pytest.raises(DvaError, match=r"shift|IdentityShift"):
        IdentityShift(features, "demo", "a -> b")


def test_the_mean_identity_is_one_row_of_its_own_length():
    identity = Identity(torch.nn.functional.normalize(torch.randn(5, 512)), "demo")
    mean = identity.mean()
    assert mean.features.shape == (1, 512)
    assert torch.equal(mean.features[0], identity.features.mean(dim=0))
    assert mean.features.norm() < 0.99


def test_a_file_of_another_kind_is_refused(tmp_path):
    face_track().save(tmp_path / "track.safetensors")
    with pytest.raises(DvaError, match="holds FaceTrack, not Identity"):
        Identity.load(tmp_path / "track.safetensors")


def test_missing_damaged_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(DvaError, match="no file"):
        Identity.load(tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is not a tensor file")
    with pytest.raises(DvaError, match="damaged"):
        Identity.load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DvaError, match="not one of"):
        Identity.load(tmp_path / "foreign.safetensors")
    header = '{"format_version": 99, "kind": "Identity", "fields": {"model": "demo"}}'
    save_file({"features": torch.zeros(1, 512)}, tmp_path / "future.safetensors", {"dva": header})
    with pytest.raises(DvaError, match="version 99"):
        Identity.load(tmp_path / "future.safetensors")


def test_a_truncated_file_is_refused(tmp_path):
    encoded_clip().save(tmp_path / "clip.safetensors")
    whole = (tmp_path / "clip.safetensors").read_bytes()
    (tmp_path / "clip.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DvaError, match="damaged"):
        EncodedClip.load(tmp_path / "clip.safetensors")


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path):
    face_track().save(tmp_path / "value.safetensors")
    before = (tmp_path / "value.safetensors").read_bytes()
    with pytest.raises(TypeError):
        Identity(torch.zeros(1, 512), model=object()).save(tmp_path / "value.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["value.safetensors"]
    assert (tmp_path / "value.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Identity(torch.zeros(2, 511), "demo"),
        lambda: Identity(torch.zeros(2, 512, dtype=torch.float64), "demo"),
        lambda: LandmarkCodes(torch.zeros(102), "demo"),
        lambda: NoiseMaps(torch.zeros(1, 3, 8, 9), 20, "ddim", "demo"),
        lambda: FaceTrack(np.zeros((2, 68, 2)), np.zeros((2, 4, 2)), np.ones(3, bool), 9, 9, Fraction(25)),
        lambda: FaceTrack(np.full((1, 68, 2), np.nan), np.zeros((1, 4, 2)), np.ones(1, bool), 9, 9, Fraction(25)),
    ],
)
def test_wrong_shapes_and_types_are_refused(wrong):
    with pytest.raises(DvaError):
        wrong()


def test_a_clip_refuses_parts_that_do_not_belong_together():
    clip = encoded_clip()
    short = LandmarkCodes(torch.rand(2, 102), "demo")
    with pytest.raises(DvaError, match="as many"):
        replace(clip, landmark_codes=short)
    stranger = Identity(clip.identity.features, "other")
    with pytest.raises(DvaError, match="different models"):
        replace(clip, identity=stranger)
