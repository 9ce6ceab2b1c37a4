"""Edits by words, on a tiny model and a tiny CLIP, both untrained: what must hold whatever the weights are."""

from __future__ import annotations

import copy
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dva_core import video
from dva_core.autoencoder import DiffusionVideoAutoencoder
from dva_core.diffusion import ddim
from dva_core.diffusion.schedule import linear_alpha_bar
from dva_core.editing.attributes import CELEBA_ATTRIBUTES
from dva_core.editing.prompts import TEMPLATES, text_direction
from dva_core.editing.text import (
    ShiftSearch,
    TextEdit,
    TextLosses,
    default_settings,
    find_text_shift,
    preserving,
    shift_identity,
)
from dva_core.encoders.clip import Clip, load_clip
from dva_core.errors import Cancelled, DvaError
from dva_core.findings import FRAMES_TO_SEARCH
from dva_core.pipeline import decode_clip, edit_clip, encode_clip, read_crops
from dva_core.published import edit_video_as_published
from dva_core.synthetic import HELD_OUT_SEEDS, render_clip
from dva_core.values import EncodedClip, Identity, IdentityShift
from dva_core.video_edit import edit_video

from .clip_files import TINY_CLIP, write_tiny_clip
from .sentences import one_sentence
from .tiny_model import crops, tiny_model
from .told_where import told_where

TEXTS = "face", "face with eyeglasses"
# Few and large steps, without anything that holds back.
SHORT = TextEdit(iterations=6, learning_rate=0.02, identity_weight=0, picture_weight=0, key_frames=2, patience=0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))[1]


@pytest.fixture(scope="module")
def clip_net(weights) -> Clip:
    return load_clip(TINY_CLIP, weights)


@pytest.fixture(scope="module")
def model() -> DiffusionVideoAutoencoder:
    model = tiny_model()
    # An untrained head hardly looks at the identity; pictures have to depend on it here.
    model.head.weight.mul_(30)
    return model


@pytest.fixture(scope="module")
def clip(model) -> EncodedClip:
    return encode_clip(model, crops(), 4, "ddim")


@pytest.fixture
def identity() -> Identity:
    return Identity(torch.randn(3, 512, generator=torch.Generator().manual_seed(5)) / 25, "tiny")


@pytest.fixture
def shift() -> IdentityShift:
    return IdentityShift(torch.randn(1, 512, generator=torch.Generator().manual_seed(6)) / 50, "tiny", "a -> b")


def searched(model, clip_net, clip, settings=SHORT, texts=TEXTS, **more) -> tuple[IdentityShift, list[TextLosses]]:
    losses: list[TextLosses] = []
    return find_text_shift(model, clip_net, clip, *texts, settings, on_losses=losses.append, **more), losses


# --- the search ---


def test_the_pictures_come_to_change_as_the_texts_do(model, clip_net, clip):
    shift, losses = searched(model, clip_net, clip, replace(SHORT, iterations=40))
    assert (shift.model, shift.name) == ("tiny", "face -> face with eyeglasses")
    assert losses[-1].clip < losses[0].clip - 0.05
    wanted = text_direction(clip_net, *TEXTS)
    edited = decode_clip(model, clip, shift_identity(clip.identity.mean(), shift), keep_detail=False)
    change = clip_net.picture_features(edited) - clip_net.picture_features(clip.unedited)
    assert F.cosine_similarity(change, wanted).mean() > 0.1


def test_the_opposite_texts_lead_the_opposite_way(model, clip_net, clip):
    there, back = (searched(model, clip_net, clip, texts=texts)[0].features for texts in (TEXTS, TEXTS[::-1]))
    assert F.cosine_similarity(there, back) < -0.5


def test_the_search_is_the_same_every_time(model, clip_net, clip):
    first, again = (searched(model, clip_net, clip)[0] for _ in range(2))
    assert torch.equal(first.features, again.features)


def test_the_batch_size_changes_nothing(model, clip_net, clip):
    whole, parted = (searched(model, clip_net, clip, batch_size=n) for n in (64, 3))
    torch.testing.assert_close(whole[0].features, parted[0].features, atol=1e-4, rtol=0)
    assert [each.total for each in whole[1]] == pytest.approx([each.total for each in parted[1]], abs=1e-4)


def test_a_heavy_identity_or_picture_loss_holds_the_edit_back(model, clip_net, clip):
    free = searched(model, clip_net, clip, replace(SHORT, iterations=20))[1][-1]
    same_person = searched(model, clip_net, clip, replace(SHORT, iterations=20, identity_weight=1000))[1][-1]
    same_picture = searched(model, clip_net, clip, replace(SHORT, iterations=20, picture_weight=1000))[1][-1]
    assert same_person.identity < free.identity / 2
    assert same_picture.picture < free.picture / 2


