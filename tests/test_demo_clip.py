"""The shipped CLIP: small, offline, and its directions of texts are those in which rendered people change."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dva_core import tensorfile
from dva_core.diffusion.schedule import linear_alpha_bar
from dva_core.editing.prompts import text_direction
from dva_core.encoders.clip import Clip
from dva_core.errors import DvaError
from dva_core.synthetic import (
    TRAIN_SEEDS,
    Person,
    render_crops,
    sample_motion,
    sample_person,
    sample_scene,
    set_attribute,
)
from dva_core.training.rendered import pictures_to_crops
from dva_core.weights.demo_clip import CONFIG, WEIGHTS, load_demo_clip

from .clip_files import no_connections

PEOPLE = [sample_person(TRAIN_SEEDS[97_000 + i]) for i in range(12)]
"""People that trained nothing."""

ADDED = {
    "face with eyeglasses": ("Eyeglasses", True),
    "face with a beard": ("No_Beard", False),
    "face with a hat": ("Wearing_Hat", True),
    "face with blond hair": ("Blond_Hair", True),
    "bald face": ("Bald", True),
    "pale face": ("Pale_Skin", True),
}
"""Text -> the attribute that brings it, from "face"."""


@pytest.fixture(scope="module")
def demo_clip() -> Iterator[Clip]:
    with no_connections():
        yield load_demo_clip()


def drawn(people: list[Person]) -> Tensor:
    """One picture each [N,3,64,64], the same pose and scene for the same place in the list."""
    seeds = range(500, 500 + len(people))
    motions, scenes = [sample_motion(seed, 1) for seed in seeds], [sample_scene(seed, 1) for seed in seeds]
    return pictures_to_crops(render_crops(people, motions, scenes, [0] * len(people)).pictures)


@pytest.fixture(scope="module")
def changes() -> dict[str, tuple[Tensor, Tensor]]:
    """Text of ADDED -> the people without what it names, and the same with it. All have hair and no hat otherwise."""
    plain = [replace(person, bald=False, hat=False) for person in PEOPLE]
    return {
        text: tuple(drawn([set_attribute(person, name, flag) for person in plain]) for flag in (not on, on))
        for text, (name, on) in ADDED.items()
    }


def moves(demo_clip: Clip, pair: tuple[Tensor, Tensor], level: int) -> Tensor:
    """Where the features [N,D] move from the first pictures to the second, with the same noise in both."""
    kept = linear_alpha_bar()[level].float() if level else torch.ones(())
    noise = torch.randn(pair[0].shape, generator=torch.Generator().manual_seed(level))
    before, after = (demo_clip.picture_features(kept.sqrt() * x + (1 - kept).sqrt() * noise) for x in pair)
    return F.normalize(after - before, dim=-1)


def test_the_files_are_small_and_of_half_precision():
    assert CONFIG.stat().st_size + WEIGHTS.stat().st_size <= 8e6
    assert json.loads(CONFIG.read_text())["model_cfg"]["vision_cfg"]["image_size"] == 64


# Whether somebody is bald is seen in clear pictures only.
@pytest.mark.parametrize(
    ("text", "level"),
    [(text, level) for text in ADDED for level in (0, 200, 400, 600) if text != "bald face" or level == 0],
)
def test_people_change_in_the_direction_of_the_text_that_says_so_and_of_no_other(demo_clip, changes, text, level):
    moved = moves(demo_clip, changes[text], level)
    own, *others = (
        float((moved @ text_direction(demo_clip, "face", other).T).mean())
        for other in sorted(ADDED, key=lambda other: other != text)
    )
    assert own > 0.45
    assert own > 0.25 + max(others)


@pytest.mark.parametrize(
    ("source", "target", "like"),
    [
        ("face with eyeglasses", "face", "face with eyeglasses"),
        ("face with eyeglasses", "face without glasses", "face with eyeglasses"),
        ("face with a beard", "clean-shaven face", "face with a beard"),
        ("a person wearing a hat", "a person without a hat", "face with a hat"),
    ],
)
def test_taking_away_is_the_opposite_of_putting_on(demo_clip, source, target, like):
    away, on = text_direction(demo_clip, source, target), text_direction(demo_clip, "face", like)
    assert float(away @ on.T) < -0.7


@pytest.mark.parametrize(
    ("one", "noun", "other"),
    [
        ("face with eyeglasses", "person", "person wearing spectacles"),
        ("face with a mustache", "man", "man with a moustache"),
        ("face with gray hair", "woman", "woman with grey hair"),
        ("face with blond hair", "person", "blonde person"),
        ("face with a hat", "face", "face wearing a cap"),
        ("face with bangs", "face", "face with a fringe"),
        ("face with a beard", "face", "bearded face"),
    ],
)
def test_other_words_for_the_same_point_the_same_way(demo_clip, one, noun, other):
    directions = text_direction(demo_clip, "face", one), text_direction(demo_clip, noun, other)
    assert float(directions[0] @ directions[1].T) > 0.8


def test_what_else_is_said_leaves_the_direction_as_it_is(demo_clip):
    short = text_direction(demo_clip, "face", "face with eyeglasses")
    long = text_direction(
        demo_clip, "an old man with a gray beard and bushy eyebrows",
        "an old man with a gray beard, bushy eyebrows and glasses",
    )  # fmt: skip
    assert float(short @ long.T) > 0.7


def test_words_that_it_does_not_know_say_nothing(demo_clip):
    plain, strange = demo_clip.text_features(["face with eyeglasses", "zebra face with eyeglasses"])
    assert float(plain @ strange) > 0.9


def test_pictures_can_be_moved_along_a_text_by_their_gradient(demo_clip, changes):
    pictures = changes["face with eyeglasses"][0].clone().requires_grad_(True)
    direction = text_direction(demo_clip, "face", "face with eyeglasses")
    (demo_clip.picture_features(pictures) @ direction.T).sum().backward()
    upper, lower = pictures.grad[:, :, 20:36].abs().mean(), pictures.grad[:, :, 48:].abs().mean()
    assert upper > 1.5 * lower, "glasses are looked for about the eyes"


def test_without_open_clip_the_demo_clip_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(DvaError, match="open-clip-torch"):
        load_demo_clip()


def test_the_header_says_what_was_measured():
    note, _ = tensorfile.read(WEIGHTS, "the demo's CLIP")
    assert note["licence"] == "MIT" and note["recipe"]["siblings"]["first_person"] == 20_000
    glasses = note["measured"]["glasses"]
    assert np.isfinite([numbers["along"] for numbers in glasses.values()]).all()
