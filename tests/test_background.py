"""The surroundings of a face, which an edit leaves as they are."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dva_core import decode_clip, edit_clip, encode_clip, load_model, sweep_clip
from dva_core.diffusion import ddim
from dva_core.editing.background import surroundings
from dva_core.editing.transfer import with_motion, with_random_noise
from dva_core.faces.masks import NOT_HEAD, select_classes
from dva_core.footage import find_face
from dva_core.pipeline import invert_clip, read_crops
from dva_core.showcase import DEMO_CLIP
from dva_core.values import EncodedClip

from .tiny_model import crops, tiny_model

BEARD = {"No_Beard": -1.0}
# Of the shipped clip, frames in which a beard used to turn the wall green, and others.
FRAMES = [0, 8, 12, 20]


@pytest.fixture(scope="module")
def model():
    return load_model("demo")


@pytest.fixture(scope="module")
def clip(model) -> EncodedClip:
    every = read_crops(DEMO_CLIP, find_face(model, DEMO_CLIP), model.config.image_size)
    who, crops = model.encode_identity(every).mean(), every[FRAMES]
    return invert_clip(model, crops, who, model.encode_landmarks(crops))


def shift_of_the_wall(model, clip: EncodedClip, **options) -> torch.Tensor:
    """How the mean colour about the head changes in each frame, [T,3] in units of -1..1."""
    bearded = decode_clip(model, clip, edit_clip(model, clip, BEARD), keep_detail=False, **options)
    wall = select_classes(model.parse(clip.crops), NOT_HEAD)
    return ((bearded - clip.unedited) * wall).sum((2, 3)) / wall.sum((2, 3))


def test_a_beard_leaves_the_wall_its_colour_in_every_frame(model, clip):
    free, held = shift_of_the_wall(model, clip, keep_background=False), shift_of_the_wall(model, clip)
    assert free.abs().max() > 0.2 and free.std(dim=0).max() > 0.1
    assert held.abs().max() < 0.06 and held.std(dim=0).max() < 0.02


def test_without_an_edit_the_source_comes_back_bit_for_bit(model, clip):
    assert torch.equal(decode_clip(model, clip, clip.identity.mean()), clip.crops)


def test_a_sweep_holds_the_surroundings_as_a_single_edit_does(model, clip):
    edited = edit_clip(model, clip, BEARD)
    together = sweep_clip(model, clip, [clip.identity.mean(), edited])
    assert torch.equal(together[0], clip.crops)
    assert torch.allclose(together[1], decode_clip(model, clip, edited), atol=1e-4)


def test_held_states_lead_back_to_the_sources_own_surroundings(model, clip):
    held = surroundings(clip.unedited, clip.noise_maps.x_T, model.parse(clip.crops))
    nobody = torch.zeros_like(held.head)
    states = replace(held, head=nobody).hold(torch.zeros_like(clip.crops), alpha_bar=0.25)
    assert torch.allclose(states, 0.5 * clip.unedited + 0.75**0.5 * clip.noise_maps.x_T)
    assert torch.equal(held.hold(states, alpha_bar=0.9), states)
    assert torch.equal(replace(held, head=nobody + 1).hold(states, alpha_bar=0.25), states)


def test_every_state_down_to_the_picture_itself_is_offered():
    levels = []

    def hold(x, alpha_bar):
        levels.append(alpha_bar)
        return torch.zeros_like(x)

    assert torch.equal(ddim.decode(lambda x, t: x, torch.randn(1, 3, 4, 4), 4, hold=hold), torch.zeros(1, 3, 4, 4))
    assert levels == sorted(levels) and levels[-1] == 1


def test_a_head_that_moves_as_somebody_elses_leaves_the_wall_its_colour_too(model, clip):
    turned = replace(clip.landmark_codes, codes=clip.landmark_codes.codes.flip(0))
    driven = with_motion(clip, turned)
    free, held = (
        decode_clip(model, driven, clip.identity, keep_background=on, keep_detail=False) for on in (False, True)
    )
    wall = select_classes(model.parse(clip.crops), NOT_HEAD)
    assert ((held - clip.unedited).abs() * wall).mean() < 0.7 * ((free - clip.unedited).abs() * wall).mean()
    there = [model.encode_landmarks(crops).codes for crops in (clip.unedited, held)]
    goal = driven.landmark_codes.codes
    assert (there[1] - goal)[:, :62].abs().mean() < 0.6 * (there[0] - goal)[:, :62].abs().mean()


def test_noise_that_is_nobodys_has_no_surroundings():
    model = tiny_model()
    noise = with_random_noise(encode_clip(model, crops(), 4), seed=0)
    held, free = (decode_clip(model, noise, noise.identity.mean(), keep_background=on) for on in (True, False))
    assert torch.equal(held, free)