def test_the_first_iteration_is_the_published_one(model, clip_net, clip):
    """Facts of the published code: S = 5, first frame, its own identity, noisy states, clamped x_0."""
    _, (_, losses) = searched(model, clip_net, clip, replace(TextEdit.as_published(), iterations=2))
    shift = searched(model, clip_net, clip, replace(TextEdit.as_published(), iterations=1))[0]
    f_0, codes, x_0 = clip.identity.features[:1], clip.landmark_codes.codes[:1], clip.crops[:1]

    def latent(features: Tensor) -> Tensor:
        return model.head(torch.cat([features, codes], dim=1))

    states = [ddim.invert(model.eps(latent(f_0)), x_0, 5, faithful=True)]
    levels = [1.0, *linear_alpha_bar()[[0, 200, 400, 600, 800]].tolist()]
    c = F.normalize(f_0 + shift.features, dim=1)
    cosines, distances = [], []
    for k, t in enumerate((800, 600, 400, 200, 0)):
        now, then = levels[5 - k], levels[4 - k]
        before, after = (one_step(model.eps(latent(features)), states[-1], t, now, then) for features in (f_0, c))
        change = clip_net.picture_features(after) - clip_net.picture_features(before)
        cosines.append(F.cosine_similarity(change, text_direction(clip_net, *TEXTS)))
        distances.append(((after - before) * model.face_mask(x_0)).abs().mean())
        states.append(before)
    assert losses.similarity == pytest.approx(float(torch.cat(cosines).mean()), abs=1e-3)
    assert losses.picture == pytest.approx(float(torch.stack(distances).mean()), rel=1e-3)
    assert losses.identity == pytest.approx(float(1 - (c * f_0).sum()), abs=1e-5)
    assert losses.clip == pytest.approx(-torch.tensor((1 + losses.similarity) / 2).log().item(), abs=1e-5)
    assert losses.total == pytest.approx(3 * losses.clip + 5 * losses.identity + 5 * losses.picture, abs=1e-5)


def one_step(eps, x: Tensor, t: int, now: float, then: float) -> Tensor:
    x0 = ((x - (1 - now) ** 0.5 * eps(x, torch.tensor([t]))) / now**0.5).clamp(-1, 1)
    return then**0.5 * x0 + ((1 - then) / (1 - now)) ** 0.5 * (x - now**0.5 * x0)


def test_it_stops_when_nothing_is_gained_any_more(model, clip_net, clip):
    held = replace(SHORT, iterations=200, identity_weight=1e6, patience=5)
    seen: list[tuple[int, int]] = []
    losses = searched(model, clip_net, clip, held, progress=lambda _, done, total: seen.append((done, total)))[1]
    assert len(losses) < 50
    assert seen[-1] == (200, 200)


def test_a_long_clip_is_judged_by_several_frames_and_a_short_one_by_all(model, clip_net, clip):
    one, more = (searched(model, clip_net, clip, replace(SHORT, key_frames=n))[0].features for n in (1, 3))
    assert not torch.allclose(one, more, atol=1e-3)
    five, many = (searched(model, clip_net, clip, replace(SHORT, key_frames=n))[0].features for n in (5, 50))
    assert torch.equal(five, many)


def test_the_edit_is_shown_while_it_is_made(model, clip_net, clip):
    shown: list[Tensor] = []
    searched(model, clip_net, clip, replace(SHORT, iterations=30), preview=shown.append)
    assert 3 <= len(shown) <= 20
    assert all(picture.shape == (1, 3, 32, 32) and not picture.requires_grad for picture in shown)
    assert not torch.equal(shown[0], shown[-1])


def test_a_search_can_be_cancelled(model, clip_net, clip):
    calls = []
    with pytest.raises(Cancelled):
        searched(model, clip_net, clip, cancelled=lambda: calls.append(1) or len(calls) == 3)
    assert len(calls) == 3


def test_it_works_where_everything_was_made_in_inference_mode(model, weights, clip_net, clip):
    with torch.inference_mode():
        own = tiny_model()
        own.head.weight.mul_(30)
        shift = searched(own, load_clip(TINY_CLIP, weights), encode_clip(own, crops(), 4))[0]
        moved = shift_identity(Identity(torch.ones(1, 512), "tiny"), shift)
    assert moved.features.isfinite().all()
    torch.testing.assert_close(shift.features, searched(model, clip_net, clip)[0].features, atol=1e-5, rtol=0)


