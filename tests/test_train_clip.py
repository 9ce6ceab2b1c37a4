"""The training of the demo's CLIP: siblings, captions that fit them, and a net that learns, stops and goes on."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from dva_core import tensorfile
from dva_core.encoders.clip import Clip, load_clip
from dva_core.errors import Cancelled
from dva_core.synthetic import TRAIN_SEEDS
from dva_core.synthetic.captions import FACTS
from dva_core.training.clip import ClipRecipe, ClipTraining, train_clip, train_demo_clip
from dva_core.training.clip_batches import (
    TextPairs,
    agreement,
    draw_captions,
    draw_pictures,
    draw_text_pairs,
    wanted_cosines,
)
from dva_core.training.clip_pictures import SiblingPlan, SiblingSet, render_sibling_set, sibling_group
from dva_core.training.clip_quality import TEXTS, measure_clip
from dva_core.training.fitting import Watch

from .clip_files import tiny_clip_model

PLAN = SiblingPlan(people=16, siblings=3, size=32, first_person=20_000)
TRAINING = ClipTraining(steps=3, groups=4, pairs=6, captions=4)
ARCHITECTURE = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 4, "head_width": 16},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}
TEMPLATES = ("a photo of a {}.",)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("siblings")
    render_sibling_set(PLAN, folder, workers=1)
    return folder


@pytest.fixture(scope="module")
def siblings(rendered: Path) -> SiblingSet:
    return render_sibling_set(PLAN, rendered)


def claims(**said: int) -> np.ndarray:
    """int8 [F]; names with _ for the space."""
    row = np.zeros(len(FACTS), np.int8)
    for name, value in said.items():
        row[FACTS.index(name.replace("_", " "))] = value
    return row


def test_siblings_are_the_same_person_with_something_visible_changed(siblings):
    for index in range(PLAN.people):
        person, *others = sibling_group(PLAN, index)
        assert person.seed == TRAIN_SEEDS[PLAN.first_person + index]
        assert all(other.seed == person.seed and other.head_width == person.head_width for other in others)
        assert len({*others, person}) == 4
    facts = siblings.facts
    assert ((facts[:, :1] * facts[:, 1:]) < 0).any(-1).all()
    assert (siblings.pictures[:, :1] != siblings.pictures[:, 1:]).any((2, 3, 4)).all()
    same = (siblings.pictures[:, :1] == siblings.pictures[:, 1:]).all(-1).mean((1, 2, 3))
    assert same.min() > 0.1, "pose, light and background stay"


def test_a_rendering_of_siblings_that_was_stopped_goes_on_where_it_was(siblings, tmp_path):
    class Stop(Exception):
        pass

    def stop(stage: str, done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        render_sibling_set(PLAN, tmp_path, workers=1, progress=stop)
    np.load(tmp_path / "pictures.npy", mmap_mode="r+")[0] = 0
    resumed = render_sibling_set(PLAN, tmp_path, workers=1)
    assert not resumed.pictures[0].any(), "the first chunk is not rendered again"
    assert (resumed.pictures[8:] == siblings.pictures[8:]).all()


def test_a_group_shares_its_light_and_its_noise(siblings):
    rows = np.arange(8)
    clean, facts, _ = draw_pictures(siblings, rows, clean=1.0, most_noise=700, blended=0.0, seed=[1])
    noisy, _, _ = draw_pictures(siblings, rows, clean=0.0, most_noise=700, blended=0.0, seed=[1])
    assert clean.shape == (8, 4, 3, 32, 32) and clean.abs().max() <= 1
    assert (facts == siblings.facts[rows]).all()
    unchanged = (siblings.pictures[rows][:, 0] == siblings.pictures[rows][:, 1]).all(-1)
    mirrored = unchanged[:, :, ::-1]
    for pictures, limit in ((clean, 0.02), (noisy, 0.02)):
        difference = (pictures[:, 0] - pictures[:, 1]).abs().amax(1).numpy()
        # A pixel at the edge of what changed is softened with it.
        still = [np.median(difference[row][mask[row]]) for row in range(8) for mask in (unchanged, mirrored)]
        assert np.minimum(still[::2], still[1::2]).max() < limit
    assert noisy.std() > 0.6 and noisy.abs().max() > 1.5


def test_blended_siblings_are_on_the_way_to_themselves(siblings):
    whole, _, none = draw_pictures(siblings, np.arange(8), 1.0, 700, 0.0, seed=[2])
    part, _, every = draw_pictures(siblings, np.arange(8), 1.0, 700, 1.0, seed=[2])
    assert every.all() and not none.any()
    moved = [(pictures[:, 1:] - pictures[:, :1]).abs().mean() for pictures in (part, whole)]
    assert 0.2 < moved[0] / moved[1] < 0.95


def test_captions_are_true_of_somebody_in_the_batch(siblings):
    texts, said = draw_captions(siblings.facts, 40, TEMPLATES, seed=[3])
    assert len(set(texts)) > 20
    truth = agreement(siblings.facts.reshape(-1, len(FACTS)), said)
    assert (truth == 1).any(0).all()


def test_pairs_of_captions_differ_by_a_change_that_some_pictures_show(siblings):
    pairs = draw_text_pairs(siblings.facts, 30, TEMPLATES, seed=[4])
    assert len(pairs.texts) == 60
    assert all(before != after for before, after in zip(pairs.texts[:30], pairs.texts[30:], strict=True))
    first = np.repeat(siblings.facts[:, :1], 3, axis=1).reshape(-1, len(FACTS))
    wanted = wanted_cosines(first, siblings.facts[:, 1:].reshape(first.shape), pairs)
    assert (np.nan_to_num(np.abs(wanted)).max(0) >= 0.5).all()


def test_a_text_fits_where_all_is_true_and_not_where_one_thing_is_false():
    facts = np.stack([claims(glasses=1, hat=-1), claims(glasses=-1, hat=-1), claims(glasses=1)])
    said = np.stack([claims(), claims(glasses=1), claims(glasses=1, hat=-1)])
    truth = agreement(facts, said)
    assert np.array_equal(truth, [[1, 1, 1], [1, 0, 0], [1, 1, np.nan]], equal_nan=True)


def test_pictures_should_follow_a_text_that_changes_likewise_and_no_other():
    known = {name.replace(" ", "_"): -1 for name in FACTS}
    plain, glasses, open_hat = claims(**known), claims(**known | {"glasses": 1}), claims(**known | {"hat": 0})
    first, second = np.stack([plain, glasses, plain]), np.stack([glasses, plain, open_hat])
    texts = TextPairs(
        ("face", "face with no hat", "face with blond hair") * 2,
        np.stack([claims(), claims(hat=-1), claims(blond_hair=1)]),
        np.stack([claims(glasses=1), claims(hat=1), claims(glasses=1)]),
    )
    expected = [[1, 0, 0.5], [-1, 0, -0.5], [0, np.nan, 0]]
    assert np.array_equal(wanted_cosines(first, second, texts), expected, equal_nan=True)


def test_a_clip_learns_where_glasses_lead(siblings, tmp_path):
    glasses = FACTS.index("glasses")
    toggled = siblings.facts[:, :1, glasses] * siblings.facts[:, 1:, glasses] < 0
    wearing = toggled.any(1)
    few = SiblingSet(siblings.pictures[wearing], siblings.facts[wearing])
    training = replace(TRAINING, steps=60, groups=6, clean=1.0, blended=0.0)
    along: list[float] = []

    def log(name: str, value: float, step: int) -> None:
        if name == "clip/along":
            along.append(value)

    train_clip(few, ARCHITECTURE, training, tmp_path, watch=Watch(log=log))
    assert along[-1] < 0.9 * along[0]


def test_a_training_that_was_stopped_ends_where_it_would_have(siblings, tmp_path):
    whole, _ = train_clip(siblings, ARCHITECTURE, TRAINING, tmp_path / "whole")
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        train_clip(siblings, ARCHITECTURE, TRAINING, tmp_path / "parts", watch=Watch(cancelled=lambda: next(asked)))
    steps: list[int] = []
    parts, _ = train_clip(
        siblings, ARCHITECTURE, TRAINING, tmp_path / "parts",
        watch=Watch(progress=lambda stage, done, total: steps.append(done)),
    )  # fmt: skip
    assert steps == [2, 3]
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(parts.state_dict()[name], tensor, rtol=1e-3, atol=1e-4, msg=name)


def test_a_checkpoint_of_another_training_is_not_gone_on_with(siblings, tmp_path):
    steps: list[int] = []
    watch = Watch(progress=lambda stage, done, total: steps.append(done))
    train_clip(siblings, ARCHITECTURE, replace(TRAINING, steps=1), tmp_path, watch=watch)
    train_clip(siblings, ARCHITECTURE, replace(TRAINING, steps=1), tmp_path, watch=watch)
    train_clip(siblings, ARCHITECTURE, replace(TRAINING, steps=1, seed=1), tmp_path, watch=watch)
    assert steps == [1, 1], "the second finds everything done, the third nothing"


def test_the_command_writes_a_clip_that_loads_and_says_how_good_it_is(rendered, tmp_path):
    config, weights = tmp_path / "clip.json", tmp_path / "clip.safetensors"
    for name in ("siblings", "judged"):  # what is rendered already is not rendered again
        shutil.copytree(rendered, tmp_path / "run" / name)
    recipe = ClipRecipe(PLAN, PLAN, TRAINING, ARCHITECTURE)
    measured = train_demo_clip(tmp_path / "run", config, weights, recipe=recipe)
    clip_net = load_clip(config, weights)
    assert clip_net.text_features(["face", "face with glasses"]).shape == (2, 24)
    note, tensors = tensorfile.read(weights, "the demo's CLIP")
    assert note["measured"] == json.loads(json.dumps(measured)) and note["licence"] == "MIT"
    assert all(tensor.dtype == torch.float16 for tensor in tensors.values() if tensor.is_floating_point())
    unused = tensors["token_embedding.weight"].abs().sum(1) == 0
    assert unused.float().mean() > 0.9, "words that no caption knows say nothing"


def test_what_is_measured_of_an_untrained_clip_is_chance(siblings):
    tokenizer = open_clip.tokenizer.SimpleTokenizer(context_length=32)
    clip_net = Clip(tiny_clip_model(), tokenizer, [0.5] * 3, [0.5] * 3)
    measured = measure_clip(clip_net, siblings, levels=(0, 400))
    assert set(measured) == set(TEXTS)
    found = measured["glasses"]["0"]
    assert abs(found["along"]) < 0.5 and 0.2 < found["auc"] < 0.8
