"""CLIP from local files: features of pictures and texts, the preparing of pictures, and the forms of files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Normalize, Resize

from dva_core.encoders.clip import Clip, load_clip
from dva_core.encoders.torchscript import torchscript_tensors
from dva_core.errors import DvaError

from .clip_files import (
    TINY_CLIP,
    no_connections,
    tiny_clip_model,
    write_openai_archive,
    write_program_of_one_storage,
    write_tiny_clip,
)

OPENAI_COLOURS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module", autouse=True)
def no_network() -> Iterator[None]:
    with no_connections():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clip")


@pytest.fixture(scope="module")
def checkpoints(folder: Path) -> tuple[Path, Path]:
    return write_tiny_clip(folder)


@pytest.fixture(scope="module")
def archive(folder: Path) -> Path:
    return write_openai_archive(folder / "ViT-tiny.pt")


@pytest.fixture(scope="module")
def clip(checkpoints: tuple[Path, Path]) -> Clip:
    return load_clip(TINY_CLIP, checkpoints[0], device="cpu")


def pictures(count: int = 3, height: int = 40, width: int = 40) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(1)) * 2 - 1


# Features


def test_features_have_length_one(clip):
    assert torch.allclose(clip.picture_features(pictures()).norm(dim=-1), torch.ones(3))
    assert torch.allclose(clip.text_features(["a face", "an old face"]).norm(dim=-1), torch.ones(2))


def test_pictures_and_texts_share_one_space_and_differ_within_it(clip):
    seen, read = clip.picture_features(pictures(2)), clip.text_features(["a face", "an old face"])
    assert seen.shape == read.shape == (2, 8)
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)
    assert not torch.allclose(read[0], read[1], atol=1e-3)


def test_a_picture_and_a_text_do_not_depend_on_their_company(clip):
    assert torch.allclose(clip.picture_features(pictures())[1:2], clip.picture_features(pictures()[1:2]), atol=1e-6)
    texts = ["face", "an old face with a beard", ""]
    assert torch.allclose(clip.text_features(texts)[1:2], clip.text_features(texts[1:2]), atol=1e-6)


def test_gradients_flow_to_the_pictures_and_not_to_the_weights(clip):
    seen = pictures().requires_grad_()
    (clip.picture_features(seen) @ clip.text_features(["a face"]).T).sum().backward()
    assert (seen.grad.flatten(1).norm(dim=1) > 0).all()
    assert all(weight.grad is None for weight in clip.parameters())


@pytest.mark.parametrize(
    "given",
    [
        torch.zeros(3, 16, 16),
        torch.zeros(1, 1, 16, 16),
        torch.zeros(1, 16, 16, 3),
        torch.zeros(0, 3, 16, 16),
        torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
    ],
    ids=lambda given: f"{list(given.shape)} {given.dtype}",
)
def test_pictures_of_another_form_are_refused(clip, given):
    with pytest.raises(DvaError, match=r"\[B,3,S,S\].*was given"):
        clip.picture_features(given)


def test_no_texts_are_refused(clip):
    with pytest.raises(DvaError, match="no text"):
        clip.text_features([])


# The preparing of pictures


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (11, 11), (41, 27), (27, 41)])
def test_pictures_are_prepared_as_the_published_edits_did(clip, size):
    as_published = Compose(
        [
            lambda x: (x + 1) / 2,
            Resize(16, InterpolationMode.BICUBIC, antialias=False),
            CenterCrop(16),
            Normalize(*OPENAI_COLOURS),
        ]
    )
    given = pictures(2, *size)
    expected = F.normalize(clip.model.encode_image(as_published(given)))
    assert torch.allclose(clip.picture_features(given), expected, atol=1e-5)


def test_a_config_from_hugging_face_brings_its_own_colours(folder, checkpoints):
    half = [0.5, 0.5, 0.5]
    config = {"model_cfg": json.loads(TINY_CLIP.read_text()), "preprocess_cfg": {"mean": half, "std": half}}
    clip = load_clip(written(folder, config), checkpoints[0])
    given = pictures(2, 16, 16)  # of the model's own size and, with these colours, in its own range
    assert torch.allclose(clip.picture_features(given), F.normalize(clip.model.encode_image(given)), atol=1e-5)


# Files


def test_both_formats_give_the_features_of_the_model_that_was_saved(clip, checkpoints):
    other, original = load_clip(TINY_CLIP, checkpoints[1]), tiny_clip_model()
    tokens = open_clip.SimpleTokenizer(context_length=32)(["a face"])
    assert torch.equal(clip.picture_features(pictures()), other.picture_features(pictures()))
    assert torch.equal(clip.text_features(["a face"]), other.text_features(["a face"]))
    assert torch.equal(clip.text_features(["a face"]), original.encode_text(tokens, normalize=True))


def test_a_checkpoint_of_a_training_run_gives_the_same_features(folder, clip):
    weights = {f"module.{key}": tensor for key, tensor in tiny_clip_model().state_dict().items()}
    torch.save({"epoch": 3, "state_dict": weights, "optimizer": {"state": {}}}, folder / "epoch_3.pt")
    same = load_clip(TINY_CLIP, folder / "epoch_3.pt")
    assert torch.equal(clip.picture_features(pictures()), same.picture_features(pictures()))


def test_weights_from_before_the_text_tower_was_a_part_still_fit(folder, checkpoints, clip):
    config = json.loads(TINY_CLIP.read_text()) | {"custom_text": True}
    custom = load_clip(written(folder, config), checkpoints[0])
    assert torch.allclose(clip.text_features(["a face"]), custom.text_features(["a face"]), atol=1e-6)


def test_an_archive_in_the_form_of_openai_s_is_read_and_gets_quick_gelu(folder, archive):
    clip = load_clip(TINY_CLIP, archive)
    config = written(folder, json.loads(TINY_CLIP.read_text()) | {"quick_gelu": True})
    torch.save(tiny_clip_model().half().state_dict(), folder / "quick_gelu.pt")
    same = load_clip(config, folder / "quick_gelu.pt")
    without = load_clip(TINY_CLIP, folder / "quick_gelu.pt")
    assert torch.equal(clip.picture_features(pictures()), same.picture_features(pictures()))
    assert torch.equal(clip.text_features(["a face"]), same.text_features(["a face"]))
    assert not torch.equal(clip.picture_features(pictures()), without.picture_features(pictures()))


def test_tensors_of_a_program_in_one_storage_are_read_once(folder):
    tensors = torchscript_tensors(write_program_of_one_storage(folder / "shared.pt", names=("a", "b")))
    assert tensors["a"].tolist() == tensors["b"].tolist() == [0, 1, 2]
    assert tensors["a"].untyped_storage().data_ptr() == tensors["b"].untyped_storage().data_ptr()


def test_settings_that_open_clip_s_own_configs_give_their_tokenizers_are_passed_on(folder, checkpoints):
    config = json.loads(TINY_CLIP.read_text())
    config["text_cfg"]["tokenizer_kwargs"] = {"clean": "canonicalize"}
    clip = load_clip(written(folder, config), checkpoints[0])
    assert torch.equal(clip.text_features(["A face!"]), clip.text_features(["a face"]))


def written(folder: Path, config: object) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder / "config.json"