def test_the_model_and_the_clip_net_stay_as_they_were(model, clip_net, clip):
    nets = model, clip_net
    before = [{name: tensor.clone() for name, tensor in net.state_dict().items()} for net in nets]
    searched(model, clip_net, clip)
    for net, kept in zip(nets, before, strict=True):
        torch.testing.assert_close(net.state_dict(), kept, atol=0, rtol=0, equal_nan=True)
        assert not any(parameter.requires_grad or parameter.grad is not None for parameter in net.parameters())


def test_a_model_in_half_precision_is_searched_in_float32(model, clip_net, clip):
    half, rounded = copy.deepcopy(model), copy.deepcopy(model)
    half.unet.to(torch.bfloat16)
    rounded.unet.to(torch.bfloat16).float()
    shift, same = (searched(net, clip_net, clip)[0].features for net in (half, rounded))
    assert torch.equal(shift, same)
    assert not torch.equal(shift, searched(model, clip_net, clip)[0].features)


@pytest.mark.parametrize("texts", [("", "face"), ("face", "  "), ("a face", " a face ")])
def test_texts_that_ask_for_nothing_get_a_sentence(model, clip_net, clip, texts):
    with one_sentence("text"):
        searched(model, clip_net, clip, texts=texts)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"iterations": 0}, "iterations"),
        ({"key_frames": 0}, "key_frames"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"clip_weight": -1.0}, "weights"),
        ({"picture_weight": float("nan")}, "weights"),
        ({"steps": 37}, "37 steps"),
    ],
)
def test_settings_that_make_no_sense_get_a_sentence(wrong, complaint):
    with one_sentence(complaint):
        TextEdit(**wrong)


def test_a_clip_of_another_model_is_refused(model, clip_net, clip):
    foreign = replace(
        clip,
        identity=replace(clip.identity, model="other"),
        landmark_codes=replace(clip.landmark_codes, model="other"),
        noise_maps=replace(clip.noise_maps, model="other"),
    )
    with pytest.raises(DvaError, match="other"):
        searched(model, clip_net, foreign)


# --- the texts ---


def test_the_direction_is_the_mean_over_all_templates_and_known_from_then_on(clip_net):
    before, after = (clip_net.text_features([template.format(text) for template in TEMPLATES]) for text in TEXTS)
    direction = text_direction(clip_net, *TEXTS)
    torch.testing.assert_close(direction, F.normalize((after - before).mean(dim=0, keepdim=True)), atol=1e-5, rtol=0)
    assert text_direction(clip_net, *TEXTS) is direction
    assert all(template.count("{}") == 1 for template in TEMPLATES) and len(set(TEMPLATES)) == len(TEMPLATES)


# --- the shift ---


def test_scale_0_is_nothing_bit_for_bit(identity, shift):
    assert torch.equal(shift_identity(identity, shift, 0.0).features, identity.features)


def test_a_shift_turns_an_identity_and_keeps_its_length(identity, shift):
    moved = shift_identity(identity, shift, 0.7)
    torch.testing.assert_close(moved.features.norm(dim=1), identity.features.norm(dim=1))
    sums = identity.features + 0.7 * shift.features
    torch.testing.assert_close(F.normalize(moved.features), F.normalize(sums))


def test_a_negative_scale_goes_the_other_way(identity, shift):
    here, there, back = (
        F.normalize(shift_identity(identity, shift, scale).features) @ shift.features[0] for scale in (0, 1, -1)
    )
    assert (back < here).all() and (here < there).all()


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_a_scale_that_is_no_number_is_refused(identity, shift, scale):
    with pytest.raises(DvaError, match="finite"):
        shift_identity(identity, shift, scale)


def test_a_shift_of_another_model_is_refused(identity, shift):
    with pytest.raises(DvaError, match=r"other.*tiny"):
        shift_identity(identity, replace(shift, model="other"))


def test_a_shift_leaves_alone_what_is_preserved(model, identity, shift):
    table = tiny_model().attributes
    for name in ("Eyeglasses", "No_Beard"):
        table.weight[CELEBA_ATTRIBUTES.index(name)] = torch.randn(512)
        table.trained[CELEBA_ATTRIBUTES.index(name)] = True
    table.std.copy_(0.5 + torch.rand(512))
    kept = preserving(shift, table, ["No_Beard", "Eyeglasses"])
    normalised = kept.features / table.std
    assert (normalised @ table.weight[[table.row("No_Beard"), table.row("Eyeglasses")]].T).abs().max() < 1e-4
    assert F.cosine_similarity(kept.features, shift.features) > 0.9
    with pytest.raises(DvaError, match="Smiling"):
        preserving(shift, table, ["Smiling"])


