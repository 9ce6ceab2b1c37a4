"""The published edit, step by step, on a tiny model without training: what must hold whatever the weights are."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dva_core import video
from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.diffusion import ddim
from dva_core.editing.attributes import CELEBA_ATTRIBUTES, move_along
from dva_core.errors import Cancelled, DvaError
from dva_core.faces.alignment import smooth_quads
from dva_core.faces.published_crop import paste_whole_quad, published_crops
from dva_core.published import edit_video_as_published
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import Identity
from dva_core.weights.bundle import load_model

from .tiny_model import tiny_model
from .told_where import told_where
from .video_files import NTSC, click, make_file

STEPS, SIZE = 5, 32
NO_FACE, WITH_FACE = 4, slice(0, 4)
EDIT = {"Eyeglasses": 0.3}


@pytest.fixture(scope="module")
def model() -> DiffusionVideoAutoencoder:
    model, random = tiny_model(), torch.Generator().manual_seed(3)
    for name in ("Eyeglasses", "Bangs"):
        row = CELEBA_ATTRIBUTES.index(name)
        model.attributes.weight[row] = torch.randn(512, generator=random)
        model.attributes.trained[row] = True
    model.attributes.mean.copy_(0.01 * torch.randn(512, generator=random))
    model.attributes.std.copy_(0.03 + 0.02 * torch.rand(512, generator=random))
    # Strong enough noise for the clamp inside the steps to show.
    model.unet.out[-1].weight.mul_(8)
    # The one trained part: masks of real outlines.
    trained = load_model("demo")
    model.config, model.parser = replace(model.config, parser=trained.config.parser), trained.parser
    return model


@pytest.fixture(scope="module")
def rendered():
    return render_clip(HELD_OUT_SEEDS[7], frames=5, height=72, width=80)


@pytest.fixture
def told(model, rendered) -> DiffusionVideoAutoencoder:
    return told_where(model, rendered.landmarks, without_face=(NO_FACE,))


@pytest.fixture
def pictures(rendered, tmp_path) -> Path:
    """The rendered clip as a folder of PNGs, so that nothing is lost by writing."""
    video.write_video(tmp_path / "pictures", rendered.frames, Fraction(25))
    return tmp_path / "pictures"


@pytest.fixture(scope="module")
def source_crops(rendered) -> Tensor:
    quads = smooth_quads(rendered.landmarks[WITH_FACE])
    return published_crops(rendered.frames[WITH_FACE], quads, SIZE)


def decoded(model: DiffusionVideoAutoencoder, crops: Tensor, identity: Identity, clamp: bool) -> Tensor:
    """Published inversion with the mean identity, published sampling with another one."""
    mean, codes = model.encode_identity(crops).mean(), model.encode_landmarks(crops)
    x_T = ddim.invert(model.eps(model.face_latent(mean, codes)), crops, STEPS, faithful=True)
    eps = model.eps(model.face_latent(identity, codes))
    return ddim.decode(eps, x_T, STEPS, faithful=True, clamp=clamp).clamp(-1, 1)


def test_the_face_is_the_published_decode_and_all_else_the_source_bit_for_bit(told, pictures, source_crops, tmp_path):
    result = edit_video_as_published(told, pictures, tmp_path / "edited", EDIT, STEPS)
    inside = told.face_mask(source_crops, for_video=True).expand_as(source_crops) == 1
    assert 0.1 < inside.float().mean() < 0.9
    assert torch.equal(result.crops[~inside], source_crops[~inside])
    want, unclamped = (decoded(told, source_crops, result.identity, clamp) for clamp in (True, False))
    torch.testing.assert_close(result.crops[inside], want[inside], atol=1e-4, rtol=0)
    assert (result.crops - unclamped)[inside].abs().max() > 0.01


def test_the_mean_identity_is_moved_along_one_attribute_after_the_other(told, pictures, source_crops, tmp_path):
    edits = {"Eyeglasses": 0.3, "Bangs": -0.2}
    result = edit_video_as_published(told, pictures, tmp_path / "edited", edits, STEPS)
    table, want = told.attributes, told.encode_identity(source_crops).features.mean(dim=0, keepdim=True)
    for name, scale in edits.items():
        want = move_along(want, table.weight[table.row(name)], table.mean, table.std, scale)
    torch.testing.assert_close(result.identity.features, want)


def test_scale_zero_is_not_the_reconstruction_because_it_brings_the_mean_to_length_one(told, model, rendered, tmp_path):
    video.write_video(tmp_path / "pictures", rendered.frames[WITH_FACE], Fraction(25))
    plain, zero = (
        edit_video_as_published(
            told_where(model, rendered.landmarks), tmp_path / "pictures", tmp_path / name, edits, STEPS
        )
        for name, edits in (("plain", {}), ("zero", {"Eyeglasses": 0.0}))
    )
    length = plain.identity.features.norm()
    assert length < 1 - 1e-6
    torch.testing.assert_close(zero.identity.features, plain.identity.features / length)
    assert not torch.equal(zero.crops, plain.crops)


def test_the_whole_quad_is_replaced_and_frames_without_a_face_are_not_touched(told, rendered, pictures, tmp_path):
    result = edit_video_as_published(told, pictures, tmp_path / "edited", EDIT, STEPS)
    edited = np.stack(list(video.read_frames(tmp_path / "edited")))
    assert result.frames_without_face == [NO_FACE]
    assert np.array_equal(edited[NO_FACE], rendered.frames[NO_FACE])
    for t, crop in enumerate(result.crops):
        assert np.array_equal(edited[t], paste_whole_quad(rendered.frames[t], crop, result.track.quads[t]))


def test_inverting_takes_one_evaluation_fewer_than_decoding(told, pictures, tmp_path):
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        seen.setdefault(stage, []).append((done, total))

    edit_video_as_published(told, pictures, tmp_path / "edited", EDIT, STEPS, batch_size=3, progress=progress)
    assert list(seen) == ["find face", "crop", "invert", "decode", "paste and write"]
    assert seen["invert"][-1] == (4 * (STEPS - 1), 4 * (STEPS - 1))
    assert seen["decode"][-1] == (4 * STEPS, 4 * STEPS)
    for counts in seen.values():
        done = [count for count, _ in counts]
        assert done == sorted(set(done)) and done[-1] == counts[-1][1]


def test_crops_pass_through_a_jpeg_when_asked_for(told, rendered, pictures, tmp_path):
    result = edit_video_as_published(told, pictures, tmp_path / "edited", EDIT, STEPS, jpeg=True)
    crops = published_crops(rendered.frames[WITH_FACE], result.track.quads[WITH_FACE], SIZE, jpeg=True)
    outside = told.face_mask(crops, for_video=True).expand_as(crops) == 0
    assert 0.1 < outside.float().mean() < 0.9
    assert torch.equal(result.crops[outside], crops[outside])


def test_another_detector_finds_the_faces_when_one_is_given(model, told, rendered, pictures, tmp_path):
    result = edit_video_as_published(model, pictures, tmp_path / "edited", EDIT, STEPS, detector=told.detector)
    assert np.array_equal(result.track.landmarks[WITH_FACE], rendered.landmarks[WITH_FACE])


def test_the_rate_and_the_sound_of_the_source_are_kept(told, rendered, tmp_path):
    source, target = tmp_path / "source.mp4", tmp_path / "edited.mp4"
    make_file(source, list(rendered.frames), NTSC, sound=click(5 / NTSC, at=0.05))
    edit_video_as_published(told, source, target, EDIT, STEPS)
    info = video.probe(target)
    assert (info.frame_rate, info.frames, info.has_audio) == (NTSC, 5, True)


@pytest.mark.parametrize("stage", ["find face", "crop", "invert", "decode", "paste and write"])
def test_a_cancelled_edit_leaves_nothing_behind(told, pictures, tmp_path, stage):
    reached = []
    with pytest.raises(Cancelled, match=stage):
        edit_video_as_published(
            told, pictures, tmp_path / "edited.mp4", EDIT, STEPS,
            progress=lambda now, *_: reached.append(now), cancelled=lambda: reached[-1] == stage,
        )  # fmt: skip
    assert [entry.name for entry in tmp_path.iterdir()] == ["pictures"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"edits": {"Eyeglases": 1.0}}, "Eyeglases"),
        ({"steps": 37}, "37 steps"),
        ({"target": "pictures"}, "pictures"),
        ({"source": "nowhere.mp4"}, "nowhere.mp4"),
    ],
)
def test_impossible_requests_fail_before_any_work(told, pictures, tmp_path, change, complaint):
    request = {"source": "pictures", "target": "edited", "edits": EDIT, "steps": STEPS} | change
    request |= {name: tmp_path / request[name] for name in ("source", "target")}
    worked = []
    with pytest.raises(DvaError, match=complaint):
        edit_video_as_published(told, **request, progress=lambda *now: worked.append(now))
    assert worked == []