def test_a_text_edit_goes_with_attributes_and_over_time(model, clip, shift):
    strengths = [0, 0, 0.5, 1, 1]
    edited = edit_clip(model, clip, {}, shifts=[(shift, 2.0)], strengths=strengths)
    assert torch.equal(edited.features[:2], clip.identity.mean().features.expand(2, -1))
    assert torch.equal(edited.features[2:3], shift_identity(clip.identity.mean(), shift, 1.0).features)
    assert torch.equal(edited.features[3:4], edit_clip(model, clip, {}, shifts=[(shift, 2.0)]).features)


def test_the_published_edit_adds_a_shift_and_ends_at_length_1(model, shift, tmp_path):
    rendered = render_clip(HELD_OUT_SEEDS[7], frames=2, height=72, width=80)
    video.write_video(tmp_path / "source", rendered.frames, Fraction(25))
    told, clips = told_where(model, rendered.landmarks), []
    result = edit_video_as_published(
        told, tmp_path / "source", tmp_path / "edited", {}, 4,
        shifts=[(shift, 0.5), (ShiftSearch(lambda clip: clips.append(clip) or replace(shift, name="found"), {}), 0.0)],
    )  # fmt: skip
    (clip,) = clips
    assert len(clip.crops) == len(clip.identity.features) == 2
    want = F.normalize(clip.identity.mean().features + 0.5 * shift.features)
    torch.testing.assert_close(result.identity.features, want)
    assert [(each.name, scale) for each, scale in result.shifts] == [("a -> b", 0.5), ("found", 0.0)]


def test_a_search_may_be_given_instead_of_its_shift(model, shift, tmp_path):
    rendered = render_clip(HELD_OUT_SEEDS[7], frames=2, height=72, width=80)
    video.write_video(tmp_path / "source", rendered.frames, Fraction(25))
    told, clips = told_where(model, rendered.landmarks), []
    result = edit_video(
        told, tmp_path / "source", tmp_path / "edited", {}, 4,
        shifts=[(ShiftSearch(lambda clip: clips.append(clip) or shift, {}), 0.5)],
    )  # fmt: skip
    (clip,) = clips
    assert torch.equal(clip.crops, read_crops(tmp_path / "source", result.track, told.config.image_size))
    assert torch.equal(clip.identity.features, told.encode_identity(clip.crops).mean().features)
    assert torch.equal(clip.landmark_codes.codes, told.encode_landmarks(clip.crops).codes)
    assert result.shifts == [(shift, 0.5)]
    assert torch.equal(result.identity.features, shift_identity(clip.identity, shift, 0.5).features)
    assert result.seconds["find text edit"] >= 0


def test_a_search_in_a_long_clip_gets_frames_of_all_of_it(model, shift, tmp_path):
    rendered = render_clip(HELD_OUT_SEEDS[7], frames=FRAMES_TO_SEARCH + 10, height=72, width=80)
    video.write_video(tmp_path / "source", rendered.frames, Fraction(25))
    told, clips = told_where(model, rendered.landmarks), []
    search = ShiftSearch(lambda clip: clips.append(clip) or shift, {})
    result = edit_video(told, tmp_path / "source", tmp_path / "edited", {}, 2, shifts=[(search, 0.5)])
    crops = read_crops(tmp_path / "source", result.track, told.config.image_size)
    (clip,) = clips
    frames = np.linspace(0, len(crops) - 1, FRAMES_TO_SEARCH).round()
    assert len(np.unique(frames)) == FRAMES_TO_SEARCH and torch.equal(clip.crops, crops[frames])
    torch.testing.assert_close(clip.identity.features, told.encode_identity(crops).mean().features)
    assert clip.landmark_codes.codes.shape[0] == FRAMES_TO_SEARCH


def test_a_shift_that_does_not_fit_is_told_before_the_work(model, shift, tmp_path):
    worked = []
    with one_sentence("other"):
        edit_video(
            model, tmp_path / "source", tmp_path / "edited", {}, 4,
            shifts=[(replace(shift, model="other"), 1.0)], progress=lambda *now: worked.append(now),
        )  # fmt: skip
    assert worked == []


def test_the_defaults_are_the_published_constants():
    settings = TextEdit.as_published()
    assert (settings.steps, settings.iterations, settings.learning_rate, settings.key_frames) == (5, 2000, 0.002, 1)
    assert (settings.clip_weight, settings.identity_weight, settings.picture_weight) == (3, 5, 5)
    assert default_settings(tiny_model()) == TextEdit()
